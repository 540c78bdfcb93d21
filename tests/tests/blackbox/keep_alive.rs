//! Reloads under load from clients that keep their connections: HTTP/1.1 with keep-alive, and HTTP/2 with several requests in
//! flight on one connection. Whoever was acknowledged is written; whoever was refused may try again.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use bytes::Bytes;
use throughline_tests::{Agent, await_that, http, records};

use crate::grpc::Connection;
use crate::otlp;

const CONFIG: &str = "
receivers:
  otlp: {protocols: {grpc: {endpoint: '127.0.0.1:0'}, http: {endpoint: '127.0.0.1:0'}}}
processors:
  batch: {timeout: 20ms}
exporters:
  file/one: {path: one.jsonl}
  file/two: {path: two.jsonl}
service:
  pipelines:
    logs: {receivers: [otlp], processors: [batch], exporters: [file/one]}
";

const LOGS: &str = "logs.v1.LogsService";

/// What became of what one client sent.
#[derive(Default)]
struct Sent {
    acknowledged: BTreeSet<String>,
    /// Refusals, in words.
    refused: Vec<String>,
    connections: usize,
}

/// Clients at work, until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Sent>>,
}

impl Load {
    /// Three clients over HTTP, each with a connection of its own, and eight that share one over gRPC.
    fn start(agent: &Agent) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = Vec::new();
        for name in ["a", "b", "c"] {
            let (stop, address) = (Arc::clone(&stop), agent.http());
            clients.push(std::thread::spawn(move || over_http(name, &address, &stop)));
        }
        let (own, address) = (Arc::clone(&stop), agent.grpc());
        clients.push(std::thread::spawn(move || over_grpc(&address, &own)));
        Self { stop, clients }
    }

    fn stop(self) -> Vec<Sent> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().map(|client| client.join().expect("no client panics")).collect()
    }
}

fn over_http(name: &str, address: &str, stop: &AtomicBool) -> Sent {
    let mut sent = Sent::default();
    let mut kept: Option<HttpConnection> = None;
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let connection = kept.get_or_insert_with(|| {
            sent.connections += 1;
            HttpConnection::connect(address)
        });
        let body = format!("{name} {number}");
        match connection.send(address, &otlp::log(&body)) {
            Some((200, _)) => drop(sent.acknowledged.insert(body)),
            Some((status, why)) => sent.refused.push(format!("{status} {why}")),
            None => sent.refused.push("the connection broke without an answer".into()),
        }
        number += 1;
        if connection.ended {
            kept = None;
        }
    }
    sent
}

fn over_grpc(address: &str, stop: &AtomicBool) -> Sent {
    let connection = Connection::open(address);
    let mut sent = Sent { connections: 1, ..Sent::default() };
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let bodies: Vec<_> = (number..number + 8).map(|number| format!("grpc {number}")).collect();
        number += 8;
        let answers = connection.export_together(LOGS, bodies.iter().map(|body| otlp::log(body)).collect());
        for (body, answer) in bodies.into_iter().zip(answers) {
            match answer {
                Ok(_) => drop(sent.acknowledged.insert(body)),
                Err(status) => sent.refused.push(format!("{:?} {}", status.code(), status.message())),
            }
        }
    }
    sent
}

/// A connection that is used again and again.
struct HttpConnection {
    stream: BufReader<TcpStream>,
    /// The server said that it closes it.
    ended: bool,
}

impl HttpConnection {
    fn connect(address: &str) -> Self {
        let stream = BufReader::new(http::connect(address).expect("the agent listens"));
        Self { stream, ended: false }
    }

    /// The status and body of the answer; none if the connection ends without.
    fn send(&mut self, address: &str, body: &[u8]) -> Option<(u16, String)> {
        self.write(&[&head(address, body.len()), body].concat());
        self.answer()
    }

    fn write(&mut self, bytes: &[u8]) {
        // If the server has hung up, the missing answer tells.
        drop(self.stream.get_mut().write_all(bytes));
    }

    fn answer(&mut self) -> Option<(u16, String)> {
        let mut line = String::new();
        self.stream.read_line(&mut line).ok().filter(|read| *read > 0).or_else(|| {
            self.ended = true;
            None
        })?;
        let status = line.split(' ').nth(1)?.parse().ok()?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).ok()?;
            let line = line.trim().to_lowercase();
            match line.split_once(": ") {
                Some(("content-length", value)) => length = value.parse().ok()?,
                Some(("connection", "close")) => self.ended = true,
                _ if line.is_empty() => break,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).ok()?;
        Some((status, String::from_utf8_lossy(&body).into_owned()))
    }

    /// Whether the server hangs up, which is its right between two requests.
    fn is_closed_politely(&mut self) -> bool {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).is_ok() && rest.is_empty()
    }
}

fn head(address: &str, length: usize) -> Vec<u8> {
    let head = format!(
        "POST /v1/logs HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/x-protobuf\r\ncontent-length: {length}\r\n\r\n"
    );
    head.into_bytes()
}

fn bodies(path: &Path) -> BTreeSet<String> {
    records::read(path).iter().map(records::Record::body).collect()
}

/// Puts another configuration in place and has it loaded; the agent has said so when this returns.
fn reload(agent: &Agent, config: &str) {
    let said = |agent: &Agent| agent.log().matches("\"message\":\"reloaded\"").count();
    let before = said(agent);
    std::fs::write(agent.folder().join("agent.yaml"), config).expect("the folder can be written");
    agent.signal("HUP");
    await_that("the agent has reloaded", || said(agent) > before);
}

#[test]
fn reloads_under_load_keep_connections_and_lose_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let agent = Agent::start(folder.path(), CONFIG);
    let (one, two) = (folder.path().join("one.jsonl"), folder.path().join("two.jsonl"));
    let load = Load::start(&agent);
    await_that("the clients are at work", || bodies(&one).len() > 100);
    let both = CONFIG.replace("exporters: [file/one]", "exporters: [file/one, file/two]");
    for round in 0..6 {
        let written = bodies(&one).len();
        reload(&agent, if round % 2 == 0 { &both } else { CONFIG });
        await_that("the load goes on", || bodies(&one).len() > written + 50);
    }
    let sent = load.stop();
    agent.assert_sound();
    assert_eq!(agent.stop().code, Some(0));
    assert!(bodies(&two).len() > 50, "the second exporter was in service");
    let written = bodies(&one);
    for Sent { acknowledged, refused, connections } in sent {
        let lost: Vec<_> = acknowledged.difference(&written).collect();
        assert!(lost.is_empty(), "{} acknowledged, lost: {lost:?}", acknowledged.len());
        assert!(acknowledged.len() > 10, "a client starved: {}", acknowledged.len());
        // 503 and UNAVAILABLE are what OTLP has clients try again after.
        let fatal = |why: &&String| !why.starts_with("503 ") && !why.starts_with("Unavailable ");
        let fatal: Vec<_> = refused.iter().filter(fatal).collect();
        assert!(fatal.is_empty(), "{fatal:?}");
        assert!(connections <= 7, "a connection is kept, or closed once a reload: {connections}");
    }
}

#[test]
fn a_request_whose_body_arrives_over_a_reload_is_answered() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let agent = Agent::start(folder.path(), CONFIG);
    let (address, body) = (agent.http(), otlp::log("slow"));
    let mut slow = HttpConnection::connect(&address);
    slow.write(&head(&address, body.len()));
    slow.write(&body[..5]);
    // The agent has it in hand: a request of a neighbour that came later is through.
    assert_eq!(
        HttpConnection::connect(&address).send(&address, &otlp::log("beside it")).map(|(status, _)| status),
        Some(200)
    );
    reload(&agent, CONFIG);
    slow.write(&body[5..]);
    let (status, why) = slow.answer().expect("it is answered");
    assert!(matches!(status, 200 | 503), "{status} {why}");
    let path = folder.path().join("one.jsonl");
    let written = bodies(&path);
    assert_eq!(written.contains("slow"), status == 200, "what it was told is what was done: {status} {why}");
    let again = slow.send(&address, &body).map(|(status, _)| status);
    assert_eq!(again, Some(200), "sent again, on the same connection, it finds the new pipeline");
    assert!(bodies(&path).contains("slow"));
    agent.assert_sound();
    assert_eq!(agent.stop().code, Some(0));
}

#[test]
fn a_reload_that_takes_a_listener_away_closes_its_idle_connections_politely_and_leaves_the_others() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let agent = Agent::start(folder.path(), CONFIG);
    let address = agent.http();
    let mut idle = HttpConnection::connect(&address);
    assert_eq!(idle.send(&address, &otlp::log("over HTTP")).map(|(status, _)| status), Some(200));
    let grpc = Connection::open(&agent.grpc());
    let answers = |text: &str| grpc.export_together(LOGS, vec![otlp::log(text), Bytes::new()]);
    assert!(answers("over gRPC").iter().all(Result::is_ok));
    reload(&agent, &CONFIG.replace(", http: {endpoint: '127.0.0.1:0'}", ""));
    assert!(idle.is_closed_politely());
    let refused = TcpStream::connect(&address);
    assert!(refused.is_err(), "nobody listens there any more");
    assert!(answers("the same connection").iter().all(Result::is_ok));
    agent.assert_sound();
    assert_eq!(agent.stop().code, Some(0));
    let written = bodies(&folder.path().join("one.jsonl"));
    let expected = ["over HTTP", "over gRPC", "the same connection"].map(String::from);
    assert_eq!(written, BTreeSet::from(expected));
}
