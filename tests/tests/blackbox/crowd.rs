//! Hundreds of connections that say nothing, too little or too slowly, beside a neighbour that wants its answers.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use throughline_tests::{Agent, await_that, http, records};

use crate::grpc::Connection;
use crate::otlp;

const CONFIG: &str = "
receivers:
  otlp:
    protocols:
      grpc: {endpoint: '127.0.0.1:0', read_header_timeout: 3s, read_timeout: 3s}
      http: {endpoint: '127.0.0.1:0', read_header_timeout: 3s, read_timeout: 3s}
exporters:
  file: {path: logs.jsonl}
service:
  pipelines:
    logs: {receivers: [otlp], exporters: [file]}
";

/// How a connection of the crowd behaves. Each stays open until the agent ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Silent,
    /// A byte of the head at a time, on and on.
    SlowHead,
    HalfPreface,
    HalfBody,
    /// HTTP/2 as it should be, without a single stream. That is no misbehaviour.
    NoStreams,
}

const MANNERS: [Manner; 5] =
    [Manner::Silent, Manner::SlowHead, Manner::HalfPreface, Manner::HalfBody, Manner::NoStreams];
const CROWD: usize = 400;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// An empty SETTINGS frame.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

impl Manner {
    fn join(self, agent: &Addresses) -> TcpStream {
        let address =
            if matches!(self, Self::HalfPreface | Self::NoStreams) { &agent.grpc } else { &agent.http };
        let mut stream = http::connect(address).expect("a connection");
        let body = otlp::log("never whole");
        let head = http::head(address, "POST", "/v1/logs", &[PROTOBUF], body.len());
        let said = match self {
            Self::Silent => Vec::new(),
            Self::SlowHead => head[..9].to_vec(),
            Self::HalfPreface => PREFACE[..12].to_vec(),
            Self::HalfBody => [&head[..], &body[..5]].concat(),
            Self::NoStreams => [PREFACE, SETTINGS].concat(),
        };
        stream.write_all(&said).expect("the agent takes it");
        stream
    }
}

struct Addresses {
    grpc: String,
    http: String,
}

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

/// Whether the agent has ended a connection; `said` takes what it says until then.
fn ended(stream: &mut TcpStream, said: &mut Vec<u8>) -> bool {
    stream.set_nonblocking(true).expect("a socket can be asked");
    !matches!(stream.read_to_end(said), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

/// Goes on with heads, byte by byte, until nobody listens any more.
fn dribble(mut streams: Vec<TcpStream>, over: Arc<AtomicBool>) -> std::thread::JoinHandle<Vec<TcpStream>> {
    std::thread::spawn(move || {
        while !over.load(Ordering::Relaxed) {
            // What the agent has closed refuses the byte; `ended` will see that.
            streams.iter_mut().for_each(|stream| drop(stream.write_all(b"x")));
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
        streams
    })
}

#[test]
fn four_hundred_idle_and_slow_connections_are_ended_and_a_neighbour_is_served_all_the_while() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let agent = Agent::start(folder.path(), CONFIG);
    let at = Addresses { grpc: agent.grpc(), http: agent.http() };
    let over = Arc::new(AtomicBool::new(false));
    let neighbour = {
        let (over, http, grpc) = (Arc::clone(&over), at.http.clone(), Connection::open(&at.grpc));
        let answered = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&answered);
        let work = std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let reply = http::post(&http, "/v1/logs", &[PROTOBUF], &otlp::log("good"));
                assert_eq!(reply.status, 200, "{}", reply.text());
                let answers = grpc.export_together("logs.v1.LogsService", vec![otlp::log("good")]);
                assert!(answers.iter().all(Result::is_ok), "{answers:?}");
                count.fetch_add(2, Ordering::Relaxed);
            }
        });
        (work, answered)
    };
    let mut crowd: Vec<(Manner, TcpStream)> =
        MANNERS.into_iter().cycle().take(CROWD).map(|manner| (manner, manner.join(&at))).collect();
    let while_all_were_there = neighbour.1.load(Ordering::Relaxed);
    let (slow, others): (Vec<_>, Vec<_>) =
        crowd.drain(..).partition(|(manner, _)| *manner == Manner::SlowHead);
    let slow = dribble(slow.into_iter().map(|(_, stream)| stream).collect(), Arc::clone(&over));
    let (mut well_behaved, bad): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|(manner, _)| *manner == Manner::NoStreams);
    let mut bad: Vec<_> = bad.into_iter().map(|(manner, stream)| (manner, stream, Vec::new())).collect();
    await_that("the silent and the half ones are ended", || {
        bad.iter_mut().all(|(_, stream, said)| ended(stream, said))
    });
    let refused = |reason: &str| {
        let reason = format!("component=\"otlp\",reason=\"{reason}\"");
        agent.counter("throughline_server_refused_requests", &reason)
    };
    let each = CROWD / MANNERS.len();
    await_that("all of them are counted", || {
        refused("slow_connection") >= (3 * each) as f64 && refused("too_slow") >= each as f64
    });
    assert_eq!((refused("slow_connection"), refused("too_slow")), ((3 * each) as f64, each as f64));
    for (_, _, said) in bad.iter().filter(|(manner, ..)| *manner == Manner::HalfBody) {
        let said = String::from_utf8_lossy(said);
        assert!(said.starts_with("HTTP/1.1 503") && said.contains("did not arrive within 3s"), "{said}");
    }
    await_that("the neighbour was served on", || {
        neighbour.1.load(Ordering::Relaxed) > while_all_were_there + 20
    });
    over.store(true, Ordering::Relaxed);
    neighbour.0.join().expect("every request of the neighbour was answered");
    let mut slow = slow.join().expect("it only writes");
    assert!(
        slow.iter_mut().all(|stream| ended(stream, &mut Vec::new())),
        "a byte a second does not keep a slot"
    );
    assert!(well_behaved.iter_mut().all(|(_, stream)| !ended(stream, &mut Vec::new())), "HTTP/2 may idle");
    agent.assert_sound();
    let sent = neighbour.1.load(Ordering::Relaxed);
    assert_eq!(agent.stop().code, Some(0));
    let written = records::read(&folder.path().join("logs.jsonl"));
    assert_eq!(written.len(), sent);
    assert!(written.iter().all(|record| record.body() == "good"));
}
