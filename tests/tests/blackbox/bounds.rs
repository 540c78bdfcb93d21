//! What one peer can take from the others: memory, connections, and replies that nobody reads.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value as Json, json};
use throughline_tests::{Agent, await_that, http, soak};

use crate::otlp;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

const CONFIG: &str = "
receivers: {otlp: {protocols: {grpc: {endpoint: '127.0.0.1:0'}, http: {endpoint: '127.0.0.1:0'}}}}
extensions: {health_check: {endpoint: '127.0.0.1:0'}}
exporters: {file: {path: out.jsonl}}
service:
  extensions: [health_check]
  pipelines: {logs: {receivers: [otlp], exporters: [file]}}
";

#[test]
fn a_large_body_that_stands_still_keeps_nobody_else_out_and_is_given_up() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let agent = Agent::start(folder.path(), CONFIG);
    let length = 30 << 20;
    let mut stalled = http::connect(&agent.http()).expect("it listens");
    stalled.write_all(&http::head(&agent.http(), "POST", "/v1/logs", &[PROTOBUF], length)).expect("taken");
    stalled.write_all(&vec![0; length - 1000]).expect("taken");
    let held = || agent.counter("throughline_memory_held_bytes", "");
    await_that("it holds more than the whole budget", || held() > (length - 1100) as f64);
    for number in 0..50 {
        let reply = http::post(&agent.http(), "/v1/logs", &[PROTOBUF], &otlp::log(&format!("{number}")));
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    let large = otlp::log(&"x".repeat(5 << 20));
    assert_eq!(http::post(&agent.http(), "/v1/logs", &[PROTOBUF], &large).status, 200);
    await_that("it is given up", || held() < 1e6);
    let reply = http::reply(&mut stalled).expect("it is told so");
    assert_eq!(reply.status, 503, "it may send again: {}", reply.text());
    assert!(reply.text().contains("less than 1024 bytes a second"), "{}", reply.text());
    assert_eq!(agent.counter("throughline_server_refused_requests", "reason=\"stalled\""), 1.0);
    agent.assert_sound();
}

/// An HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Header fields in HPACK, each a literal that is not indexed.
fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).expect("short")][..], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

/// A client of HTTP/2 that lets no reply's body through: its window is closed.
fn closed(address: &str, head: &[(&str, &str)], body: Option<&[u8]>, requests: u32) -> TcpStream {
    let mut stream = http::connect(address).expect("it listens");
    let head = fields(&[&[(":scheme", "http"), (":authority", address)], head].concat());
    // SETTINGS_INITIAL_WINDOW_SIZE is 0.
    let mut sent = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(4, 0, 0, &[0, 4, 0, 0, 0, 0])[..]].concat();
    for number in 0..requests {
        let (stream, ends) = (number * 2 + 1, u8::from(body.is_none()));
        sent.extend(frame(1, 4 | ends, stream, &head));
        sent.extend(body.iter().flat_map(|body| frame(0, 1, stream, body)));
    }
    drop(stream.write_all(&sent));
    stream
}

/// The same, with requests of OTLP/gRPC.
fn never_reads(agent: &Agent, requests: u32) -> TcpStream {
    let path = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    let head =
        [(":method", "POST"), (":path", path), ("content-type", "application/grpc"), ("te", "trailers")];
    closed(&agent.grpc(), &head, Some(&[0; 5]), requests)
}

/// Whether the agent has ended a connection.
fn is_ended(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket can be asked");
    loop {
        match stream.read(&mut [0; 4096]) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

const SCRAPED: &str = "
receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}}
exporters: {prometheus: {endpoint: '127.0.0.1:0', max_label_value_bytes: 1MiB}}
service: {pipelines: {metrics: {receivers: [otlp], exporters: [prometheus]}}}
";

#[test]
fn scrapers_that_do_not_read_hold_their_page_for_seconds_and_are_then_cut_off() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let agent = Agent::start(folder.path(), SCRAPED);
    let points: Vec<Json> = (0..16)
        .map(|at| {
            let value = format!("{at}{}", "x".repeat(500_000));
            json!({ "asInt": "1", "attributes": [{ "key": "k", "value": { "stringValue": value } }] })
        })
        .collect();
    let metric = json!({ "name": "long", "gauge": { "dataPoints": points } });
    let body = json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": [metric] }] }] }).to_string();
    let json = [("content-type", "application/json")];
    assert_eq!(http::post(&agent.http(), "/v1/metrics", &json, body.as_bytes()).status, 200);
    let (page, own) = (agent.address("prometheus", "/metrics"), agent.telemetry());
    assert!(http::get(&page, "/metrics").body.len() > 8_000_000);
    let before = agent.counter("otelcol_process_memory_rss", "");
    let get = [(":method", "GET"), (":path", "/metrics")];
    let mut crowd: Vec<TcpStream> = (0..200)
        .map(|number| match number % 4 {
            0 => closed(&page, &get, None, 3),
            1 if number < 80 => closed(&own, &get, None, 3),
            _ => {
                let mut stream = http::connect(&page).expect("it listens");
                stream.write_all(&http::head(&page, "GET", "/metrics", &[], 0)).expect("taken");
                stream
            }
        })
        .collect();
    // Who reads a little of it, faster than asked for, goes on.
    let mut slow = http::connect(&page).expect("it listens");
    slow.write_all(&http::head(&page, "GET", "/metrics", &[], 0)).expect("taken");
    let mut most = 0.0_f64;
    let mut read = 0;
    await_that("those who do not read are cut off", || {
        std::thread::sleep(Duration::from_millis(20));
        read += slow.read(&mut [0; 5_000]).expect("it is sent");
        most = most.max(agent.counter("otelcol_process_memory_rss", "") - before);
        agent.counter("throughline_server_refused_requests", "reason=\"replies_not_read\"") >= 200.0
    });
    assert!(most < 100e6, "they made it hold {most} bytes");
    // What had been sent before is read, and then there is no more.
    await_that("their connections are gone", || crowd.iter_mut().all(is_ended));
    slow.read_to_end(&mut Vec::new()).expect("the rest of the page");
    assert!(read > 0 && http::get(&page, "/metrics").body.len() > 8_000_000);
    assert_eq!(agent.counter("throughline_prometheus_refused_scrapes", ""), 0.0, "they shared their pages");
    agent.assert_sound();
}

#[test]
fn replies_that_nobody_reads_are_charged_and_those_who_let_too_many_wait_are_cut_off() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let agent = Agent::start(folder.path(), CONFIG);
    let before = agent.counter("otelcol_process_memory_rss", "");
    let crowd: Vec<TcpStream> = (0..soak::rounds(200, 2000)).map(|_| never_reads(&agent, 250)).collect();
    let cut_off = || agent.counter("throughline_server_refused_requests", "reason=\"replies_not_read\"");
    await_that("some are cut off", || cut_off() > 50.0);
    let held = agent.counter("throughline_memory_held_bytes", "");
    assert!(held > 1e6, "what waits is charged: {held}");
    let grown = agent.counter("otelcol_process_memory_rss", "") - before;
    // Without bounds 2,000 connections held 764 MB.
    assert!(grown < 200e6, "the replies hold {grown} bytes");
    assert_eq!(http::get(&agent.address("health_check", "/"), "/").status, 200);
    let reply = http::post(&agent.http(), "/v1/logs", &[PROTOBUF], &otlp::log("a"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    drop(crowd);
    await_that("all is given back", || agent.counter("throughline_memory_held_bytes", "") == 0.0);
    agent.assert_sound();
}

#[test]
fn requests_that_stop_after_large_heads_are_charged_and_health_answers_meanwhile() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let agent = Agent::start(folder.path(), CONFIG);
    let before = agent.counter("otelcol_process_memory_rss", "");
    let names: Vec<String> = (0..400).map(|number| format!("k{number}")).collect();
    let path = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    let mut head = vec![(":method", "POST"), (":path", path), ("content-type", "application/grpc")];
    head.extend(names.iter().map(|name| (name.as_str(), "")));
    let crowd: Vec<TcpStream> = (0..soak::rounds(300, 2000))
        .map(|_| {
            let mut stream = closed(&agent.grpc(), &[], None, 0);
            let address = agent.grpc();
            let head = fields(&[&[(":scheme", "http"), (":authority", &address)], &head[..]].concat());
            // The head ends, the request does not.
            let sent: Vec<u8> = (0..8).flat_map(|number| frame(1, 4, number * 2 + 1, &head)).collect();
            drop(stream.write_all(&sent));
            stream
        })
        .collect();
    let refused = || agent.counter("throughline_server_refused_requests", "reason=\"over_budget\"");
    await_that("there is no room for more", || refused() > 100.0);
    let held = agent.counter("throughline_memory_held_bytes", "");
    assert!(held > 10e6, "what waits is charged: {held}");
    let grown = agent.counter("otelcol_process_memory_rss", "") - before;
    // Without charges 1,000 connections held 820 MB.
    assert!(grown < 150e6, "the heads hold {grown} bytes");
    assert_eq!(
        http::get(&agent.address("health_check", "/"), "/").status,
        200,
        "it is not asked of the budget"
    );
    drop(crowd);
    await_that("all is given back", || agent.counter("throughline_memory_held_bytes", "") == 0.0);
    let reply = http::post(&agent.http(), "/v1/logs", &[PROTOBUF], &otlp::log("a"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    agent.assert_sound();
}

#[test]
fn peers_that_open_more_streams_than_they_may_are_cut_off_before_they_cost_much() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let agent = Agent::start(folder.path(), CONFIG);
    let before = agent.counter("otelcol_process_memory_rss", "");
    let path = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    let head = [(":method", "POST"), (":path", path), ("content-type", "application/grpc")];
    let address = agent.grpc();
    let head = fields(&[&[(":scheme", "http"), (":authority", &address)], &head[..]].concat());
    // A request begins, and the rest of its body never comes: an accepted one waits, a refused one is answered with two frames.
    let begun = |number: u32| {
        let body = [&[0, 0, 0, 16, 0][..], &[0; 200]].concat();
        [frame(1, 4, number * 2 + 1, &head), frame(0, 0, number * 2 + 1, &body)].concat()
    };
    let begun: Vec<u8> = (0..256).flat_map(begun).collect();
    let connections = soak::rounds(600, 2000);
    let mut crowd: Vec<TcpStream> = (0..connections)
        .map(|_| {
            let mut stream = closed(&address, &[], None, 0);
            drop(stream.write_all(&begun));
            stream
        })
        .collect();
    let grown = agent.counter("otelcol_process_memory_rss", "") - before;
    // Without a bound each kept places for 256 streams: 600 connections held 270 MB.
    assert!(grown < 120e6, "{connections} connections hold {grown} bytes");
    await_that("those of the crowd are cut off", || {
        crowd.iter_mut().map(is_ended).filter(|ended| *ended).count() > connections as usize / 2
    });
    let reply = http::post(&agent.http(), "/v1/logs", &[PROTOBUF], &otlp::log("a"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    agent.assert_sound();
}

#[test]
fn health_and_self_telemetry_have_connections_of_their_own_however_few_files_may_be_open() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let agent = Agent::start_with_open_files(folder.path(), CONFIG, 300);
    agent.await_log("so that at most 75 connections are served at once");
    let (http, health, telemetry) = (agent.http(), agent.address("health_check", "/"), agent.telemetry());
    let crowd: Vec<TcpStream> = (0..200).filter_map(|_| TcpStream::connect(&http).ok()).collect();
    assert!(crowd.len() > 100, "the kernel takes them");
    std::thread::sleep(Duration::from_millis(200));
    for _ in 0..20 {
        assert_eq!(http::get(&health, "/").status, 200);
        assert_eq!(http::get(&telemetry, "/metrics").status, 200);
    }
    drop(crowd);
    let reply = http::post(&http, "/v1/logs", &[PROTOBUF], &otlp::log("a"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    agent.assert_sound();
}

#[test]
fn idle_connections_to_self_telemetry_keep_nobody_from_it_nor_from_health() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let agent = Agent::start(folder.path(), CONFIG);
    let (health, telemetry) = (agent.address("health_check", "/"), agent.telemetry());
    let mut crowd: Vec<TcpStream> = (0..40).map(|_| closed(&telemetry, &[], None, 0)).collect();
    // And some that say nothing, or half of a request.
    for (number, address) in [&health, &telemetry].into_iter().cycle().take(240).enumerate() {
        let mut silent = TcpStream::connect(address).expect("the kernel takes it");
        if number % 3 == 0 {
            silent.write_all(b"GET / HTT").expect("the kernel takes it");
        }
        crowd.push(silent);
    }
    for _ in 0..20 {
        assert_eq!(http::get(&health, "/").status, 200, "those who were there first make room");
        assert_eq!(http::get(&telemetry, "/metrics").status, 200, "those who were there first make room");
    }
    let crowded = agent.counter("throughline_server_refused_requests", "reason=\"crowded\"");
    assert!(crowded >= 200.0, "all but those that have a place: {crowded}");
    drop(crowd);
    agent.assert_sound();
}
