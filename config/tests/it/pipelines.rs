//! Sections, ids and pipelines (conventions §1, Sections · IDs · Renames), as golden text of the whole output.

use throughline_config::{Id, PipelineId};

use crate::common::*;

/// A correct configuration, whose pipelines are given.
fn wired(pipelines: &str) -> String {
    format!(
        "receivers: {{otlp: }}\nprocessors: {{batch: , batch/eu: }}\nexporters: {{otlp_grpc: , prometheus: }}\n\
         connectors: {{count: }}\nservice:\n  pipelines:\n{pipelines}"
    )
}

#[test]
fn a_correct_configuration_has_no_errors_and_says_what_it_wires() {
    let text = wired(
        "    traces/eu: {receivers: [otlp], processors: [batch/eu, batch], exporters: [otlp_grpc, count]}\n\
         \x20   metrics: {receivers: [count], exporters: [prometheus]}\n",
    );
    assert_eq!(errors(&text), "");
    let settings = settings(&yaml(&text));
    assert_eq!(settings.pipelines[0].id.to_string(), "traces/eu");
    assert_eq!(settings.pipelines[0].processors[0].value.to_string(), "batch/eu");
    assert_eq!(settings.pipelines[0].processors[0].at.to_string(), "a.yaml:7:49");
    assert_eq!(settings.components.len(), 6);
}

#[test]
fn an_empty_file_lacks_receivers_exporters_and_pipelines() {
    let wanted = "\
a.yaml:1:1: exporters: at least one exporter is needed
a.yaml:1:1: receivers: at least one receiver is needed
a.yaml:1:1: service::pipelines: at least one pipeline is needed";
    for text in ["", "\u{feff}", "# nothing\n", "{}"] {
        assert_eq!(errors(text), wanted, "{text:?}");
    }
}

#[test]
fn each_rule_of_sections_ids_and_pipelines_has_its_message() {
    let table = [
        (
            "    traces: {receivers: [otlp], exporters: [otlp_grcp]}",
            "a.yaml:7:45: service::pipelines::traces::exporters[0]: exporter `otlp_grcp` is not defined under `exporters`; did you mean `otlp_grpc`?",
        ),
        (
            "    traces: {receivers: [otlp], processors: [batch, batch], exporters: [otlp_grpc]}",
            "a.yaml:7:53: service::pipelines::traces::processors: processor `batch` is listed twice in this pipeline",
        ),
        (
            "    traces: {receivers: [], exporters: [otlp_grpc]}",
            "a.yaml:7:25: service::pipelines::traces::receivers: a pipeline needs at least one receiver",
        ),
        (
            "    traces: {receivers: [otlp]}",
            "a.yaml:7:5: service::pipelines::traces::exporters: a pipeline needs at least one exporter",
        ),
        (
            "    traces:",
            "a.yaml:7:5: service::pipelines::traces::exporters: a pipeline needs at least one exporter\na.yaml:7:5: service::pipelines::traces::receivers: a pipeline needs at least one receiver",
        ),
        ("    {}", "a.yaml:7:5: service::pipelines: at least one pipeline is needed"),
        (
            "    traces: {receivers: [batch, otlp], exporters: [otlp_grpc]}",
            "a.yaml:7:26: service::pipelines::traces::receivers[0]: `batch` is a processor, not a receiver",
        ),
        (
            "    traces: {receivers: [otlp], exporters: [prometheus]}",
            "a.yaml:7:45: service::pipelines::traces::exporters[0]: exporter `prometheus` takes metrics, not traces",
        ),
        (
            "    trace: {receivers: [otlp], exporters: [otlp_grpc]}",
            "a.yaml:7:5: service::pipelines::trace: a pipeline is named after its signal, `traces`, `metrics` or `logs`; did you mean `traces`?",
        ),
        (
            "    profiles: {receivers: [otlp], exporters: [otlp_grpc]}",
            "a.yaml:7:5: service::pipelines::profiles: pipelines of profiles are not supported yet",
        ),
        (
            "    traces: {receivers: [otlp], exporters: [count]}",
            "a.yaml:7:45: connectors::count: connector `count` is an exporter of pipeline `traces`, but a receiver of none; it must be both",
        ),
        (
            "    metrics: {receivers: [count], exporters: [prometheus]}",
            "a.yaml:7:27: connectors::count: connector `count` is a receiver of pipeline `metrics`, but an exporter of none; it must be both",
        ),
        (
            "    traces: {receivers: [otlp], exporter: [otlp_grpc], exporters: [otlp_grpc]}",
            "a.yaml:7:33: service::pipelines::traces::exporter: unknown option; did you mean `exporters`?",
        ),
        (
            "    traces: {receivers: otlp, exporters: [otlp_grpc]}",
            "a.yaml:7:25: service::pipelines::traces::receivers: expected a list, found text `otlp`",
        ),
        (
            "    traces: {receivers: [otlp], exporters: [otlp_grpc]}\n  extensions: [health_check]",
            "a.yaml:8:16: service::extensions[0]: extension `health_check` is not defined under `extensions`",
        ),
    ];
    for (pipelines, wanted) in table {
        assert_eq!(errors(&wired(&format!("{pipelines}\n"))), wanted, "{pipelines}");
    }
}

#[test]
fn unknown_components_are_told_from_components_of_the_collector_that_we_lack() {
    let text = "receivers: {otlp: }\nprocessors:\n  tail_sampling: {policies: []}\n  bathc:\n  prometheus:\n\
                exporters: {otlp_grpc: , otlp/: , 9lives: , \"otlp_grpc/a b\": }\nprocesors: {}\n\
                service: {pipelines: {traces: {receivers: [otlp], exporters: [otlp_grpc]}}}\n";
    assert_eq!(
        errors(text),
        "\
a.yaml:3:3: processors::tail_sampling: `tail_sampling` is a Collector processor that Throughline does not have yet
a.yaml:4:3: processors::bathc: unknown processor `bathc`; did you mean `batch`?
a.yaml:5:3: processors::prometheus: unknown processor `prometheus`; it is an exporter, put it under `exporters`
a.yaml:6:26: exporters::otlp/: the name after `/` is missing
a.yaml:6:35: exporters::9lives: `9lives` is not a component type; expected a letter, then up to 62 letters, digits or `_`
a.yaml:6:45: exporters::otlp_grpc/a b: the name after `/` may not contain ` `
a.yaml:7:1: procesors: unknown section; did you mean `processors`?"
    );
}

#[test]
fn a_connector_may_not_share_its_id_with_a_receiver_or_exporter() {
    let text = "receivers: {otlp: , count: }\nexporters: {otlp_grpc: }\nconnectors: {count: }\n\
                service: {pipelines: {traces: {receivers: [otlp], exporters: [otlp_grpc]}}}\n";
    assert_eq!(
        errors(text),
        "\
a.yaml:1:21: receivers::count: unknown receiver `count`; it is a connector, put it under `connectors`
a.yaml:3:14: connectors::count: a receiver is also called `count`; one of them needs a name, such as `count/2`"
    );
}

#[test]
fn former_names_work_with_a_warning_and_unused_components_are_named() {
    let text = "receivers: {otlp: , otlp/spare: }\nexporters: {otlp: {endpoint: a}}\n\
                service: {pipelines: {traces: {receivers: [otlp], exporters: [otlp]}}}\n";
    assert_eq!(
        warnings(&yaml(text)),
        "\
a.yaml:1:21: receivers::otlp/spare: defined, but not used in a pipeline
a.yaml:2:13: exporters::otlp: `otlp` is now called `otlp_grpc`"
    );
    let settings = settings(&yaml(text));
    assert!(settings.components.values().any(|component| component.type_name == "otlp_grpc"));
}

#[test]
fn ids_follow_the_collectors_rules() {
    let long_type = "t".repeat(63);
    let long_name = format!("a/{}", "n".repeat(1024));
    for good in ["otlp", "a_1", "otlp/2", "otlp/a-b.c:d/e", "otlp/\u{fc}", &long_type, &long_name] {
        assert_eq!(good.parse::<Id>().map(|id| id.to_string()), Ok(good.to_owned()));
    }
    assert_eq!(" otlp / eu ".parse::<Id>().map(|id| id.to_string()), Ok("otlp/eu".to_owned()));
    let (long_type, long_name) = (format!("{long_type}t"), format!("{long_name}n"));
    for bad in [
        "",
        "/",
        "1a",
        "a-b",
        "otlp/",
        "a/b c",
        "a/$",
        "a/\u{7}",
        "a/\u{20ac}",
        "\u{fc}",
        &long_type,
        &long_name,
    ] {
        assert!(bad.parse::<Id>().is_err(), "{bad}");
    }
    assert_eq!(
        "logs/eu".parse::<PipelineId>().map(|id| id.name().map(str::to_owned)),
        Ok(Some("eu".to_owned()))
    );
}

#[test]
fn two_spellings_of_one_id_are_one_id() {
    let text = "receivers: {otlp/a: , otlp / a: }\nexporters: {otlp_grpc: }\n\
                service: {pipelines: {traces: {receivers: [otlp/a], exporters: [otlp_grpc]}}}\n";
    assert_eq!(
        errors(text),
        "a.yaml:1:23: receivers::otlp / a: `otlp/a` is defined twice; it first stands at a.yaml:1:13"
    );
}
