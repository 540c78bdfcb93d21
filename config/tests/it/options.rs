//! A component's settings against its schema (conventions §1, Sections · Optional blocks · Units).

use throughline_config::{ConfigError, Id, Kind, Optional};

use crate::common::*;

#[test]
fn each_kind_of_mistake_has_its_message() {
    let p = "exporters::otlp_grpc";
    for (settings, wanted) in [
        ("endpont: x", format!("a.yaml:5:5: {p}::endpont: unknown option; did you mean `endpoint`?")),
        ("zzzzzzzzz: x", format!("a.yaml:5:5: {p}::zzzzzzzzz: unknown option")),
        (
            "balancer_name: x",
            format!("a.yaml:5:5: {p}::balancer_name: this Collector option is not supported yet"),
        ),
        (
            "keepalive: {}",
            format!("a.yaml:5:5: {p}::keepalive: this Collector option is not supported yet: set `timeout`"),
        ),
        (
            "endpoint: 5",
            format!(
                "a.yaml:5:15: {p}::endpoint: expected text, found the number `5`; put it in quotes to make it text"
            ),
        ),
        ("endpoint: [a]", format!("a.yaml:5:15: {p}::endpoint: expected text, found a list")),
        (
            "timeout: 5",
            format!(
                "a.yaml:5:14: {p}::timeout: expected a duration such as `300ms` or `1h30m`, found the number `5`; the unit is missing"
            ),
        ),
        (
            "timeout: 5 parsecs",
            format!(
                "a.yaml:5:14: {p}::timeout: expected a duration such as `300ms` or `1h30m`, found text `5 parsecs`; ` parsecs` is not a unit"
            ),
        ),
        (
            "timeout: -5s",
            format!(
                "a.yaml:5:14: {p}::timeout: expected a duration such as `300ms` or `1h30m`, found text `-5s`; a duration cannot be negative here"
            ),
        ),
        (
            "port: 65536",
            format!(
                "a.yaml:5:11: {p}::port: expected a whole number from 0 to 65535, found the number `65536`"
            ),
        ),
        (
            "port: 1.5",
            format!(
                "a.yaml:5:11: {p}::port: expected a whole number from 0 to 65535, found the number `1.5`"
            ),
        ),
        (
            "tls: {insecure: yes}",
            format!(
                "a.yaml:5:21: {p}::tls::insecure: expected `true` or `false`, found text `yes`; YAML 1.2 has no `yes` and `no`"
            ),
        ),
        (
            "tls: {min_version: \"1.1\"}",
            format!(
                "a.yaml:5:24: {p}::tls::min_version: expected `1.2` or `1.3`, found text `1.1`; did you mean `1.2`?"
            ),
        ),
        (
            "tls: {min_version: 1.2}",
            format!(
                "a.yaml:5:24: {p}::tls::min_version: expected `1.2` or `1.3`, found the number `1.2`; put it in quotes to make it text"
            ),
        ),
        (
            "compression: gzipp",
            format!(
                "a.yaml:5:18: {p}::compression: expected `gzip`, `zstd` or `none`, found text `gzipp`; did you mean `gzip`?"
            ),
        ),
        ("tls: [1]", format!("a.yaml:5:10: {p}::tls: expected a map, found a list")),
        (
            "paths: [a, 2]",
            format!(
                "a.yaml:5:16: {p}::paths[1]: expected text, found the number `2`; put it in quotes to make it text"
            ),
        ),
        ("headers: {x: [hunter2]}", format!("a.yaml:5:18: {p}::headers::x: expected text, found a list")),
        (
            "token: 12345",
            format!(
                "a.yaml:5:12: {p}::token: expected text, found a number (not shown); put it in quotes to make it text"
            ),
        ),
        (
            "sending_queue: {queue_size: -1}",
            format!(
                "a.yaml:5:33: {p}::sending_queue::queue_size: expected a whole number from 0 to 4294967295, found the number `-1`"
            ),
        ),
        (
            "sending_queue: {enabled: off}",
            format!("a.yaml:5:30: {p}::sending_queue::enabled: expected `true` or `false`, found text `off`"),
        ),
        ("auth: {type: bearer}", format!("a.yaml:5:11: {p}::auth: option `token` is required")),
        (
            "auth: {type: beerer}",
            format!(
                "a.yaml:5:18: {p}::auth::type: expected `bearer` or `basic`, found text `beerer`; did you mean `bearer`?"
            ),
        ),
        (
            "auth: {token: x}",
            format!("a.yaml:5:11: {p}::auth: option `type` is required, `bearer` or `basic`"),
        ),
        (
            "auth: {type: bearer, token: x, tokem: y}",
            format!("a.yaml:5:36: {p}::auth::tokem: unknown option; did you mean `token`?"),
        ),
        (
            "when: [a, 1]",
            format!(
                "a.yaml:5:15: {p}::when[1]: expected text, found the number `1`; put it in quotes to make it text"
            ),
        ),
        (
            "when: 3",
            format!("a.yaml:5:11: {p}::when: expected `true` or `false` or a list, found the number `3`"),
        ),
    ] {
        assert_eq!(exporter_errors(settings), wanted, "{settings}");
    }
}

#[test]
fn a_mistake_in_the_form_of_a_secret_does_not_show_it() {
    for settings in [
        "headers: hunter2",
        "headers: {x: [hunter2]}",
        "token: [hunter2]",
        "auth: hunter2",
        "auth: {token: hunter2}",
        "tokne: hunter2",
    ] {
        let message = exporter_errors(settings);
        assert!(!message.is_empty() && !message.contains("hunter2"), "{settings}: {message}");
    }
}

#[test]
fn a_required_option_is_missed_at_its_block() {
    let text = "receivers: {webhook_event: {}}\nexporters: {otlp_grpc: }\n\
                service: {pipelines: {logs: {receivers: [webhook_event], exporters: [otlp_grpc]}}}\n";
    assert_eq!(errors(text), "a.yaml:1:28: receivers::webhook_event: option `endpoint` is required");
    let text = text.replace("{}", "");
    assert_eq!(errors(&text), "a.yaml:1:13: receivers::webhook_event: option `endpoint` is required");
}

#[test]
fn ten_mistakes_are_reported_at_once_in_order_of_place() {
    let text = "\
receivers:
  otlp:
    protocols: {gprc: }
processors:
  bathc:
  tail_sampling:
exporters:
  otlp_grpc:
    endpont: x
    timeout: soon
    tls:
      insecure: 1
    headers: nope
extentions:
service:
  mask_secret: true
  telemetry: {logs: {level: LOUD}}
  pipelines:
    traces: {receivers: [otlp], exporters: [otlp_grp]}
";
    assert_eq!(
        errors(text),
        "\
a.yaml:3:17: receivers::otlp::protocols::gprc: unknown option; did you mean `grpc`?
a.yaml:5:3: processors::bathc: unknown processor `bathc`; did you mean `batch`?
a.yaml:6:3: processors::tail_sampling: `tail_sampling` is a Collector processor that Throughline does not have yet
a.yaml:9:5: exporters::otlp_grpc::endpont: unknown option; did you mean `endpoint`?
a.yaml:10:14: exporters::otlp_grpc::timeout: expected a duration such as `300ms` or `1h30m`, found text `soon`
a.yaml:12:17: exporters::otlp_grpc::tls::insecure: expected `true` or `false`, found the number `1`
a.yaml:13:14: exporters::otlp_grpc::headers: expected a map, found text (not shown)
a.yaml:14:1: extentions: unknown section; did you mean `extensions`?
a.yaml:16:3: service::mask_secret: unknown option; did you mean `mask_secrets`?
a.yaml:17:29: service::telemetry::logs::level: expected `debug`, `info`, `warn` or `error`, found text `LOUD`
a.yaml:19:45: service::pipelines::traces::exporters[0]: exporter `otlp_grp` is not defined under `exporters`; did you mean `otlp_grpc`?"
    );
}

#[test]
fn an_optional_block_is_on_when_null_and_off_when_it_says_so() {
    let protocols = |written: &str| {
        let text = format!(
            "receivers:\n  otlp:\n    {written}\nexporters: {{otlp_grpc: }}\n\
             service: {{pipelines: {{traces: {{receivers: [otlp], exporters: [otlp_grpc]}}}}}}\n"
        );
        let settings = settings(&yaml(&text));
        let id = "otlp".parse::<Id>().expect("an id");
        settings.components[&(Kind::Receiver, id)].typed::<Receiver>().expect("fits").protocols
    };
    assert_eq!(protocols("").grpc, Optional::Off);
    assert_eq!(protocols("protocols: {grpc: }").grpc, Optional::On(Server::default()));
    assert_eq!(protocols("protocols: {grpc: {}}").grpc, Optional::On(Server::default()));
    assert_eq!(protocols("protocols: {grpc: {enabled: true}}").grpc, Optional::On(Server::default()));
    assert_eq!(protocols("protocols: {grpc: {enabled: false, endpoint: \"a:1\"}}").grpc, Optional::Off);
    assert!(protocols("protocols: {http: {endpoint: \"a:1\"}}").http.is_on());
}

#[test]
fn an_optional_block_that_is_on_by_default_can_be_turned_off() {
    assert!(exporter(&yaml(&with_exporter("port: 1"))).sending_queue.is_on());
    assert!(!exporter(&yaml(&with_exporter("sending_queue: {enabled: false}"))).sending_queue.is_on());
}

#[test]
fn a_null_option_keeps_its_default() {
    assert_eq!(exporter(&yaml(&with_exporter("timeout:\ntls:\nport:\n"))).timeout.to_string(), "5s");
}

#[test]
fn what_a_component_finds_wrong_with_itself_is_placed_at_the_option() {
    let settings = settings(&yaml(&with_exporter("tls:\n  insecure: true\npaths: [a, b]")));
    let component = &settings.components[&(Kind::Exporter, "otlp_grpc".parse().expect("an id"))];
    for (path, wanted) in [
        ("tls::insecure", "a.yaml:6:17: exporters::otlp_grpc::tls::insecure: no"),
        ("tls::ca_file", "a.yaml:6:7: exporters::otlp_grpc::tls::ca_file: no"),
        ("paths::1", "a.yaml:7:16: exporters::otlp_grpc::paths[1]: no"),
        ("", "a.yaml:4:3: exporters::otlp_grpc: no"),
    ] {
        assert_eq!(component.locate(&ConfigError::new(path, "no")).to_string(), wanted);
    }
}

#[test]
fn what_only_serde_demands_is_placed_too() {
    let settings = settings(&yaml(&with_exporter("paths: [a, b]")));
    let component = &settings.components[&(Kind::Exporter, "otlp_grpc".parse().expect("an id"))];
    let error =
        component.typed::<std::collections::BTreeMap<String, Vec<u8>>>().expect_err("text is not bytes");
    assert!(
        error.to_string().starts_with("a.yaml:5:13: exporters::otlp_grpc::paths[0]: invalid type"),
        "{error}"
    );
}

#[test]
fn service_settings_have_their_defaults_and_levels_in_any_case() {
    let text = with_exporter("port: 1").replace(
        "service: {",
        "service: {telemetry: {logs: {level: WARN, encoding: json}, metrics: {level: detailed}, \
         resource: {service.name: x, host.name: }}, mask_secrets: false, shutdown_timeout: 1m, ",
    );
    let service = settings(&yaml(&text)).service;
    assert_eq!(service.telemetry.logs.level, throughline_config::LogLevel::Warn);
    assert_eq!(service.telemetry.metrics.address, None);
    assert_eq!(service.telemetry.metrics.pages()[0].address, "localhost:8888");
    assert_eq!(service.telemetry.resource["host.name"], None);
    assert!(!service.mask_secrets);
    assert_eq!(service.shutdown_timeout.to_string(), "1m");
    let service = settings(&yaml(&with_exporter("port: 1"))).service;
    assert!(service.mask_secrets);
}

#[test]
fn an_option_without_meaning_here_is_taken_with_a_note_that_says_why() {
    let world = yaml(&with_exporter("endpoint: x\nwrite_buffer_size: 524288"));
    assert_eq!(
        warnings(&world),
        "a.yaml:6:5: exporters::otlp_grpc::write_buffer_size: taken, but without meaning here: writes are not buffered"
    );
    assert_eq!(exporter(&world), exporter(&yaml(&with_exporter("endpoint: x"))));
}
