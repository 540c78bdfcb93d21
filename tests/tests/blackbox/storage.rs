//! What an operator does with a storage: look at what waits, give it up, find damage in the numbers.

use std::path::{Path, PathBuf};

use throughline_tests::{Agent, await_that, cli, http};

use crate::otlp;

const CONFIG: &str = "
receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}}
extensions: {file_storage: {directory: storage, create_directory: true}}
exporters:
  otlp_http/down:
    endpoint: 'http://127.0.0.1:9'
    sending_queue: {storage: file_storage}
    retry_on_failure: {initial_interval: 100ms, max_interval: 200ms, max_elapsed_time: 0s}
service:
  extensions: [file_storage]
  pipelines:
    logs: {receivers: [otlp], exporters: [otlp_http/down]}
";

fn send(agent: &Agent, count: usize) {
    for number in 0..count {
        let headers = [("content-type", "application/x-protobuf")];
        let body = otlp::log(&format!("record {number}"));
        let reply = http::request(&agent.http(), "POST", "/v1/logs", &headers, &body).expect("it serves");
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
}

fn run(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output = cli(folder, &[&["queue", "--directory", "storage"], arguments].concat());
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn files(folder: &Path, what: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join("storage")).expect("the storage is there");
    let paths = entries.map(|entry| entry.expect("it can be read").path());
    paths.filter(|path| path.to_string_lossy().contains(what)).collect()
}

#[test]
fn what_waits_is_listed_and_given_up_and_an_agent_that_runs_is_not_disturbed() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let agent = Agent::start(folder.path(), CONFIG);
    send(&agent, 3);
    let waits = || agent.counter("throughline_storage_backlog_bytes", "destination=\"otlp_http/down\"");
    await_that("they wait", || waits() > 100.0);
    let (done, text) = run(folder.path(), &["ls"]);
    assert!(!done && text.contains("in use"), "{text}");
    agent.kill();

    let (done, text) = run(folder.path(), &["ls"]);
    let line = text.lines().find(|line| line.contains("otlp_http/down")).unwrap_or_default();
    let cells: Vec<&str> = line.split_whitespace().collect();
    assert!(done && cells.first() == Some(&"logs") && cells.get(4) == Some(&"3"), "{text}");

    assert!(!run(folder.path(), &["drop", "nobody"]).0);
    let (done, text) = run(folder.path(), &["drop", "otlp_http/down"]);
    assert!(done && text.contains("3 records"), "{text}");
    let (done, text) = run(folder.path(), &["ls"]);
    assert!(done && !text.contains("otlp_http/down"), "{text}");
    assert_eq!(files(folder.path(), "stream-"), Vec::<PathBuf>::new());
    Agent::start(folder.path(), CONFIG).kill();
}

#[test]
fn a_folder_that_is_no_storage_is_left_alone() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    std::fs::create_dir(folder.path().join("storage")).expect("it can be written");
    let (done, text) = run(folder.path(), &["ls"]);
    assert!(!done && text.contains("no storage"), "{text}");
    assert_eq!(files(folder.path(), ""), Vec::<PathBuf>::new());
}

#[test]
fn cursors_and_segments_that_somebody_removed_show_in_the_numbers() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let agent = Agent::start(folder.path(), CONFIG);
    send(&agent, 3);
    agent.kill();
    for path in files(folder.path(), "cursors-") {
        std::fs::remove_file(path).expect("it can be removed");
    }
    let agent = Agent::start(folder.path(), CONFIG);
    assert!(agent.counter("throughline_storage_lost_cursors", "") > 0.0);
    assert!(agent.log().contains("begins with the oldest record"));
    assert!(agent.counter("throughline_storage_records", "") >= 3.0, "nothing was removed");
    agent.kill();
    for path in files(folder.path(), "stream-") {
        std::fs::remove_file(path).expect("it can be removed");
    }
    let agent = Agent::start(folder.path(), CONFIG);
    assert!(agent.counter("throughline_storage_missing_segments", "") > 0.0);
    agent.kill();
}

#[test]
fn a_journal_that_cannot_be_read_turns_readiness_red_and_lets_nothing_through() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let config = "
receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}}
extensions:
  file_storage: {directory: storage, create_directory: true}
  health_check: {endpoint: '127.0.0.1:0'}
processors: {change: {storage: file_storage}}
exporters: {file: {path: out.jsonl}}
service:
  extensions: [file_storage, health_check]
  pipelines:
    logs: {receivers: [otlp], processors: [change], exporters: [file]}
";
    let agent = Agent::start(folder.path(), config);
    send(&agent, 1);
    assert_eq!(agent.stop().code, Some(0));
    for journal in files(folder.path(), "journal-") {
        let mut bytes = std::fs::read(&journal).expect("it is there");
        bytes.iter_mut().for_each(|byte| *byte ^= 0x55);
        std::fs::write(&journal, bytes).expect("it can be written");
    }
    let agent = Agent::start(folder.path(), config);
    let protobuf = [("content-type", "application/x-protobuf")];
    let health = || http::get(&agent.address("health_check", "/"), "/");
    let refused = || http::post(&agent.http(), "/v1/logs", &protobuf, &otlp::log("a")).status == 503;
    await_that("it refuses", refused);
    assert_eq!(health().status, 503, "{}", health().text());
    assert!(health().text().contains("processor change refuses everything"), "{}", health().text());
    assert_eq!(agent.stop().code, Some(0));
}
