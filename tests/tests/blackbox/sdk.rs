//! The OpenTelemetry SDK for Python as a client: three signals, over gRPC and HTTP, to a file and through two agents.

use std::path::Path;
use std::process::Command;

use throughline_tests::{Agent, await_that, backends, records};

const SCRIPT: &str = include_str!("sdk.py");

/// An agent that takes OTLP and appends each signal to a file.
fn sink(folder: &Path) -> Agent {
    std::fs::create_dir_all(folder).expect("the test's folder can be written");
    Agent::start(
        folder,
        "
receivers: {otlp: {protocols: {grpc: {endpoint: '127.0.0.1:0'}, http: {endpoint: '127.0.0.1:0'}}}}
exporters:
  file/traces: {path: traces.jsonl}
  file/metrics: {path: metrics.jsonl}
  file/logs: {path: logs.jsonl}
service:
  pipelines:
    traces: {receivers: [otlp], exporters: [file/traces]}
    metrics: {receivers: [otlp], exporters: [file/metrics]}
    logs: {receivers: [otlp], exporters: [file/logs]}
",
    )
}

/// An agent that passes OTLP on to another.
fn relay(folder: &Path, exporter: &str, settings: &str) -> Agent {
    std::fs::create_dir_all(folder).expect("the test's folder can be written");
    let config = format!(
        "
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:0'}}, http: {{endpoint: '127.0.0.1:0'}}}}}}}}
exporters: {{{exporter}: {settings}}}
service:
  pipelines:
    traces: {{receivers: [otlp], exporters: [{exporter}]}}
    metrics: {{receivers: [otlp], exporters: [{exporter}]}}
    logs: {{receivers: [otlp], exporters: [{exporter}]}}
"
    );
    Agent::start(folder, &config)
}

/// Runs the script against an agent; it fails unless every export succeeded.
fn send(python: &Path, protocol: &str, address: &str, marker: &str) {
    let output = Command::new(python).args(["-c", SCRIPT, protocol, address, marker]).output();
    let output = output.expect("the provisioned Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Checks that what the script sent under `marker` has been written.
fn assert_arrived(folder: &Path, marker: &str) {
    for (file, field, name) in [
        ("traces.jsonl", "name", "sdk-span"),
        ("metrics.jsonl", "name", "sdk.counter"),
        ("logs.jsonl", "severityText", "WARN"),
    ] {
        await_that(&format!("{file} has what was sent as {marker}"), || {
            let records = records::read(&folder.join(file));
            records.iter().any(|record| record.text(field) == name && record.attribute("marker") == marker)
        });
    }
}

#[test]
fn the_python_sdk_delivers_three_signals_over_grpc_and_http() {
    let Some(python) = backends::python("the_python_sdk_delivers_three_signals_over_grpc_and_http") else {
        return;
    };
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let agent = sink(folder.path());
    for (protocol, address) in [("grpc", agent.grpc()), ("http", agent.http())] {
        send(&python, protocol, &address, protocol);
        assert_arrived(folder.path(), protocol);
    }
    agent.assert_sound();
    assert_eq!(agent.stop().code, Some(0));
}

#[test]
fn what_the_sdk_sends_passes_through_two_agents_by_either_exporter_compressed_or_not() {
    let name = "what_the_sdk_sends_passes_through_two_agents_by_either_exporter_compressed_or_not";
    let Some(python) = backends::python(name) else { return };
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let sink = sink(&folder.path().join("sink"));
    for compression in ["gzip", "none"] {
        for (exporter, settings) in [
            (
                "otlp_grpc",
                format!(
                    "{{endpoint: '{}', tls: {{insecure: true}}, compression: {compression}}}",
                    sink.grpc()
                ),
            ),
            ("otlp_http", format!("{{endpoint: 'http://{}', compression: {compression}}}", sink.http())),
        ] {
            let marker = format!("{exporter}-{compression}");
            let relay = relay(&folder.path().join(&marker), exporter, &settings);
            send(&python, "grpc", &relay.grpc(), &marker);
            assert_arrived(sink.folder(), &marker);
            relay.assert_sound();
            assert_eq!(relay.stop().code, Some(0));
        }
    }
    sink.assert_sound();
}
