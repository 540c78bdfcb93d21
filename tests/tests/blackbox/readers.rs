//! `service::telemetry::metrics::readers`, and the command line, as the Collector's charts write them.

use throughline_tests::{Agent, await_that, cli, http, records};

const TAKES: &str = "
receivers:
  otlp: {protocols: {grpc: {endpoint: '127.0.0.1:0'}, http: {endpoint: '127.0.0.1:0'}}}
exporters:
  file: {path: metrics.jsonl}
service:
  pipelines:
    metrics: {receivers: [otlp], exporters: [file]}
";

/// The agent that tells of itself: two pages, and the two ways to send. Only what the first `reader` is differs from a chart's.
fn tells(taker: &Agent, ports: [&str; 2]) -> String {
    let (http, grpc) = (taker.http(), taker.grpc());
    let [first, second] = ports.map(|address| address.rsplit_once(':').expect("it has a port").1.to_owned());
    format!(
        "
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:0'}}}}}}}}
exporters: {{debug: {{}}}}
service:
  telemetry:
    resource: {{deployment.environment.name: staging, service.version: null}}
    metrics:
      level: detailed
      readers:
        - pull:
            exporter:
              prometheus: {{host: 127.0.0.1, port: {first}}}
        - pull:
            exporter:
              prometheus:
                host: '127.0.0.1'
                port: {second}
                without_type_suffix: false
                without_units: false
                without_scope_info: true
                with_resource_constant_labels: {{included: [deployment.environment.name]}}
        - periodic:
            interval: 100
            exporter:
              otlp: {{protocol: http/protobuf, endpoint: 'http://{http}', compression: gzip, headers: {{x-team: platform}}}}
        - periodic:
            interval: 100
            timeout: 5000
            exporter:
              otlp: {{protocol: grpc, endpoint: '{grpc}', insecure: true, headers: [{{name: x-team, value: platform}}]}}
  pipelines: {{logs: {{receivers: [otlp], exporters: [debug]}}}}
"
    )
}

#[test]
fn every_reader_gets_the_agents_own_metrics_as_it_asked_for_them() {
    let (here, there) = (tempfile::tempdir(), tempfile::tempdir());
    let (here, there) = (here.expect("a temporary folder"), there.expect("a temporary folder"));
    let taker = Agent::start(there.path(), TAKES);
    let ports = [http::free_address(), http::free_address()];
    let agent = Agent::start(here.path(), &tells(&taker, [&ports[0], &ports[1]]));

    let plain = http::get(&ports[0], "/metrics").text();
    assert!(plain.lines().any(|line| line.starts_with("otelcol_process_uptime ")), "{plain}");
    let dressed = http::get(&ports[1], "/metrics").text();
    let uptime = "otelcol_process_uptime_seconds_total{deployment_environment_name=\"staging\"} ";
    assert!(dressed.lines().any(|line| line.starts_with(uptime)), "{dressed}");

    let accepted = |transport: &str| {
        let series = format!(
            "otelcol_receiver_accepted_metric_points{{receiver=\"otlp\",transport=\"{transport}\"}} "
        );
        let page = taker.metrics();
        page.lines().any(|line| line.strip_prefix(&series).is_some_and(|count| count != "0"))
    };
    await_that("both came over HTTP and gRPC", || accepted("http") && accepted("grpc"));
    let found = records::read(&there.path().join("metrics.jsonl"));
    let uptime = found.iter().find(|record| record.text("name") == "otelcol_process_uptime");
    let uptime = uptime.expect("the uptime was sent");
    assert_eq!(uptime.text("unit"), "s");
    assert_eq!(uptime.attribute("service.name"), "throughline");
    assert_eq!(uptime.attribute("deployment.environment.name"), "staging");
    assert_eq!(uptime.attribute("service.version"), "", "null takes it away");
    assert!(!uptime.attribute("service.instance.id").is_empty());
    let point = &uptime.json["sum"]["dataPoints"][0];
    assert!(point["asDouble"].as_f64().is_some_and(|seconds| seconds > 0.0), "{point}");
    drop(agent);
}

#[test]
fn what_nobody_takes_is_told_and_keeps_nobody_from_stopping() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let config = "
receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}}
exporters: {debug: {}}
service:
  telemetry:
    metrics:
      readers:
        - periodic: {interval: 20, exporter: {otlp: {protocol: http/protobuf, endpoint: 'http://127.0.0.1:1'}}}
  pipelines: {logs: {receivers: [otlp], exporters: [debug]}}
";
    let agent = Agent::start(folder.path(), config);
    agent.await_log("the agent's own metrics were not taken");
    let ended = agent.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.log);
}

#[test]
fn a_reader_that_makes_no_sense_is_a_mistake_with_a_place() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    for (reader, word) in [
        ("pull: {exporter: {prometheus: {host: x, prot: 1}}}", "did you mean `port`?"),
        ("pull: {exporter: {prometheus: {host: x, port: 70000}}}", "from 0 to 65535"),
        ("periodic: {exporter: {console: }}", "not supported yet"),
        ("periodic: {exporter: {otlp: {protocol: http/json, endpoint: 'http://x:1'}}}", "not supported yet"),
        ("periodic: {exporter: {otlp: {protocol: grpc}}}", "option `endpoint` is required"),
        ("periodic: {exporter: {otlp: {protocol: grpc, endpoint: 'ftp://x'}}}", "has the scheme `ftp`"),
        ("poll: {}", "expected `pull` or `periodic`"),
    ] {
        let config = format!(
            "receivers: {{otlp: {{protocols: {{http: {{}}}}}}}}\nexporters: {{debug: {{}}}}\nservice:\n  \
             pipelines: {{logs: {{receivers: [otlp], exporters: [debug]}}}}\n  \
             telemetry: {{metrics: {{readers: [{{{reader}}}]}}}}\n"
        );
        std::fs::write(folder.path().join("a.yaml"), config).expect("the folder can be written");
        let output = cli(folder.path(), &["validate", "--config", "a.yaml"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{reader}: {said}");
        assert!(said.contains(word), "{word} in\n{said}");
    }
}

#[test]
fn scrapers_that_take_gzip_get_it() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let agent = Agent::start(folder.path(), TAKES);
    let packed = http::get_with(&agent.telemetry(), "/metrics", &[("accept-encoding", "deflate, gzip")]);
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert_eq!(packed.body[..2], [0x1f, 0x8b]);
    let plain = http::get(&agent.telemetry(), "/metrics");
    assert_eq!(plain.header("content-encoding"), "");
    assert!(packed.body.len() * 2 < plain.body.len());
}

#[test]
fn the_root_takes_the_collectors_flags() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let more = ["--feature-gates=-component.UseLocalHostAsDefaultHost,+filelog.protobufCheckpointEncoding"];
    let agent = Agent::start_as_a_collector(folder.path(), TAKES, &more);
    let log = agent.log();
    assert!(log.contains("`-component.UseLocalHostAsDefaultHost` is without meaning here"), "{log}");
    assert!(log.contains("`+filelog.protobufCheckpointEncoding` is without meaning here"), "{log}");
    let nothing = cli(folder.path(), &[]);
    assert_eq!(nothing.status.code(), Some(2), "without anything it says how it is used");
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("Usage:"));
    let both = cli(folder.path(), &["--config", "agent.yaml", "validate"]);
    assert_eq!(both.status.code(), Some(2));
}
