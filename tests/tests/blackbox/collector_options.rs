//! Options of the Collector's that its users set: what they promise, from outside.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use throughline_tests::backend::{Answer, Backend};
use throughline_tests::{Agent, await_that, http, records};

use crate::otlp;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

/// An agent that takes logs with these settings of its HTTP server, and keeps them in a file.
fn taker(folder: &std::path::Path, server: &str) -> Agent {
    let config = format!(
        "
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:0'}}, http: {{endpoint: '127.0.0.1:0'{server}}}}}}}}}
exporters: {{file: {{path: logs.jsonl}}}}
service: {{pipelines: {{logs: {{receivers: [otlp], exporters: [file]}}}}}}
"
    );
    Agent::start(folder, &config)
}

/// An agent that passes logs on.
fn passer(folder: &std::path::Path, exporter: &str) -> Agent {
    let config = format!(
        "
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:0'}}}}}}}}
exporters: {{{exporter}}}
service: {{pipelines: {{logs: {{receivers: [otlp], exporters: [{}]}}}}}}
",
        exporter.split(':').next().unwrap_or_default()
    );
    Agent::start(folder, &config)
}

fn post(agent: &Agent, body: &[u8]) -> http::Reply {
    http::post(&agent.http(), "/v1/logs", &[PROTOBUF], body)
}

#[test]
fn pages_of_named_origins_may_send_and_others_are_told_nothing() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let server = ", cors: {allowed_origins: ['https://*.example.com'], allowed_headers: [x-team], max_age: 600}, \
                  response_headers: {x-served-by: throughline}";
    let agent = taker(folder.path(), server);
    let ask = |origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type, x-team"),
        ];
        http::request(&agent.http(), "OPTIONS", "/v1/logs", &headers, b"").expect("it answers")
    };
    let reply = ask("https://shop.example.com");
    assert_eq!((reply.status, reply.header("access-control-max-age")), (204, "600"));
    assert_eq!(reply.header("access-control-allow-origin"), "https://shop.example.com");
    assert_eq!(ask("https://evil.org").header("access-control-allow-origin"), "");
    let headers = [PROTOBUF, ("origin", "https://shop.example.com")];
    let reply = http::post(&agent.http(), "/v1/logs", &headers, &otlp::log("from a page"));
    assert_eq!((reply.status, reply.header("x-served-by")), (200, "throughline"));
    assert_eq!(reply.header("access-control-allow-origin"), "https://shop.example.com");
}

#[test]
fn snappy_and_lz4_arrive_over_both_protocols() {
    let (here, there) = (tempfile::tempdir(), tempfile::tempdir());
    let (here, there) = (here.expect("a temporary folder"), there.expect("a temporary folder"));
    let sink = taker(there.path(), "");
    let mut sent = Vec::new();
    for (exporter, codec) in [
        ("otlp_http", "snappy"),
        ("otlp_http", "x-snappy-framed"),
        ("otlp_http", "lz4"),
        ("otlp_http", "zlib"),
        ("otlp_grpc", "snappy"),
    ] {
        let endpoint = match exporter {
            "otlp_grpc" => format!(
                "dns:///{}', tls: {{insecure: true}}, keepalive: {{time: 10s}}, balancer_name: 'round_robin",
                sink.grpc()
            ),
            _ => format!("http://{}", sink.http()),
        };
        let agent =
            passer(here.path(), &format!("{exporter}: {{compression: {codec}, endpoint: '{endpoint}'}}"));
        let body = format!("{exporter} {codec} {}", "again ".repeat(100));
        let reply = post(&agent, &otlp::log(&body));
        assert_eq!(reply.status, 200, "{exporter} {codec}: {}", reply.text());
        sent.push(body);
    }
    let found: Vec<_> =
        records::read(&there.path().join("logs.jsonl")).iter().map(|log| log.body()).collect();
    assert_eq!(found, sent);
}

#[test]
fn a_connection_that_is_old_or_idle_is_asked_to_end() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let agent = taker(folder.path(), ", idle_timeout: 50ms");
    let mut stream = TcpStream::connect(agent.http()).expect("it listens");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").expect("it reads");
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("it ends the connection, once nothing is asked");
    assert!(all.starts_with(b"HTTP/1.1 404"));
    let agent = taker(folder.path(), ", keep_alives_enabled: false");
    let mut stream = TcpStream::connect(agent.http()).expect("it listens");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").expect("it reads");
    stream.read_to_end(&mut all).expect("it ends the connection behind its reply");
}

#[test]
fn a_proxy_that_is_set_gets_the_requests_with_its_password() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let proxy = TcpListener::bind("127.0.0.1:0").expect("the loopback interface has a free port");
    let address = proxy.local_addr().expect("it is bound");
    let heard = std::thread::spawn(move || {
        let (mut stream, _) = proxy.accept().expect("the agent connects");
        let (mut heard, mut piece) = (Vec::new(), [0; 4096]);
        while !heard.windows(4).any(|four| four == b"\r\n\r\n") {
            let count = stream.read(&mut piece).expect("the agent sends");
            heard.extend_from_slice(&piece[..count]);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("the agent reads");
        String::from_utf8_lossy(&heard).into_owned()
    });
    let exporter = format!(
        "otlp_http: {{compression: none, endpoint: 'http://backend.invalid:4318', proxy_url: 'http://us:word@{address}'}}"
    );
    let agent = passer(folder.path(), &exporter);
    assert_eq!(post(&agent, &otlp::log("by the proxy")).status, 200);
    let heard = heard.join().expect("no panic");
    assert!(heard.starts_with("POST http://backend.invalid:4318/v1/logs HTTP/1.1\r\n"), "{heard}");
    assert!(heard.to_ascii_lowercase().contains("proxy-authorization: basic dxm6d29yza=="), "{heard}");
}

#[test]
fn tls_where_none_is_wanted_and_none_where_it_is_are_told_as_that() {
    let (here, there) = (tempfile::tempdir(), tempfile::tempdir());
    let (here, there) = (here.expect("a temporary folder"), there.expect("a temporary folder"));
    let sink = taker(there.path(), "");
    let exporter =
        format!("otlp_http: {{endpoint: 'https://{}', retry_on_failure: {{enabled: false}}}}", sink.http());
    let agent = passer(here.path(), &exporter);
    let reply = post(&agent, &otlp::log("in the wrong words"));
    assert_eq!(reply.status, 503);
    let why = reply.text();
    assert!(why.contains("the server speaks plain text: give `endpoint` as http://"), "{why}");
    await_that("the receiver says so", || {
        sink.log().contains("a peer speaks TLS, and `tls` is not set here: give it an http:// address")
    });
}

#[test]
fn requests_go_through_without_kept_connections() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let backend = Backend::start(|_| Answer::ok());
    let exporter =
        format!("otlp_http: {{endpoint: 'http://{}', disable_keep_alives: true}}", backend.address());
    let agent = passer(folder.path(), &exporter);
    for _ in 0..3 {
        assert_eq!(post(&agent, &otlp::log("each on a connection of its own")).status, 200);
    }
    assert_eq!(backend.attempts(), 3);
}

#[test]
fn a_file_that_is_full_is_put_aside_and_nothing_is_lost_by_it() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let config = "
receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}}
exporters:
  file: {path: logs.jsonl, rotation: {max_megabytes: 1, max_backups: 5}}
  file/packed: {path: packed.bin, compression: zstd, rotation: }
service:
  telemetry: {logs: {output_paths: [stderr, own.log], initial_fields: {team: platform}}}
  pipelines: {logs: {receivers: [otlp], exporters: [file, file/packed]}}
";
    let agent = Agent::start(folder.path(), config);
    let long = "x".repeat(400_000);
    for number in 0..5 {
        assert_eq!(post(&agent, &otlp::log(&format!("{number}{long}"))).status, 200);
    }
    let names = std::fs::read_dir(folder.path()).expect("it is there").flatten();
    let files: Vec<_> = names.map(|entry| entry.path()).collect();
    let ours = |path: &&std::path::PathBuf| path.extension().is_some_and(|ending| ending == "jsonl");
    let found: usize = files.iter().filter(ours).map(|path| records::read(path).len()).sum();
    assert_eq!((files.iter().filter(ours).count(), found), (3, 5), "{files:?}");
    let packed = std::fs::read(folder.path().join("packed.bin")).expect("it is there");
    let length = u32::from_be_bytes(packed[..4].try_into().expect("four bytes")) as usize;
    let first = zstd::decode_all(&packed[4..4 + length]).expect("it is whole");
    assert!(String::from_utf8_lossy(&first).contains("\"stringValue\":\"0xxx"));
    let own = std::fs::read_to_string(folder.path().join("own.log")).expect("it is there");
    assert!(own.lines().all(|line| line.starts_with("{\"team\":\"platform\",")), "{own}");
    assert!(agent.log().contains("\"team\":\"platform\""));
}

#[test]
fn a_queue_measured_in_bytes_refuses_what_finds_no_room_and_one_that_blocks_lets_senders_wait() {
    for (queue, refused) in
        [("sizer: bytes, queue_size: 10", true), ("queue_size: 1, block_on_overflow: true", false)]
    {
        let folder = tempfile::tempdir().expect("there is a temporary folder");
        let exporter = format!(
            "otlp_http: {{endpoint: 'http://127.0.0.1:1', retry_on_failure: {{initial_interval: 60s}}, sending_queue: {{num_consumers: 1, {queue}}}}}"
        );
        let agent = passer(folder.path(), &exporter);
        let held = |agent: &Agent| agent.counter("throughline_exporter_held_items", "data_type=\"logs\"");
        let senders: Vec<_> = (0..3)
            .map(|_| {
                let address = agent.http();
                let sender = std::thread::spawn(move || {
                    http::request(&address, "POST", "/v1/logs", &[PROTOBUF], &otlp::log("waits"))
                        .map(|reply| reply.status)
                });
                if refused {
                    await_that("the first waits", || held(&agent) >= 1.0);
                }
                sender
            })
            .collect();
        if refused {
            await_that("two were refused", || {
                agent.counter("otelcol_exporter_enqueue_failed_log_records", "exporter=\"otlp_http\"") == 2.0
            });
        } else {
            await_that("all wait", || held(&agent) == 3.0);
        }
        drop(agent);
        senders.into_iter().for_each(|sender| drop(sender.join()));
    }
}
