//! On one core the agent has one thread for everything (docs/adr/0005-runtime.md): nothing may wait for what it blocks itself.

use std::collections::BTreeSet;

use throughline_tests::{Agent, await_that, github, http, records};

use crate::otlp;

const CONFIG: &str = "
receivers:
  otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}
  github: {webhook: {endpoint: '127.0.0.1:0', secret: \"It's a Secret to Everybody\"}, storage: file_storage}
extensions: {file_storage: {directory: data, create_directory: true}}
processors: {change: {storage: file_storage}, secrets: , batch: {timeout: 10ms}}
connectors: {change_metrics: {storage: file_storage, lateness: 1s}}
exporters:
  file: {path: logs.jsonl}
  prometheus: {endpoint: '127.0.0.1:0', storage: file_storage}
service:
  extensions: [file_storage]
  pipelines:
    traces: {receivers: [github], processors: [change, secrets], exporters: [file]}
    logs: {receivers: [otlp, github], processors: [change, secrets, batch], exporters: [file, change_metrics]}
    metrics: {receivers: [change_metrics], exporters: [prometheus]}
";

#[test]
fn an_agent_on_one_core_keeps_reloads_delivers_and_drains() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let path = folder.path().join("logs.jsonl");
    let sent: BTreeSet<String> = (0..40).map(|number| format!("record {number}")).collect();
    let send = |agent: &Agent, from: usize| {
        for body in sent.iter().skip(from).take(20) {
            let headers = [("content-type", "application/x-protobuf")];
            assert_eq!(http::post(&agent.http(), "/v1/logs", &headers, &otlp::log(body)).status, 200);
        }
    };
    let agent = Agent::start_on_one_core(folder.path(), CONFIG);
    send(&agent, 0);
    for delivery in github::change() {
        assert_eq!(delivery.send(&agent.address("github", "/events")).status, 200);
    }
    agent.kill();

    let agent = Agent::start_on_one_core(folder.path(), CONFIG);
    agent.signal("HUP");
    agent.await_log("\"message\":\"reloaded\"");
    send(&agent, 20);
    await_that("all came", || {
        let bodies: BTreeSet<_> = records::read(&path).iter().map(records::Record::body).collect();
        bodies.is_superset(&sent)
    });
    await_that("the page knows the change", || {
        let page = http::get(&agent.address("prometheus", "/metrics"), "/metrics").text();
        page.contains("change_lead_time_seconds_count")
    });
    agent.assert_sound();
    assert_eq!(agent.stop().code, Some(0));
}
