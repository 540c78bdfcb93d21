//! `kill -9`: what was answered 200 arrives after a restart (invariant 4), at a destination that was down, and on a page.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;
use throughline_tests::{Agent, await_that, http, records, soak};

use crate::otlp;

fn stored(destination: &str) -> String {
    format!(
        "
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:0'}}}}}}}}
extensions: {{file_storage: {{directory: storage, create_directory: true}}}}
exporters:
  otlp_http:
    endpoint: 'http://{destination}'
    sending_queue: {{storage: file_storage}}
    retry_on_failure: {{initial_interval: 100ms, max_interval: 200ms, max_elapsed_time: 0s}}
service:
  extensions: [file_storage]
  pipelines:
    logs: {{receivers: [otlp], exporters: [otlp_http]}}
"
    )
}

fn destination(folder: &Path, address: &str) -> Agent {
    std::fs::create_dir_all(folder).expect("the test's folder can be written");
    Agent::start(
        folder,
        &format!(
            "
receivers: {{otlp: {{protocols: {{http: {{endpoint: '{address}'}}}}}}}}
exporters: {{file: {{path: logs.jsonl}}}}
service: {{pipelines: {{logs: {{receivers: [otlp], exporters: [file]}}}}}}
"
        ),
    )
}

#[test]
fn every_request_that_was_answered_200_arrives_after_kill_9_and_a_restart() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    // An address that nobody serves until the end.
    let address = http::free_address();
    let config = stored(&address);
    let mut acknowledged = BTreeSet::new();
    for round in 0..soak::rounds(3, 300) {
        let agent = Agent::start(folder.path(), &config);
        let to = agent.http();
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                let to = to.clone();
                std::thread::spawn(move || {
                    let mut kept = Vec::new();
                    // Until the agent is gone.
                    for number in 0.. {
                        let body = format!("{round} {sender} {number}");
                        let headers = [("content-type", "application/x-protobuf")];
                        match http::request(&to, "POST", "/v1/logs", &headers, &otlp::log(&body)) {
                            Ok(reply) if reply.status == 200 => kept.push(body),
                            Ok(reply) => panic!("{} {}", reply.status, reply.text()),
                            Err(_) => break,
                        }
                    }
                    kept
                })
            })
            .collect();
        let accepted = || agent.counter("otelcol_receiver_accepted_log_records", "receiver=\"otlp\"");
        await_that("some are acknowledged", || accepted() > 60.0);
        agent.kill();
        for sender in senders {
            acknowledged.extend(sender.join().expect("no sender panics"));
        }
    }
    assert!(acknowledged.len() >= 150, "{} were acknowledged", acknowledged.len());

    let sink = destination(&folder.path().join("sink"), &address);
    let agent = Agent::start(folder.path(), &config);
    let path = sink.folder().join("logs.jsonl");
    let arrived = || records::read(&path).iter().map(records::Record::body).collect::<BTreeSet<_>>();
    await_that("all that was acknowledged arrives", || acknowledged.is_subset(&arrived()));
    agent.assert_sound();
    assert_eq!(agent.stop().code, Some(0));
    sink.assert_sound();
}

const PAGE: &str = "
receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}}
extensions: {file_storage: {directory: storage, create_directory: true}}
exporters: {prometheus: {endpoint: '127.0.0.1:0', storage: file_storage, without_scope_info: true}}
service:
  extensions: [file_storage]
  pipelines: {metrics: {receivers: [otlp], exporters: [prometheus]}}
";

/// Sends totals that count up, a series each, until the agent is gone, and scrapes meanwhile. For each series the last total
/// that was acknowledged, and the last that was sent.
fn count_up(agent: Agent, from: u64, enough: impl Fn(&Agent) -> bool) -> Vec<(u64, u64)> {
    let (to, page) = (agent.http(), agent.address("prometheus", "/metrics"));
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            let to = to.clone();
            std::thread::spawn(move || {
                let mut acknowledged = from;
                for total in from + 1.. {
                    let point = json!({ "asInt": total.to_string(), "timeUnixNano": total.to_string(),
                        "attributes": [{ "key": "sender", "value": { "intValue": sender } }] });
                    let sum = json!({ "name": "sent", "sum": { "aggregationTemporality": 2, "isMonotonic": true,
                        "dataPoints": [point] } });
                    let body = json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": [sum] }] }] });
                    let headers = [("content-type", "application/json")];
                    match http::request(&to, "POST", "/v1/metrics", &headers, body.to_string().as_bytes()) {
                        Ok(reply) if reply.status == 200 => acknowledged = total,
                        Ok(reply) => panic!("{} {}", reply.status, reply.text()),
                        Err(_) => return (acknowledged, total),
                    }
                }
                unreachable!("the agent is killed");
            })
        })
        .collect();
    await_that("enough is acknowledged", || {
        assert_eq!(http::get(&page, "/metrics").status, 200);
        enough(&agent)
    });
    agent.kill();
    senders.into_iter().map(|sender| sender.join().expect("no sender panics")).collect()
}

#[test]
fn a_page_shows_what_was_acknowledged_after_kill_9_with_and_without_a_snapshot() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let accepted =
        |agent: &Agent| agent.counter("otelcol_receiver_accepted_metric_points", "receiver=\"otlp\"");
    let check = |agent: &Agent, sent: &[(u64, u64)]| {
        let page = agent.address("prometheus", "/metrics");
        for (sender, (acknowledged, last)) in sent.iter().enumerate() {
            let name = format!("sent_total{{sender=\"{sender}\"}} ");
            let mut shown = None;
            // What no snapshot held comes out of the stream.
            await_that("the page shows what was acknowledged", || {
                let text = http::get(&page, "/metrics").text();
                shown = text.lines().find_map(|line| line.strip_prefix(&name)?.parse::<u64>().ok());
                shown.is_some_and(|total| total >= *acknowledged)
            });
            assert!(shown <= Some(*last), "{shown:?} of {last}");
        }
    };
    let first = count_up(Agent::start(folder.path(), PAGE), 0, |agent| accepted(agent) > 60.0);

    let agent = Agent::start(folder.path(), PAGE);
    check(&agent, &first);
    let journal = || {
        let files = std::fs::read_dir(folder.path().join("storage")).expect("the storage is there").flatten();
        let journals = files.filter(|file| file.file_name().to_string_lossy().starts_with("journal-"));
        journals.filter_map(|file| file.metadata().ok()).map(|file| file.len()).max().unwrap_or_default()
    };
    let empty = journal();
    let second = count_up(agent, 10_000_000, |_| journal() > empty);

    // Much came after the snapshot: nobody waited for one.
    let agent = Agent::start(folder.path(), PAGE);
    check(&agent, &second);
    agent.assert_sound();
    assert_eq!(agent.stop().code, Some(0));

    // A clean end leaves a snapshot of everything.
    let agent = Agent::start(folder.path(), PAGE);
    check(&agent, &second);
    agent.assert_sound();
    assert_eq!(agent.stop().code, Some(0));
}
