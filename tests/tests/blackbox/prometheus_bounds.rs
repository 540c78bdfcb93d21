//! What senders can make the Prometheus page hold.

use serde_json::{Value as Json, json};
use throughline_tests::{Agent, http};

const CONFIG: &str = "
receivers:
  otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}
exporters:
  prometheus: {endpoint: '127.0.0.1:0', max_bytes: 16MiB, max_page_bytes: 16MiB, max_label_value_bytes: 1MiB, max_buckets: 100000}
service:
  pipelines:
    metrics: {receivers: [otlp], exporters: [prometheus]}
";

/// What the agent may need on top: bounds, pages on their way, bodies, and what the allocator keeps.
const GROWTH: u64 = 256 << 20;

fn send(agent: &Agent, metrics: &[Json]) {
    let body = json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": metrics }] }] });
    let headers = [("content-type", "application/json")];
    let reply = http::post(&agent.http(), "/v1/metrics", &headers, body.to_string().as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
}

fn peak(agent: &Agent) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.pid())).expect("the agent runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells it");
    line.trim_end_matches("kB").trim().parse::<u64>().expect("a number") * 1024
}

#[test]
fn long_labels_and_wide_histograms_are_refused_by_their_bytes_and_the_page_is_still_served() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let agent = Agent::start(folder.path(), CONFIG);
    send(&agent, &[json!({ "name": "good", "gauge": { "dataPoints": [{ "asInt": "1" }] } })]);
    let before = peak(&agent);
    let long = "x".repeat(100_000);
    for request in 0..60 {
        let points: Vec<_> = (0..10)
            .map(|at| {
                let value = format!("{request}.{at}{long}");
                json!({ "asInt": "1", "attributes": [{ "key": "k", "value": { "stringValue": value } }] })
            })
            .collect();
        send(&agent, &[json!({ "name": "long", "gauge": { "dataPoints": points } })]);
    }
    let (bounds, counts): (Vec<_>, Vec<_>) = (0..20_000).map(|at| (f64::from(at), "1")).unzip();
    let counts: Vec<_> = counts.into_iter().chain(["1"]).collect();
    for request in 0..100 {
        let point = json!({ "bucketCounts": counts, "explicitBounds": bounds, "count": "20001",
            "attributes": [{ "key": "k", "value": { "intValue": request.to_string() } }] });
        let histogram = json!({ "aggregationTemporality": 2, "dataPoints": [point] });
        send(&agent, &[json!({ "name": "wide", "histogram": histogram })]);
    }
    let refused = |reason: &str| {
        let labels = format!("component=\"prometheus\",reason=\"{reason}\"");
        agent.counter("throughline_prometheus_refused_points", &labels)
    };
    let all = refused("max_bytes") + refused("max_page_bytes");
    assert!(all > 500.0, "{all} of 700 points");
    let page = http::get(&agent.address("prometheus", "/metrics"), "/metrics").text();
    assert!(page.contains("\ngood 1\n"), "what was there is served");
    assert!(page.len() <= 16 << 20, "{}", page.len());
    let growth = peak(&agent).saturating_sub(before);
    assert!(growth < GROWTH, "{growth} bytes more");
    agent.assert_sound();
}
