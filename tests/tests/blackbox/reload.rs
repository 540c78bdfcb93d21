//! SIGHUP and SIGTERM under load: nothing that was acknowledged is lost, and a wrong configuration changes nothing.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use throughline_tests::{Agent, await_that, http, records};

use crate::otlp;

const ONE: &str = "
receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}}
exporters:
  file/one: {path: one.jsonl}
service:
  pipelines:
    logs: {receivers: [otlp], exporters: [file/one]}
";

const TWO: &str = "
receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}}
exporters:
  file/one: {path: one.jsonl}
  file/two: {path: two.jsonl}
service:
  pipelines:
    logs: {receivers: [otlp], exporters: [file/one, file/two]}
";

/// A client that sends numbered records one after another, until it is told to stop or refused a connection.
struct Sender {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Sent>,
}

#[derive(Default)]
struct Sent {
    acknowledged: BTreeSet<String>,
    failed: Vec<String>,
}

impl Sender {
    fn start(name: &str, address: String) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, name) = (Arc::clone(&stop), name.to_owned());
        let thread = std::thread::spawn(move || {
            let mut sent = Sent::default();
            for number in 0.. {
                if told.load(Ordering::Relaxed) {
                    break;
                }
                let body = format!("{name} {number}");
                let headers = [("content-type", "application/x-protobuf")];
                match http::request(&address, "POST", "/v1/logs", &headers, &otlp::log(&body)) {
                    Ok(reply) if reply.status == 200 => drop(sent.acknowledged.insert(body)),
                    Ok(reply) => sent.failed.push(format!("{} {}", reply.status, reply.text())),
                    Err(error) => sent.failed.push(error.to_string()),
                }
            }
            sent
        });
        Self { stop, thread }
    }

    fn stop(self) -> Sent {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the sender does not panic")
    }
}

fn bodies(path: &Path) -> BTreeSet<String> {
    records::read(path).iter().map(records::Record::body).collect()
}

#[test]
fn a_reload_under_load_loses_no_request_and_a_wrong_configuration_changes_nothing() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let agent = Agent::start(folder.path(), ONE);
    let (one, two) = (folder.path().join("one.jsonl"), folder.path().join("two.jsonl"));
    let senders: Vec<_> = ["a", "b", "c"].map(|name| Sender::start(name, agent.http())).into();
    await_that("the senders are at work", || bodies(&one).len() > 50);

    let config = folder.path().join("agent.yaml");
    std::fs::write(&config, TWO).expect("the folder can be written");
    agent.signal("HUP");
    agent.await_log("\"message\":\"reloaded\"");
    await_that("the new exporter gets data", || bodies(&two).len() > 50);

    std::fs::write(&config, TWO.replace("file/two: {path: two.jsonl}", "file/two: {paht: two.jsonl}"))
        .expect("the folder can be written");
    agent.signal("HUP");
    agent.await_log("the new configuration is wrong, the old one stays");
    let before = bodies(&two).len();
    await_that("the old graph goes on", || bodies(&two).len() > before + 50);

    let mut acknowledged = BTreeSet::new();
    for sender in senders {
        let mut sent = sender.stop();
        assert!(sent.failed.is_empty(), "{:?}", sent.failed);
        acknowledged.append(&mut sent.acknowledged);
    }
    agent.assert_sound();
    assert_eq!(agent.stop().code, Some(0));
    let written = records::read(&one);
    assert_eq!(written.len(), acknowledged.len(), "each record once");
    assert_eq!(bodies(&one), acknowledged);
}

#[test]
fn sigterm_under_load_drains_and_nothing_acknowledged_is_lost() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let agent = Agent::start(folder.path(), TWO);
    let (one, two) = (folder.path().join("one.jsonl"), folder.path().join("two.jsonl"));
    let senders: Vec<_> = ["a", "b", "c"].map(|name| Sender::start(name, agent.http())).into();
    await_that("the senders are at work", || bodies(&one).len() > 100);
    let ended = agent.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    let acknowledged: BTreeSet<String> =
        senders.into_iter().flat_map(|sender| sender.stop().acknowledged).collect();
    for path in [&one, &two] {
        let written = bodies(path);
        let lost: Vec<_> = acknowledged.difference(&written).collect();
        assert!(lost.is_empty(), "{} acknowledged, lost in {}: {lost:?}", acknowledged.len(), path.display());
    }
}
