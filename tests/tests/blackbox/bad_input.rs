//! What bad input gets: a protocol error that says why, a counter, and the neighbours go through. Nothing panics.

use std::io::{Read, Write};

use throughline_tests::http::{self, Reply};
use throughline_tests::{Agent, await_that, records};
use tonic::Code;
use tonic::codec::CompressionEncoding;

use crate::grpc::{Call, export};
use crate::otlp;

const CONFIG: &str = "
receivers:
  otlp:
    protocols:
      grpc: {endpoint: '127.0.0.1:0', max_recv_msg_size_mib: 1}
      http: {endpoint: '127.0.0.1:0', max_request_body_size: 1MiB, read_header_timeout: 1s, read_timeout: 1s}
exporters:
  file: {path: logs.jsonl}
service:
  pipelines:
    logs: {receivers: [otlp], exporters: [file]}
";

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");
const LOGS: &str = "logs.v1.LogsService";

/// An agent with small limits, and the folder it writes to.
struct Subject {
    folder: tempfile::TempDir,
    agent: Agent,
}

fn start() -> Subject {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let agent = Agent::start(folder.path(), CONFIG);
    Subject { folder, agent }
}

impl Subject {
    fn post(&self, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        http::post(&self.agent.http(), "/v1/logs", headers, body)
    }

    fn grpc(
        &self,
        body: impl Into<bytes::Bytes>,
        compression: Option<CompressionEncoding>,
    ) -> Result<bytes::Bytes, tonic::Status> {
        let call = Call { compression, ..Call::default() };
        export(&self.agent.grpc(), LOGS, body.into(), &call)
    }

    /// After all that, it still takes a good request over both protocols, its books balance and nothing has panicked.
    fn assert_still_well(self) {
        assert_eq!(self.post(&[PROTOBUF], &otlp::log("good over HTTP")).status, 200);
        assert!(self.grpc(otlp::log("good over gRPC"), None).is_ok());
        self.agent.assert_sound();
        let ended = self.agent.stop();
        assert_eq!(ended.code, Some(0), "{}", ended.log);
        let bodies: Vec<_> =
            records::read(&self.folder.path().join("logs.jsonl")).iter().map(records::Record::body).collect();
        for good in ["good over HTTP", "good over gRPC"] {
            assert!(bodies.iter().any(|body| body == good), "{good} is not among {bodies:?}");
        }
    }
}

#[test]
fn a_request_cut_anywhere_is_refused_or_whole_and_never_ends_the_agent() {
    let subject = start();
    let whole = otlp::logs(&[otlp::log_record(b"one"), otlp::log_record(b"two")]);
    for end in 1..whole.len() {
        let reply = subject.post(&[PROTOBUF], &whole[..end]);
        assert_eq!(reply.status, 400, "cut at {end}: {}", reply.text());
        assert_eq!(reply.header("content-type"), "application/x-protobuf");
        assert!(!reply.body.is_empty(), "the body says why");
        let status = subject.grpc(whole.slice(..end), None).expect_err("cut");
        assert_eq!(status.code(), Code::InvalidArgument, "cut at {end}: {status}");
        assert!(!status.message().is_empty());
    }
    assert!(subject.agent.counter("throughline_receiver_malformed_requests", "signal=\"logs\"") >= 2.0);
    subject.assert_still_well();
}

#[test]
fn flipped_bits_are_taken_or_refused_and_never_end_the_agent() {
    let subject = start();
    let whole = otlp::logs(&[otlp::log_record(b"one"), otlp::log_record("zwölf".as_bytes())]);
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let reply = subject.post(&[PROTOBUF], &flipped);
        assert!(matches!(reply.status, 200 | 400), "bit {bit}: {} {}", reply.status, reply.text());
    }
    subject.assert_still_well();
}

#[test]
fn what_is_nested_too_deep_is_refused_without_a_deep_stack() {
    let subject = start();
    assert_eq!(subject.post(&[PROTOBUF], &otlp::nested(10)).status, 200);
    for depth in [200, 5_000, 60_000] {
        let reply = subject.post(&[PROTOBUF], &otlp::nested(depth));
        assert_eq!(reply.status, 400, "{depth}: {}", reply.text());
        let status = subject.grpc(otlp::nested(depth), None).expect_err("too deep");
        assert_eq!(status.code(), Code::InvalidArgument, "{depth}: {status}");
        let mut json = "{\"arrayValue\":{\"values\":[".repeat(depth / 10);
        json.push_str(&"]}}".repeat(depth / 10));
        let json =
            format!("{{\"resourceLogs\":[{{\"scopeLogs\":[{{\"logRecords\":[{{\"body\":{json}}}]}}]}}]}}");
        if depth > 1_000 {
            assert_eq!(subject.post(&[JSON], json.as_bytes()).status, 400, "{depth} in JSON");
        }
    }
    subject.assert_still_well();
}

#[test]
fn what_is_larger_than_the_limit_is_refused_as_such() {
    let subject = start();
    let large = otlp::log(&"x".repeat(2 << 20));
    let reply = subject.post(&[PROTOBUF], &large);
    assert_eq!(reply.status, 413, "{}", reply.text());
    assert!(reply.text().contains("1048576"), "the limit is named: {}", reply.text());
    for compression in [None, Some(CompressionEncoding::Gzip)] {
        let status = subject.grpc(large.clone(), compression).expect_err("too large");
        assert_eq!(status.code(), Code::ResourceExhausted, "{compression:?}: {status}");
        assert!(status.details().is_empty(), "without RetryInfo it is not sent again");
    }
    let refused = subject.agent.counter("throughline_server_refused_requests", "reason=\"too_large\"");
    assert_eq!(refused, 3.0);
    subject.assert_still_well();
}

#[test]
fn a_wrong_type_method_or_path_is_told_apart() {
    let subject = start();
    let (address, body) = (subject.agent.http(), otlp::log("fine"));
    for kind in ["text/plain", "application/xml", "application/grpc", ""] {
        assert_eq!(subject.post(&[("content-type", kind)], &body).status, 415, "`{kind}`");
    }
    assert_eq!(subject.post(&[], &body).status, 415, "no content type");
    for method in ["GET", "PUT", "DELETE"] {
        let reply = http::request(&address, method, "/v1/logs", &[PROTOBUF], &body).expect("an answer");
        assert_eq!((reply.status, reply.header("allow")), (405, "POST"), "{method}");
        // Whoever opens the address in a browser sends no content type; the method is what is wrong.
        let reply = http::request(&address, method, "/v1/logs", &[], b"").expect("an answer");
        assert_eq!(reply.status, 405, "{method} without a content type");
    }
    for path in ["/", "/v1/log", "/v1/logs/", "/v2/logs", "/v1/traces", "/../v1/logs"] {
        let reply = http::post(&address, path, &[PROTOBUF], &body);
        assert_eq!(reply.status, 404, "{path}");
    }
    let unknown = export(&subject.agent.grpc(), "profiles.v1.ProfilesService", body, &Call::default());
    assert_eq!(unknown.expect_err("no such service").code(), Code::Unimplemented);
    let refused = |reason: &str| {
        let reason = format!("component=\"otlp\",reason=\"{reason}\"");
        subject.agent.counter("throughline_server_refused_requests", &reason)
    };
    assert_eq!(["content_type", "method", "no_such_path"].map(refused), [5.0, 6.0, 7.0]);
    subject.assert_still_well();
}

#[test]
fn a_record_with_invalid_utf_8_is_left_out_and_its_neighbours_go_through() {
    let subject = start();
    let request = otlp::logs(&[
        otlp::log_record(b"before"),
        otlp::log_record(b"da\xffmaged"),
        otlp::log_record(b"after"),
    ]);
    let reply = subject.post(&[PROTOBUF], &request);
    // ExportLogsServiceResponse.partial_success.rejected_log_records = 1, and a message.
    assert_eq!(
        (reply.status, &reply.body[..1], &reply.body[2..4]),
        (200, &[0x0a][..], &[0x08, 0x01][..]),
        "{reply:?}"
    );
    assert!(reply.text().contains("UTF-8"), "{}", reply.text());
    let answer = subject.grpc(request, None).expect("partial success is success");
    assert_eq!(answer[..], reply.body[..]);
    let path = subject.folder.path().join("logs.jsonl");
    let bodies: Vec<_> = records::read(&path).iter().map(records::Record::body).collect();
    assert_eq!(bodies, ["before", "after", "before", "after"]);
    assert_eq!(subject.agent.counter("throughline_rejected_items", "receiver=\"otlp\""), 2.0);
    subject.assert_still_well();
}

#[test]
fn bad_json_is_refused_with_its_place_in_a_json_status() {
    let subject = start();
    for (text, line) in [
        ("{", "line 1"),
        ("{\n  \"resourceLogs\": [\n    {]\n  ]\n}", "line 3"),
        ("{\"resourceLogs\": 7}", "line 1"),
        ("[]", "line 1"),
        ("{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"timeUnixNano\":\"many\"}]}]}]}", "line 1"),
    ] {
        let reply = subject.post(&[JSON], text.as_bytes());
        assert_eq!((reply.status, reply.header("content-type")), (400, "application/json"), "{text}");
        let status = reply.json();
        assert_eq!(status["code"], 3, "{text}: {status}");
        let message = status["message"].as_str().unwrap_or_default();
        assert!(message.contains(line) && message.contains("column"), "{text}: {message}");
    }
    assert_eq!(subject.post(&[JSON], b"").status, 400, "nothing is no JSON");
    subject.assert_still_well();
}

#[test]
fn an_empty_request_succeeds() {
    let subject = start();
    let reply = subject.post(&[PROTOBUF], b"");
    assert_eq!((reply.status, reply.body.len()), (200, 0));
    let reply = subject.post(&[JSON], b"{}");
    assert_eq!((reply.status, &*reply.text()), (200, "{}"));
    assert_eq!(subject.grpc(bytes::Bytes::new(), None).expect("it succeeds").len(), 0);
    subject.assert_still_well();
}

#[test]
fn slow_and_half_open_connections_are_ended_and_hundreds_do_not_disturb_others() {
    let subject = start();
    let address = subject.agent.http();
    let body = otlp::log("slow");
    let mut connections = Vec::new();
    for number in 0..300 {
        let mut stream = http::connect(&address).expect("a connection");
        let head = http::head(&address, "POST", "/v1/logs", &[PROTOBUF], body.len());
        // A third says nothing, a third stops within the head, a third within the body.
        let sent: &[u8] = match number % 3 {
            0 => b"",
            1 => &head[..head.len() - 3],
            _ => &[&head[..], &body[..3]].concat(),
        };
        stream.write_all(sent).expect("the agent takes it");
        connections.push((number, stream));
    }
    assert_eq!(subject.post(&[PROTOBUF], &otlp::log("beside them")).status, 200);
    for (number, stream) in &mut connections {
        let mut answer = Vec::new();
        // Ended in a second or so, by an answer or without; `connect` set a minute as the limit, which would be an error.
        let ended = stream.read_to_end(&mut answer);
        let waited = ended.is_err_and(|error| {
            matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
        });
        assert!(!waited, "connection {number} is kept open for ever");
        if *number % 3 == 2 {
            assert!(
                String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 503"),
                "{}",
                String::from_utf8_lossy(&answer)
            );
        }
    }
    subject.assert_still_well();
}

#[test]
fn three_hundred_senders_at_once_are_all_answered() {
    let subject = start();
    let address = subject.agent.http();
    let senders: Vec<_> = (0..300)
        .map(|number| {
            let address = address.clone();
            std::thread::spawn(move || {
                http::post(&address, "/v1/logs", &[PROTOBUF], &otlp::log(&format!("number {number}"))).status
            })
        })
        .collect();
    let answers: Vec<_> =
        senders.into_iter().map(|sender| sender.join().expect("no sender panics")).collect();
    assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
    await_that("all is written", || records::read(&subject.folder.path().join("logs.jsonl")).len() == 300);
    subject.assert_still_well();
}
