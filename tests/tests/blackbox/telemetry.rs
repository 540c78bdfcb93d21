//! What the agent tells of itself after real traffic: the Collector's names and labels, as its dashboards ask for them.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use throughline_tests::{Agent, await_that, backends, github, http};

use crate::grpc::{Call, export};
use crate::otlp;

/// The OTLP exporter finds nobody at its address, so that its queue fills.
const CONFIG: &str = "
receivers:
  otlp: {protocols: {grpc: {endpoint: '127.0.0.1:0'}, http: {endpoint: '127.0.0.1:0', max_request_body_size: 1MiB}}}
  github: {webhook: {endpoint: '127.0.0.1:0', secret: \"It's a Secret to Everybody\"}}
processors:
  change:
  secrets:
  memory_limiter: {check_interval: 1s, limit_mib: 4000}
  batch/small: {send_batch_size: 2, timeout: 20ms}
exporters:
  file: {path: logs.jsonl}
  otlp_http:
    endpoint: 'http://127.0.0.1:1'
    retry_on_failure: {initial_interval: 60s}
    sending_queue: {num_consumers: 1, queue_size: 2}
service:
  pipelines:
    logs: {receivers: [otlp, github], processors: [memory_limiter, change, secrets, batch/small], exporters: [file]}
    traces: {receivers: [otlp], exporters: [otlp_http]}
";

/// Starts the agent and sends it something of everything.
fn after_traffic(folder: &Path) -> Agent {
    let agent = Agent::start(folder, CONFIG);
    let protobuf = [("content-type", "application/x-protobuf")];
    let two = otlp::logs(&[otlp::log_record(b"one"), otlp::log_record(b"two")]);
    assert_eq!(http::post(&agent.http(), "/v1/logs", &protobuf, &two).status, 200);
    assert!(export(&agent.grpc(), "logs.v1.LogsService", otlp::log("three"), &Call::default()).is_ok());
    assert_eq!(http::post(&agent.http(), "/v1/logs", &protobuf, &two[..9]).status, 400);
    for delivery in github::change().iter().take(1) {
        assert_eq!(delivery.send(&agent.address("github", "/events")).status, 200);
    }
    agent
}

/// The value of one series, named with all its labels.
fn value(page: &str, series: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn the_page_has_the_collectors_names_labels_and_buckets_after_real_traffic() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let agent = after_traffic(folder.path());
    let page = agent.metrics();
    for (series, expected) in [
        ("otelcol_receiver_accepted_log_records{receiver=\"otlp\",transport=\"http\"}", 2.0),
        ("otelcol_receiver_accepted_log_records{receiver=\"otlp\",transport=\"grpc\"}", 1.0),
        ("otelcol_receiver_accepted_log_records{receiver=\"github\",transport=\"http\"}", 1.0),
        ("otelcol_receiver_refused_log_records{receiver=\"otlp\",transport=\"http\"}", 0.0),
        ("otelcol_receiver_failed_log_records{receiver=\"otlp\",transport=\"grpc\"}", 0.0),
        ("otelcol_exporter_sent_log_records{exporter=\"file\"}", 4.0),
        ("otelcol_exporter_send_failed_log_records{exporter=\"file\"}", 0.0),
        ("otelcol_processor_memory_limiter_accepted_log_records{processor=\"memory_limiter\"}", 4.0),
        ("otelcol_processor_memory_limiter_refused_log_records{processor=\"memory_limiter\"}", 0.0),
        ("otelcol_processor_batch_batch_size_trigger_send{processor=\"batch/small\"}", 1.0),
        ("otelcol_processor_batch_timeout_trigger_send{processor=\"batch/small\"}", 2.0),
        ("otelcol_processor_batch_batch_send_size_bucket{processor=\"batch/small\",le=\"10\"}", 3.0),
        ("otelcol_processor_batch_batch_send_size_bucket{processor=\"batch/small\",le=\"100000\"}", 3.0),
        ("otelcol_processor_batch_batch_send_size_bucket{processor=\"batch/small\",le=\"+Inf\"}", 3.0),
        ("otelcol_processor_batch_batch_send_size_sum{processor=\"batch/small\"}", 4.0),
        ("otelcol_processor_batch_batch_send_size_count{processor=\"batch/small\"}", 3.0),
        (
            "otelcol_processor_batch_batch_send_size_bytes_bucket{processor=\"batch/small\",le=\"16777216\"}",
            3.0,
        ),
        ("otelcol_processor_batch_batch_send_size_bytes_count{processor=\"batch/small\"}", 3.0),
    ] {
        assert_eq!(value(&page, series), Some(expected), "{series} in\n{page}");
    }
    let malformed =
        "throughline_receiver_malformed_requests{receiver=\"otlp\",transport=\"http\",signal=\"logs\"}";
    assert_eq!(value(&page, malformed), Some(1.0), "{page}");
    agent.assert_sound();
}

#[test]
fn the_queue_gauges_show_what_waits_and_how_much_may_and_what_found_it_full_is_counted() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let agent = Agent::start(folder.path(), CONFIG);
    let address = agent.http();
    let senders: Vec<_> = (0..3)
        .map(|_| {
            let address = address.clone();
            std::thread::spawn(move || {
                http::post(&address, "/v1/traces", &[PROTOBUF], &otlp::span("apply")).status
            })
        })
        .collect();
    let labels = "{exporter=\"otlp_http\",data_type=\"traces\"}";
    let gauge = |name: &str| value(&agent.metrics(), &format!("otelcol_exporter_{name}{labels}"));
    // One is on its way, two wait.
    await_that("the queue is full", || gauge("queue_size") == Some(2.0));
    assert_eq!(gauge("queue_capacity"), Some(2.0));
    let reply = http::post(&address, "/v1/traces", &[PROTOBUF], &otlp::span("apply"));
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert!(reply.text().contains("the queue of otlp_http is full"), "{}", reply.text());
    let failed = "otelcol_exporter_enqueue_failed_spans{exporter=\"otlp_http\"}";
    let page = agent.metrics();
    assert_eq!(value(&page, failed), Some(1.0), "{page}");
    assert_eq!(
        value(&page, "otelcol_exporter_send_failed_spans{exporter=\"otlp_http\"}"),
        Some(0.0),
        "{page}"
    );
    let refused = "otelcol_receiver_refused_spans{receiver=\"otlp\",transport=\"http\"}";
    assert_eq!(value(&page, refused), Some(1.0), "{page}");
    drop(agent);
    // The agent was killed: its senders hear of that one way or the other.
    senders.into_iter().for_each(|sender| drop(sender.join()));
}

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

#[test]
fn promtool_finds_nothing_wrong_with_the_agents_own_page_but_the_collectors_bare_names() {
    let name = "promtool_finds_nothing_wrong_with_the_agents_own_page_but_the_collectors_bare_names";
    let Some(promtool) = backends::promtool(name) else { return };
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let page = after_traffic(folder.path()).metrics();
    let mut check = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs");
    check.stdin.take().expect("it is piped").write_all(page.as_bytes()).expect("promtool reads");
    let output = check.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    // The Collector's default page has its counters without `_total`; names that dashboards know win over the lint.
    let findings: Vec<_> =
        said.lines().filter(|line| !line.contains("should have \"_total\" suffix")).collect();
    assert!(findings.is_empty(), "{findings:?} in\n{page}");
}

#[test]
fn every_family_of_the_page_is_in_the_documentation() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/self-telemetry.md");
    let docs = std::fs::read_to_string(docs).expect("the page is there");
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let page = after_traffic(folder.path()).metrics();
    let families = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let families: BTreeSet<_> = families.collect();
    assert!(families.len() > 20, "{families:?}");
    for family in families {
        let by_signal =
            ["spans", "metric_points", "log_records"].iter().find_map(|items| family.strip_suffix(items));
        let named = by_signal.map_or_else(|| family.to_owned(), |stem| format!("{stem}*"));
        assert!(docs.contains(&format!("`{named}`")), "docs/self-telemetry.md lacks {named}");
    }
}
