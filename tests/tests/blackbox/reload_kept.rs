//! A reload restarts only what changed: the rest keeps its connections and its queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use throughline_tests::backend::{Answer, Backend};
use throughline_tests::{Agent, await_that, http};

use crate::otlp;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

fn config(one: &Backend, two: &Backend, header: &str) -> String {
    let quick = "retry_on_failure: {initial_interval: 20ms, max_interval: 50ms}";
    format!(
        "
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:0'}}}}}}}}
processors: {{batch: {{timeout: 5ms}}}}
exporters:
  otlp_http/one: {{endpoint: 'http://{}', compression: none, {quick}}}
  otlp_http/two: {{endpoint: 'http://{}', compression: none, {quick}, headers: {{x-team: {header}}}}}
service:
  pipelines:
    logs: {{receivers: [otlp], processors: [batch], exporters: [otlp_http/one, otlp_http/two]}}
",
        one.address(),
        two.address()
    )
}

fn reload(agent: &Agent, text: &str, times: usize) {
    std::fs::write(agent.folder().join("agent.yaml"), text).expect("the folder can be written");
    agent.signal("HUP");
    let reloads = || agent.entries().iter().filter(|entry| entry["message"] == "reloaded").count();
    await_that("it has reloaded", || reloads() == times);
}

#[test]
fn a_reload_keeps_the_connections_of_what_it_does_not_change() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let (one, two) = (Backend::start(|_| Answer::ok()), Backend::start(|_| Answer::ok()));
    let agent = Agent::start(folder.path(), &config(&one, &two, "a"));
    // One connection to the agent, over all reloads.
    let mut client = http::KeptAlive::open(&agent.http());
    let mut send = |name: &str| assert_eq!(client.post("/v1/logs", &[PROTOBUF], &otlp::log(name)), 200);
    send("first");
    assert_eq!((one.connections(), two.connections()), (1, 1));
    reload(&agent, &config(&one, &two, "a"), 1);
    send("second");
    assert_eq!((one.connections(), two.connections()), (1, 1), "nothing has changed");
    reload(&agent, &config(&one, &two, "b"), 2);
    send("third");
    assert_eq!((one.connections(), two.connections()), (1, 2), "one exporter has changed");
    // Another pipeline of the same signal: the receiver and the exporters run on.
    let more = config(&one, &two, "b").replace(
        "    logs: {",
        "    logs/more: {receivers: [otlp], exporters: [otlp_http/one]}\n    logs: {",
    );
    reload(&agent, &more, 3);
    send("fourth");
    assert_eq!((one.connections(), two.connections()), (1, 2));
    assert_eq!((one.accepted().len(), two.accepted().len()), (5, 4));
    let plan = http::get(&agent.telemetry(), "/plan").text();
    assert!(plan.contains("logs/more\n  from    otlp") && plan.contains("  to      otlp_http/two"), "{plan}");
    agent.assert_sound();
    assert_eq!(agent.stop().code, Some(0));
}

#[test]
fn what_waits_in_the_queue_of_an_exporter_that_does_not_change_is_not_returned() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let code = Arc::new(AtomicU16::new(503));
    let says = Arc::clone(&code);
    let one = Backend::start(move |_| Answer::status(says.load(Ordering::Relaxed), "later"));
    let two = Backend::start(|_| Answer::ok());
    let agent = Agent::start(folder.path(), &config(&one, &two, "a"));
    let address = agent.http();
    let senders: Vec<_> = (0..3)
        .map(|number| {
            let address = address.clone();
            std::thread::spawn(move || {
                http::post(&address, "/v1/logs", &[PROTOBUF], &otlp::log(&format!("record {number}"))).status
            })
        })
        .collect();
    await_that("it fails", || one.attempts() > 2);
    std::fs::write(agent.folder().join("agent.yaml"), config(&one, &two, "b"))
        .expect("the folder can be written");
    agent.signal("HUP");
    await_that("the new configuration serves", || {
        agent.counter("throughline_reload_total", "result=\"success\"") == 1.0
    });
    // What is no longer in service would by now have told its senders to send again.
    let tried = one.attempts();
    await_that("it is tried again", || one.attempts() > tried + 3);
    code.store(200, Ordering::Relaxed);
    for sender in senders {
        assert_eq!(sender.join().expect("the sender does not panic"), 200, "it was not told to send again");
    }
    let bodies: std::collections::BTreeSet<_> = one.accepted().into_iter().collect();
    assert_eq!(bodies.len(), one.accepted().len(), "each once");
    agent.assert_sound();
    assert_eq!(agent.stop().code, Some(0));
}

#[test]
fn a_stored_backlog_of_an_exporter_that_does_not_change_is_delivered_once_over_many_reloads() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let code = Arc::new(AtomicU16::new(503));
    let says = Arc::clone(&code);
    let one = Backend::start(move |_| Answer::status(says.load(Ordering::Relaxed), "later"));
    let two = Backend::start(|_| Answer::ok());
    let stored = |header: &str| {
        let text = config(&one, &two, header).replace("    compression: none", "");
        let text = text.replacen(
            "compression: none, ",
            "compression: none, sending_queue: {storage: file_storage}, ",
            1,
        );
        let text = text.replace(", processors: [batch]", "");
        text.replace(
            "service:\n",
            "extensions: {file_storage: {directory: data, create_directory: true}}\nservice:\n  extensions: [file_storage]\n",
        )
    };
    let agent = Agent::start(folder.path(), &stored("a"));
    for number in 0..20 {
        let body = otlp::log(&format!("record {number}"));
        assert_eq!(http::post(&agent.http(), "/v1/logs", &[PROTOBUF], &body).status, 200);
    }
    for (times, header) in ["b", "c", "d"].into_iter().enumerate() {
        reload(&agent, &stored(header), times + 1);
    }
    code.store(200, Ordering::Relaxed);
    await_that("all arrive", || one.accepted().len() >= 20);
    assert_eq!(agent.stop().code, Some(0));
    let bodies: std::collections::BTreeSet<_> = one.accepted().into_iter().collect();
    assert_eq!((one.accepted().len(), bodies.len()), (20, 20), "each once");
}

#[test]
fn a_file_that_settings_name_makes_another_component_of_it() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let users = folder.path().join("users");
    std::fs::write(&users, "ada:first\n").expect("the folder can be written");
    let text = format!(
        "
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:0', auth: {{authenticator: basicauth}}}}}}}}}}
exporters: {{file: {{path: out.jsonl}}}}
extensions: {{basicauth: {{htpasswd: {{file: '{}'}}}}}}
service:
  extensions: [basicauth]
  pipelines: {{logs: {{receivers: [otlp], exporters: [file]}}}}
",
        users.display()
    );
    let agent = Agent::start(folder.path(), &text);
    // printf ada:first | base64, and ada:second
    let sent = |credentials: &str| {
        let header = format!("Basic {credentials}");
        let headers = [PROTOBUF, ("authorization", &*header)];
        http::post(&agent.http(), "/v1/logs", &headers, &otlp::log("x")).status
    };
    assert_eq!((sent("YWRhOmZpcnN0"), sent("YWRhOnNlY29uZA==")), (200, 401));
    std::fs::write(&users, "ada:second\n").expect("the folder can be written");
    reload(&agent, &text, 1);
    assert_eq!((sent("YWRhOmZpcnN0"), sent("YWRhOnNlY29uZA==")), (401, 200));
}
