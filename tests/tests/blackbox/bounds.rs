//! What one peer can take from the others: memory, connections, and replies that nobody reads.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

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

/// A client that lets no reply's body through: its window is closed.
fn never_reads(agent: &Agent, requests: u32) -> TcpStream {
    let address = agent.grpc();
    let mut stream = http::connect(&address).expect("it listens");
    let path = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    let head = fields(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", &address),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]);
    // SETTINGS_INITIAL_WINDOW_SIZE is 0.
    let mut sent = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(4, 0, 0, &[0, 4, 0, 0, 0, 0])[..]].concat();
    for number in 0..requests {
        sent.extend(frame(1, 4, number * 2 + 1, &head));
        sent.extend(frame(0, 1, number * 2 + 1, &[0; 5]));
    }
    drop(stream.write_all(&sent));
    stream
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
