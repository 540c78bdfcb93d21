//! `print-config` and reference pages.

use throughline_config::{Format, reference};

use crate::common::*;

#[test]
fn secrets_and_headers_are_masked_wherever_they_came_from() {
    let settings = "\
endpoint: ${env:HOST}
headers: {authorization: CANARY, x: \"${env:TOKEN}\"}
token: ${env:TOKEN}
auth: {type: basic, username: me, password: CANARY}
unknown_password: CANARY
unknown_value: ${env:TOKEN}";
    let text = with_exporter(settings)
        .replace("exporters:\n", "exporters:\n  nope: {api_key: CANARY, b: [\"${TOKEN}\"], c: fine}\n");
    let world = yaml(&text).var("TOKEN", "CANARY").var("HOST", "example.org");
    let document = world.load(&[]).expect("well-formed");
    for format in [Format::Yaml, Format::Json] {
        let redacted = document.print(&catalog(), Some(&|_| None), format);
        assert!(!redacted.contains("CANARY"), "{redacted}");
        assert!(redacted.contains("example.org") && redacted.contains("fine"));
        assert_eq!(document.print(&catalog(), None, format).matches("CANARY").count(), 8);
    }
    assert!(!document.check(&catalog()).errors.to_string().contains("CANARY"));
}

#[test]
fn the_effective_configuration_prints_as_short_yaml() {
    let world = yaml(&with_exporter(
        "endpoint: ${env:PORT}\ntimeout: 1s\nheaders: {\"x y\": a}\npaths: [\"a$b\", \"true\", []]\nwhen: [a]",
    ))
    .var("PORT", "0123");
    let document = world.load(&["exporters::otlp_grpc::port=1"]).expect("well-formed");
    assert_eq!(
        document.print(&catalog(), Some(&|_| None), Format::Yaml),
        "\
receivers:
  otlp: {}
exporters:
  otlp_grpc:
    endpoint: \"0123\"
    timeout: 1s
    headers:
      \"x y\": \"[REDACTED]\"
    paths:
      - \"a$$b\"
      - \"true\"
      - []
    when:
      - a
    port: 1
service:
  pipelines:
    traces:
      receivers:
        - otlp
      exporters:
        - otlp_grpc
"
    );
}

#[test]
fn a_reference_page_has_a_table_for_each_block() {
    let catalog = catalog();
    let known = catalog.find(throughline_config::Kind::Exporter, "otlp").expect("by its former name");
    let page = reference(known);
    for line in [
        "# `otlp_grpc` (exporter)",
        "Sends OTLP on.",
        "Takes: traces, metrics, logs.",
        "Former names, still accepted with a warning: `otlp`.",
        "| `endpoint` | text | `\"\"` | Where to send. |",
        "| `timeout` | a duration such as `300ms` or `1h30m` | `5s` | How long one request may take. |",
        "| `compression` | `gzip`, `zstd` or `none` | `gzip` | |",
        "| `sending_queue` | a map, optional | see below | |",
        "* `keepalive`: set `timeout`",
        "* `write_buffer_size`: writes are not buffered",
        "## `tls`",
        "| `min_version` | `1.2` or `1.3` | `1.2` | The oldest version to speak. |",
        "## `auth (type: bearer)`",
        "| `token` | text, secret | required | |",
        "## `sending_queue`",
        "| `queue_size` | a whole number from 0 to 4294967295 | `1000` | How many requests it holds. |",
    ] {
        assert!(page.lines().any(|given| given == line), "{line}\n\n{page}");
    }
    assert_eq!(page, reference(known), "the same page each time");
}

#[test]
fn the_printed_configuration_checks_out_as_the_same_settings() {
    let text = with_exporter(
        "endpoint: \"${env:PORT}\"\nport: ${env:PORT}\ncompression: ${env:CODEC}\ntls:\nheaders: {x: \"$${y}\"}\n\
         auth: {type: bearer, token: \"a#: b\"}\nsending_queue: {enabled: false}\nwhen: [a, b]\nratio: 1",
    );
    let world = yaml(&text).var("PORT", "0123").var("CODEC", "zstd");
    let once = world.load(&[]).expect("well-formed").print(&catalog(), None, Format::Yaml);
    let again = yaml(&once).load(&[]).expect("well-formed");
    assert_eq!(again.print(&catalog(), None, Format::Yaml), once);
    assert_eq!(exporter(&yaml(&once)), exporter(&world));
    assert_eq!(exporter(&world).headers["x"].expose(), "${y}");
}
