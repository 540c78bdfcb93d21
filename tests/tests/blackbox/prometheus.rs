//! A real Prometheus scrapes the agent, and promtool reads what it serves (M0-01 to M0-10, TRP-06).

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};
use throughline_tests::{Agent, await_that, backends, github, http};

const CONFIG: &str = "
receivers:
  otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}
  github: {webhook: {endpoint: '127.0.0.1:0', secret: \"It's a Secret to Everybody\"}}
processors: {change: , secrets: }
connectors: {events: , change_metrics: {lateness: 0s}}
exporters:
  prometheus: {endpoint: '127.0.0.1:0', enable_open_metrics: true}
service:
  pipelines:
    traces: {receivers: [otlp, github], processors: [change, secrets], exporters: [events]}
    logs: {receivers: [events, github], processors: [change, secrets], exporters: [change_metrics]}
    metrics: {receivers: [otlp, change_metrics], processors: [change, secrets], exporters: [prometheus]}
";

/// Starts the agent and has a change pass through it: opened, planned, applied, which fails first, and deployed.
fn played(folder: &Path) -> Agent {
    played_by(folder, CONFIG)
}

fn played_by(folder: &Path, config: &str) -> Agent {
    let agent = Agent::start(folder, config);
    for delivery in github::change() {
        assert_eq!(delivery.send(&agent.address("github", "/events")).status, 200);
    }
    let spans = [("tofu plan", 1, 8, "a"), ("tofu apply", 2, 31, "b"), ("tofu apply", 1, 35, "b")];
    for (index, (name, status, minute, commit)) in spans.into_iter().enumerate() {
        let start = 1_772_359_200_000_000_000_u64 + minute * 60_000_000_000;
        let span = json!({ "traceId": "0123456789abcdef0123456789abcdef", "spanId": format!("{:016x}", index + 1),
            "name": name, "kind": 1, "startTimeUnixNano": start.to_string(),
            "endTimeUnixNano": (start + 90_000_000_000).to_string(), "status": { "code": status },
            "attributes": [{ "key": "vcs.ref.head.revision", "value": { "stringValue": commit.repeat(40) } }] });
        let resource =
            json!([{ "key": "deployment.environment.name", "value": { "stringValue": "production" } }]);
        post(
            &agent,
            "traces",
            &json!({ "resourceSpans": [
            { "resource": { "attributes": resource }, "scopeSpans": [{ "spans": [span] }] }] }),
        );
    }
    let counter = json!({ "name": "http.server.requests", "unit": "{request}", "sum": {
        "aggregationTemporality": 2, "isMonotonic": true,
        "dataPoints": [{ "asInt": "12", "timeUnixNano": "1772359200000000000", "attributes": [
            { "key": "http.route", "value": { "stringValue": "/a\"b\\c\nd" } }] }] } });
    let resource = json!([{ "key": "service.name", "value": { "stringValue": "shop" } },
        { "key": "service.instance.id", "value": { "stringValue": "shop-1" } },
        { "key": "service.version", "value": { "stringValue": "1.2.3" } }]);
    post(
        &agent,
        "metrics",
        &json!({ "resourceMetrics": [
        { "resource": { "attributes": resource }, "scopeMetrics": [{ "metrics": [counter] }] }] }),
    );
    agent
}

fn post(agent: &Agent, signal: &str, body: &Json) {
    let headers = [("content-type", "application/json")];
    let reply = http::post(&agent.http(), &format!("/v1/{signal}"), &headers, body.to_string().as_bytes());
    assert_eq!((reply.status, &*reply.text()), (200, "{}"));
}

/// A Prometheus that is killed when dropped.
struct Prometheus {
    process: std::process::Child,
    address: String,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Prometheus {
    fn start(program: &Path, folder: &Path, targets: &[&str]) -> Self {
        let rules = std::fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/rules"));
        let rules = rules.expect("the examples are there").join("change.rules.yaml");
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{}']\nscrape_configs:\n\
             - {{job_name: agent, honor_labels: true, static_configs: [{{targets: {targets:?}}}]}}\n",
            rules.display()
        );
        std::fs::write(folder.join("prometheus.yml"), config).expect("the folder can be written");
        // Prometheus does not say which port it took: a free one is looked for, and given back just before.
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let address = free.expect("the loopback interface has a free port").to_string();
        let log = std::fs::File::create(folder.join("prometheus.log")).expect("the folder can be written");
        let mut command = Command::new(program);
        command.args([
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            "--enable-feature=exemplar-storage",
        ]);
        command.arg(format!("--web.listen-address={address}")).current_dir(folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = command.spawn().expect("Prometheus can be started");
        let prometheus = Self { process, address };
        await_that("Prometheus is ready", || {
            http::request(&prometheus.address, "GET", "/-/ready", &[], b"")
                .is_ok_and(|reply| reply.status == 200)
        });
        prometheus
    }

    fn api(&self, path: &str) -> Vec<Json> {
        let answer = http::get(&self.address, path).json();
        let data = if answer["data"].is_array() { &answer["data"] } else { &answer["data"]["result"] };
        data.as_array().cloned().unwrap_or_else(|| panic!("{path}: {answer}"))
    }

    /// Whether it reads names in quotes, as from version 3 on.
    fn reads_utf_8(&self) -> bool {
        let query = format!("/api/v1/query?query={}", encode(r#"{"a.b"}"#));
        http::get(&self.address, &query).json()["status"] == "success"
    }

    /// The samples of a query (already URL-encoded), once there are some.
    fn query(&self, query: &str) -> Vec<Json> {
        let mut samples = Vec::new();
        await_that(&format!("Prometheus knows {query}"), || {
            samples = self.api(&format!("/api/v1/query?query={query}"));
            !samples.is_empty()
        });
        samples
    }
}

#[test]
fn prometheus_scrapes_the_change_metrics_with_their_exact_names_and_labels() {
    let name = "prometheus_scrapes_the_change_metrics_with_their_exact_names_and_labels";
    let Some(program) = backends::prometheus(name) else { return };
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let agent = played(folder.path());
    let (exporter, own) = (agent.address("prometheus", "/metrics"), agent.telemetry());
    let prometheus = Prometheus::start(&program, folder.path(), &[&exporter, &own]);
    let up = || prometheus.api("/api/v1/query?query=up");
    await_that("both pages are scraped", || {
        up().len() == 2 && up().iter().all(|page| page["value"][1] == "1")
    });

    for (query, value) in [
        ("change_apply_total{result=\"failure\"}", "1"),
        ("change_apply_total{result=\"success\"}", "1"),
        ("apply_duration_seconds_count{result=\"success\"}", "1"),
        ("apply_duration_seconds_sum{result=\"failure\"}", "90"),
        ("change_lead_time_seconds_count", "1"),
        ("change_lead_time_seconds_sum", "2400"),
        ("plan_latency_seconds_count", "1"),
        ("http_server_requests_total{job=\"shop\",instance=\"shop-1\"}", "12"),
        ("target_info{job=\"shop\",service_version=\"1.2.3\"}", "1"),
        ("otelcol_exporter_sent_metric_points{exporter=\"prometheus\"}", ""),
    ] {
        let samples = prometheus.query(&encode(query));
        assert_eq!(samples.len(), 1, "{query}: {samples:?}");
        assert!(value.is_empty() || samples[0]["value"][1] == value, "{query}: {samples:?}");
        let labels = &samples[0]["metric"];
        // Labels of one change would be as many series as there are changes.
        for taboo in ["change_id", "commit_sha", "pull_request"] {
            assert!(labels[taboo].is_null(), "{query}: {labels}");
        }
        if query.starts_with("change_apply") {
            assert_eq!(labels["environment"], "production");
            assert_eq!(labels["repository"], "github.com/acme/infra");
        }
    }
    let route = &prometheus.query("http_server_requests_total")[0]["metric"]["http_route"];
    assert_eq!(route, "/a\"b\\c\nd", "label values are escaped");
    let exemplars = prometheus
        .api("/api/v1/query_exemplars?query=change_lead_time_seconds_bucket&start=1772300000&end=1900000000");
    assert!(format!("{exemplars:?}").contains("github.com/acme/infra#7"), "{exemplars:?}");
    agent.assert_sound();
}

/// What the Prometheus client for Python reads from a page: sample by sample, as it understands names and labels.
fn read(python: &Path, format: &str, page: &str) -> Vec<Json> {
    const SCRIPT: &str = "
import json, sys
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics
read = openmetrics if sys.argv[1] == 'openmetrics' else parser
for family in read.text_string_to_metric_families(sys.stdin.read()):
    for sample in family.samples:
        print(json.dumps([sample.name, sample.labels, sample.value]))
";
    let mut reader = Command::new(python);
    reader.args(["-c", SCRIPT, format]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut reader = reader.spawn().expect("the provisioned Python runs");
    reader.stdin.take().expect("it is piped").write_all(page.as_bytes()).expect("Python reads");
    let output = reader.wait_with_output().expect("Python ends");
    assert!(output.status.success(), "{format}: {page}");
    let lines = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    lines.lines().map(|line| serde_json::from_str(line).expect("one sample a line")).collect()
}

#[test]
fn names_that_are_not_translated_reach_those_who_read_them_and_others_get_theirs() {
    let name = "names_that_are_not_translated_reach_those_who_read_them_and_others_get_theirs";
    let (Some(program), Some(python)) = (backends::prometheus(name), backends::python(name)) else { return };
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let strategy = "enable_open_metrics: true, translation_strategy: NoTranslation";
    let agent = played_by(folder.path(), &CONFIG.replace("enable_open_metrics: true", strategy));
    let exporter = agent.address("prometheus", "/metrics");
    for (accept, format, kind, (metric, label)) in [
        (
            "",
            "text",
            "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
            ("http_server_requests", "http_route"),
        ),
        (
            "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.9,text/plain;version=0.0.4;q=0.2",
            "text",
            "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
            ("http.server.requests", "http.route"),
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8",
            "openmetrics",
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
            ("http.server.requests", "http.route"),
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=values",
            "openmetrics",
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=values",
            ("U__http_2e_server_2e_requests", "U__http_2e_route"),
        ),
    ] {
        let page = http::request(&exporter, "GET", "/metrics", &[("accept", accept)], b"").expect("a page");
        assert_eq!(page.header("content-type"), kind);
        let samples = read(&python, format, &page.text());
        // This reader gives counters of the text format a `_total` that is not in the page.
        let is_it =
            |sample: &&Json| sample[0].as_str().is_some_and(|name| name.trim_end_matches("_total") == metric);
        let sample = samples.iter().find(is_it);
        let sample = sample.unwrap_or_else(|| panic!("{accept}: {}", page.text()));
        assert_eq!((&sample[1][label], sample[2].as_f64()), (&json!("/a\"b\\c\nd"), Some(12.0)), "{sample}");
        let ours = samples.iter().find(|sample| sample[0] == "change_lead_time_seconds_count");
        assert!(ours.is_some(), "our names are what they were: {}", page.text());
    }

    let prometheus = Prometheus::start(&program, folder.path(), &[&exporter]);
    // From version 3 on it asks for names as they are. Debian's is older.
    let query = if prometheus.reads_utf_8() {
        r#"{"http.server.requests","http.route"!=""}"#
    } else {
        r#"http_server_requests{http_route!=""}"#
    };
    let samples = prometheus.query(&encode(query));
    assert_eq!((samples.len(), &samples[0]["value"][1]), (1, &json!("12")), "{samples:?}");
    agent.assert_sound();
}

fn encode(query: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    query
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[test]
fn promtool_finds_nothing_wrong_with_the_page() {
    let Some(promtool) = backends::promtool("promtool_finds_nothing_wrong_with_the_page") else { return };
    // Without an `Accept` header names that are not translated are escaped, so that promtool knows them.
    for strategy in
        ["", ", translation_strategy: NoTranslation", ", translation_strategy: NoUTF8EscapingWithSuffixes"]
    {
        let folder = tempfile::tempdir().expect("there is a temporary folder");
        let options = format!("enable_open_metrics: true{strategy}");
        let agent = played_by(folder.path(), &CONFIG.replace("enable_open_metrics: true", &options));
        let page = http::get(&agent.address("prometheus", "/metrics"), "/metrics");
        assert!(page.header("content-type").starts_with("text/plain"), "{page:?}");
        assert!(page.text().contains("http_server_requests"), "{}", page.text());
        let findings = findings(&promtool, &page.body);
        // The SDK's metrics may lack a description, and what is not translated (the conventions' names too) a suffix.
        let theirs = |line: &&String| {
            line.contains("no help text")
                || (strategy.ends_with("NoTranslation")
                    && line.ends_with("counter metrics should have \"_total\" suffix")
                    && ["http_server_requests", "cicd_pipeline_run_errors"]
                        .iter()
                        .any(|name| line.starts_with(name)))
        };
        let findings: Vec<_> = findings.iter().filter(|line| !theirs(line)).collect();
        assert!(findings.is_empty(), "{findings:?} with {options} in\n{}", page.text());
    }
}

/// What `promtool check metrics` says of a page.
fn findings(promtool: &Path, page: &[u8]) -> Vec<String> {
    let mut check = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs");
    check.stdin.take().expect("it is piped").write_all(page).expect("promtool reads");
    let output = check.wait_with_output().expect("promtool ends");
    String::from_utf8_lossy(&output.stderr).lines().map(ToOwned::to_owned).collect()
}

#[test]
fn the_recording_rule_of_the_failure_rate_does_what_m0_10_says() {
    let Some(promtool) = backends::promtool("the_recording_rule_of_the_failure_rate_does_what_m0_10_says")
    else {
        return;
    };
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/rules");
    for arguments in [["check", "rules", "change.rules.yaml"], ["test", "rules", "tests/change.test.yaml"]] {
        let output =
            Command::new(&promtool).args(arguments).current_dir(&rules).output().expect("promtool runs");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
