//! Compressed bodies that are not what they seem: bombs, torn ones, and those with another codec's label.

use bytes::Bytes;
use throughline_tests::http::{self, Reply};
use throughline_tests::{Agent, records};
use tonic::Code;

use crate::codecs::{ALL, bomb, squeeze};
use crate::grpc::{self, Call, export};
use crate::otlp;

/// Large enough for four gigabytes of zeros, compressed: the agent must find out by decompressing.
const CONFIG: &str = "
receivers:
  otlp:
    protocols:
      grpc: {endpoint: '127.0.0.1:0', max_recv_msg_size_mib: 6}
      http: {endpoint: '127.0.0.1:0', max_request_body_size: 6MiB}
exporters:
  file: {path: logs.jsonl}
service:
  pipelines:
    logs: {receivers: [otlp], exporters: [file]}
";

const LOGS: &str = "logs.v1.LogsService";
const LIMIT: &str = "6291456";
/// What the agent may need on top of its rest, be it for one bomb of four gigabytes or for two dozen at once: the budget bounds
/// what bodies hold together (20 MiB), the allocator keeps several times that for a while (`docs/adr/0003-allocator.md`).
const GROWTH: u64 = 256 << 20;

struct Subject {
    folder: tempfile::TempDir,
    agent: Agent,
    sent: usize,
}

fn start() -> Subject {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let agent = Agent::start(folder.path(), CONFIG);
    Subject { folder, agent, sent: 0 }
}

fn post(address: &str, codec: &str, body: &[u8]) -> Reply {
    let headers = [("content-type", "application/x-protobuf"), ("content-encoding", codec)];
    http::post(address, "/v1/logs", &headers, body)
}

impl Subject {
    /// A good sender beside the bad ones: compressed, over both protocols.
    fn neighbour(&mut self) {
        for codec in ALL {
            let body = otlp::log(&format!("good {}", self.sent));
            assert_eq!(post(&self.agent.http(), codec, &squeeze(codec, &body)).status, 200, "{codec}");
            self.sent += 1;
        }
        let body = otlp::log(&format!("good {}", self.sent));
        assert!(export(&self.agent.grpc(), LOGS, body, &Call::default()).is_ok());
        self.sent += 1;
    }

    /// While memory is short a good sender may be told to come back; then it does.
    fn patient_neighbour(&mut self) {
        let body = otlp::log(&format!("good {}", self.sent));
        let mut asked = 0;
        loop {
            match post(&self.agent.http(), "gzip", &squeeze("gzip", &body)).status {
                200 => break,
                status => assert_eq!(status, 503),
            }
            asked += 1;
            assert!(asked < 600, "the neighbour never gets through");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        self.sent += 1;
    }

    fn refused(&self, reason: &str) -> f64 {
        let reason = format!("component=\"otlp\",reason=\"{reason}\"");
        self.agent.counter("throughline_server_refused_requests", &reason)
    }

    /// The most memory that the agent ever had, in bytes, as the kernel knows it.
    fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.agent.pid()));
        let status = status.expect("the agent runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells it");
        line.trim_end_matches("kB").trim().parse::<u64>().expect("a number") * 1024
    }

    /// Since its peak was `before`.
    fn assert_not_grown(&self, before: u64) {
        let growth = self.peak().saturating_sub(before);
        assert!(growth < GROWTH, "a bomb must not go off: {growth} bytes more");
    }

    fn assert_still_well(mut self) {
        self.neighbour();
        self.agent.assert_sound();
        assert_eq!(self.agent.stop().code, Some(0));
        let written = records::read(&self.folder.path().join("logs.jsonl"));
        let written: Vec<_> = written.iter().map(records::Record::body).collect();
        let sent: Vec<_> = (0..self.sent).map(|number| format!("good {number}")).collect();
        assert_eq!(written, sent, "the neighbour's, and nothing else");
    }
}

#[test]
fn a_bomb_in_any_codec_is_refused_by_its_size_and_never_goes_off() {
    let mut subject = start();
    subject.neighbour();
    let before = subject.peak();
    let mut thrown = 0.0;
    for codec in ALL {
        // A few kilobytes for 16 MiB, then four gigabytes.
        for times in [1, 256] {
            let body = bomb(codec, times);
            assert!(body.len() < 6 << 20, "{codec}: only decompressed it is too large: {}", body.len());
            let reply = post(&subject.agent.http(), codec, &body);
            assert_eq!(reply.status, 413, "{codec} × {times}: {}", reply.text());
            assert_eq!(reply.header("content-type"), "application/x-protobuf");
            assert!(reply.text().contains(LIMIT), "{codec} × {times}: {}", reply.text());
            let status = grpc::call(&subject.agent.grpc(), LOGS, codec, &grpc::frame(true, &body));
            assert_eq!(status.code(), Code::ResourceExhausted, "{codec} × {times}: {status}");
            assert!(status.message().contains(LIMIT), "{codec} × {times}: {status}");
            assert!(status.details().is_empty(), "without RetryInfo it is not sent again");
            thrown += 2.0;
            subject.neighbour();
        }
    }
    assert_eq!(subject.refused("too_large"), thrown);
    subject.assert_not_grown(before);
    subject.assert_still_well();
}

#[test]
fn bombs_thrown_all_at_once_do_not_fill_the_memory_and_each_is_told_why() {
    let mut subject = start();
    subject.neighbour();
    let before = subject.peak();
    let bombs = ALL.map(|codec| (codec, Bytes::from(bomb(codec, 256))));
    let throwers: Vec<_> = (0..24)
        .map(|number| {
            let (codec, body) = bombs[number % bombs.len()].clone();
            let address = subject.agent.http();
            std::thread::spawn(move || post(&address, codec, &body))
        })
        .collect();
    subject.patient_neighbour();
    for thrower in throwers {
        let reply = thrower.join().expect("no thrower panics");
        // Too large, or there was no memory to find that out just now.
        let why = if reply.status == 413 { LIMIT } else { "memory budget" };
        assert!(matches!(reply.status, 413 | 503), "{reply:?}");
        assert!(reply.text().contains(why), "{}", reply.text());
    }
    assert_eq!(subject.refused("too_large") + subject.refused("over_budget"), 24.0);
    subject.assert_not_grown(before);
    subject.assert_still_well();
}

#[test]
fn a_torn_or_wrongly_labelled_body_is_told_which_codec_it_does_not_fit() {
    let mut subject = start();
    let good = otlp::logs(&vec![otlp::log_record(b"never written"); 50]);
    let mut refused = 0.0;
    let mut refuse = |subject: &Subject, label: &str, body: &[u8], what: &str| {
        let reply = post(&subject.agent.http(), label, body);
        assert_eq!(reply.status, 400, "{what}: {}", reply.text());
        let why = format!("does not decompress as {label}");
        assert!(reply.text().contains(&why), "{what}: {}", reply.text());
        let status = grpc::call(&subject.agent.grpc(), LOGS, label, &grpc::frame(true, body));
        assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status}");
        assert!(status.message().contains(&why), "{what}: {status}");
        refused += 2.0;
    };
    for codec in ALL {
        let whole = squeeze(codec, &good);
        for end in [1, 2, 5, 9, whole.len() / 2, whole.len() - 5, whole.len() - 1] {
            refuse(&subject, codec, &whole[..end], &format!("{codec} cut at {end}"));
        }
        for other in ALL.into_iter().filter(|other| *other != codec) {
            refuse(&subject, other, &whole, &format!("{codec} labelled {other}"));
        }
        refuse(&subject, codec, &good, &format!("plain labelled {codec}"));
        subject.neighbour();
    }
    assert_eq!(subject.refused("corrupt"), refused);
    subject.assert_still_well();
}

#[test]
fn a_codec_that_nobody_knows_and_a_frame_that_lies_are_told_so() {
    let mut subject = start();
    let good = otlp::log("never written");
    let reply = post(&subject.agent.http(), "br", &good);
    assert_eq!(reply.status, 415, "{}", reply.text());
    assert!(reply.text().contains("`br`") && reply.text().contains("zstd"), "{}", reply.text());
    let status = grpc::call(&subject.agent.grpc(), LOGS, "br", &grpc::frame(true, &good));
    assert_eq!(status.code(), Code::Unimplemented, "{status}");
    assert!(status.message().contains("`br`"), "{status}");
    assert_eq!(subject.refused("unknown_encoding"), 2.0);
    let mut longer = grpc::frame(false, &good);
    longer[4] += 1;
    let mut unknown = grpc::frame(false, &good);
    unknown[0] = 7;
    let lies = [
        ("identity", grpc::frame(true, &good), "no grpc-encoding is named"),
        ("identity", longer, "announces"),
        ("identity", grpc::frame(false, &good)[..3].to_vec(), "five bytes"),
        ("gzip", unknown, "flag 7"),
    ];
    for (codec, body, why) in &lies {
        let status = grpc::call(&subject.agent.grpc(), LOGS, codec, body);
        assert_eq!(status.code(), Code::InvalidArgument, "{why}: {status}");
        assert!(status.message().contains(why), "{why}: {status}");
    }
    assert_eq!(subject.refused("bad_frame"), lies.len() as f64);
    subject.neighbour();
    subject.assert_still_well();
}
