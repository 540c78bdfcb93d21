//! `${…}` (conventions §1, Expansion).

use throughline_config::{Entry, Node, Value};

use crate::common::*;

fn world() -> MemorySources {
    MemorySources::default()
        .var("HOST", "example.org")
        .var("PORT", "4317")
        .var("ZERO", "0123")
        .var("EMPTY", "")
        .var("MAP", "{a: 1, b: [x, y]}")
        .var("WHICH", "HOST")
        .var("NESTED", "${env:HOST}")
        .var("LOOP", "${env:LOOP}")
        .file("token", "hunter2\n")
        .file("self", "{a: \"${file:self}\", b: \"${file:self}\"}")
}

/// What `v: <text>` becomes, as compact text.
fn expand(text: &str) -> String {
    match world().file("a.yaml", format!("v: {text}\n")).load(&[]) {
        Ok(document) => show(document.root().get("v").expect("there")),
        Err(errors) => errors.to_string(),
    }
}

fn show(node: &Node) -> String {
    let list = |items: Vec<String>| items.join(",");
    match node.value() {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Text(text) => format!("{text:?}"),
        Value::Seq(items) => format!("[{}]", list(items.iter().map(show).collect())),
        Value::Map(entries) => {
            let pair = |entry: &Entry| format!("{}:{}", entry.key, show(&entry.value));
            format!("{{{}}}", list(entries.iter().map(pair).collect()))
        }
    }
}

#[test]
fn references_expand_by_the_collectors_rules() {
    for (text, wanted) in [
        ("${env:HOST}", "\"example.org\""),
        ("${HOST}", "\"example.org\""),
        ("${env:PORT}", "4317"),
        ("'${env:PORT}'", "4317"),
        ("${env:HOST}:${env:PORT}", "\"example.org:4317\""),
        ("a${env:ZERO}", "\"a0123\""),
        ("${env:MAP}", "{a:1,b:[\"x\",\"y\"]}"),
        ("${env:EMPTY}", "null"),
        ("${env:NOPE}", "null"),
        ("x${env:NOPE}", "\"x\""),
        ("${env:NOPE:-d}", "\"d\""),
        ("${NOPE:-5}", "5"),
        ("${NOPE:-a:b}", "\"a:b\""),
        ("x${env:NOPE:-}y", "\"xy\""),
        ("${env:EMPTY:-d}", "null"),
        ("${env:${env:WHICH}}", "\"example.org\""),
        ("${env:NOPE:-${env:HOST}}", "\"example.org\""),
        ("${env:NESTED}", "\"example.org\""),
        ("${file:token}", "\"hunter2\""),
        ("Bearer ${file:token}", "\"Bearer hunter2\""),
        ("${yaml:[1, 2]}", "[1,2]"),
        ("$HOST", "\"$HOST\""),
        ("a$b$$c", "\"a$b$c\""),
        ("$${env:HOST}", "\"${env:HOST}\""),
        ("$$${env:HOST}", "\"$example.org\""),
        ("$$$${env:HOST}", "\"$${env:HOST}\""),
        ("${unclosed", "\"${unclosed\""),
        ("closed}", "\"closed}\""),
    ] {
        assert_eq!(expand(text), wanted, "{text}");
    }
}

#[test]
fn a_reference_that_cannot_be_expanded_is_reported_where_it_stands() {
    for (text, wanted) in [
        (
            "${env:1X}",
            "a.yaml:1:4: v: `1X` is not the name of an environment variable; expected letters, digits and `_`, not beginning with a digit",
        ),
        (
            "${a-b}",
            "a.yaml:1:4: v: `a-b` is not the name of an environment variable; expected letters, digits and `_`, not beginning with a digit",
        ),
        (
            "${}",
            "a.yaml:1:4: v: `` is not the name of an environment variable; expected letters, digits and `_`, not beginning with a digit",
        ),
        ("x-${http:foo}", "a.yaml:1:6: v: `http:` references are not supported yet"),
        ("\"${HOST} ${https://x}\"", "a.yaml:1:4: v: `https:` references are not supported yet"),
        ("'é ${vault:x}'", "a.yaml:1:7: v: unknown scheme `vault`; expected `env`, `file` or `yaml`"),
        ("${file:nope}", "a.yaml:1:4: v: cannot read `nope`: no such file"),
        ("${env:LOOP}", "a.yaml:1:4: v: expands to more than 100 references or too much text"),
    ] {
        assert_eq!(expand(text), wanted, "{text}");
    }
}

#[test]
fn a_file_that_refers_to_itself_comes_to_an_end() {
    assert!(expand("${file:self}").contains("expands to more"));
}

#[test]
fn all_references_together_are_bounded() {
    let world = MemorySources::default()
        .file("big", "x".repeat(4 << 20))
        .file("a.yaml", "v: [".to_owned() + &"\"${file:big}\",".repeat(5) + "]");
    let errors = world.load(&[]).expect_err("too much");
    assert_eq!(
        errors.to_string(),
        "a.yaml:1:62: v[4]: all references together bring in more than 16777216 bytes"
    );
}

#[test]
fn a_value_may_hold_a_hundred_references_but_no_more() {
    let hundred = "${HOST}".repeat(100);
    assert!(expand(&hundred).starts_with("\"example.orgexample.org"));
    assert!(expand(&format!("{hundred}${{HOST}}")).contains("more than 100 references"));
}

#[test]
fn an_unset_variable_warns_at_its_place_and_the_default_holds() {
    let world = yaml(&with_exporter("timeout: ${env:NOPE}"));
    assert_eq!(
        warnings(&world),
        "a.yaml:5:14: exporters::otlp_grpc::timeout: environment variable `NOPE` is not set; the value is left empty"
    );
    assert_eq!(exporter(&world).timeout.to_string(), "5s");
}

#[test]
fn a_text_typed_option_takes_the_characters_and_a_number_typed_one_the_number() {
    let text = with_exporter(
        "endpoint: ${env:ZERO}\nport: ${env:PORT}\nheaders: {x: \"${env:ZERO}\", y: \"${env:EMPTY}\"}",
    );
    let exporter = exporter(&world().file("a.yaml", text));
    assert_eq!(exporter.endpoint, "0123");
    assert_eq!(exporter.port, Some(4317));
    assert_eq!(exporter.headers["x"].expose(), "0123");
    assert_eq!(exporter.headers["y"].expose(), "");
}

#[test]
fn a_mistake_in_an_expanded_value_points_at_the_reference_and_does_not_show_the_value() {
    let world = MemorySources::default()
        .var("SECRET", "hunter2")
        .var("BLOCK", "{insecure: hunter2, nope: 1}")
        .file("a.yaml", with_exporter("port: ${env:SECRET}\ntls: ${env:BLOCK}\ncompression: ${env:SECRET}"));
    let checked = world.load(&[]).expect("well-formed").check(&catalog());
    assert_eq!(
        checked.errors.to_string(),
        "\
a.yaml:5:11: exporters::otlp_grpc::port: expected a whole number from 0 to 65535, found text (not shown)
a.yaml:6:10: exporters::otlp_grpc::tls::insecure: expected `true` or `false`, found text (not shown)
a.yaml:6:10: exporters::otlp_grpc::tls::nope: unknown option
a.yaml:7:18: exporters::otlp_grpc::compression: expected `gzip`, `zstd` or `none`, found text (not shown)"
    );
}
