//! Several inputs and `--set` (conventions §1, Merge).

use throughline_config::{Input, load};

use crate::common::*;

/// `a.yaml`, `b.yaml` and `--set`, merged and printed as JSON without spaces.
fn merged(a: &str, b: &str, sets: &[&str]) -> String {
    let world = MemorySources::default().file("a.yaml", a).file("b.yaml", b);
    match world.load(sets) {
        Ok(document) => {
            let json = document.print(&catalog(), None, throughline_config::Format::Json);
            json.replace([' ', '\n'], "")
        }
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn maps_merge_deeply_and_everything_else_is_replaced() {
    for (a, b, wanted) in [
        ("x: {a: 1, b: 2}", "x: {b: 3, c: 4}", r#"{"x":{"a":1,"b":3,"c":4}}"#),
        ("x: [1, 2]", "x: [3]", r#"{"x":[3]}"#),
        ("x: {a: 1}", "x:", r#"{"x":null}"#),
        ("x: {a: 1}", "x: {}", r#"{"x":{"a":1}}"#),
        ("x: {a: 1}", "", r#"{"x":{"a":1}}"#),
        ("x: 1", "x: {a: 1}", r#"{"x":{"a":1}}"#),
        ("x::a: 1", "x: {b: 2}", r#"{"x":{"a":1,"b":2}}"#),
    ] {
        assert_eq!(merged(a, b, &[]), wanted, "{a} | {b}");
    }
}

#[test]
fn set_is_applied_last_with_either_separator() {
    assert_eq!(merged("x: {a: 1}", "x: {a: 2}", &["x::a=3", "x.b.c=[4]"]), r#"{"x":{"a":3,"b":{"c":[4]}}}"#);
    assert_eq!(merged("", "", &["x=a=b"]), r#"{"x":"a=b"}"#);
    assert_eq!(merged("", "", &["x"]), "--set #1: expected key::path=value");
    assert_eq!(merged("", "", &["a=1", "::x=1"]), "--set #2: expected key::path=value, found an empty key");
}

#[test]
fn each_value_keeps_its_own_place_through_merging() {
    let world = MemorySources::default()
        .file("a.yaml", with_exporter("endpoint: a\ntimeout: soon"))
        .file("b.yaml", "exporters:\n  otlp_grpc:\n    endpoint: 5\n    tls: {nope: 1}\n");
    let checked = world.load(&["exporters::otlp_grpc::port=x"]).expect("well-formed").check(&catalog());
    assert_eq!(
        checked.errors.to_string(),
        "\
a.yaml:6:14: exporters::otlp_grpc::timeout: expected a duration such as `300ms` or `1h30m`, found text `soon`
b.yaml:3:15: exporters::otlp_grpc::endpoint: expected text, found the number `5`; put it in quotes to make it text
b.yaml:4:11: exporters::otlp_grpc::tls::nope: unknown option
--set #1: exporters::otlp_grpc::port: expected a whole number from 0 to 65535, found text `x`"
    );
}

#[test]
fn inputs_come_from_files_variables_and_the_command_line() {
    let world = MemorySources::default().file("c.yml", "x: 1").var("CONF", "y: 2");
    let inputs =
        ["file:c.yml", "env:CONF", "yaml:z::a: 3"].map(|text| text.parse::<Input>().expect("a location"));
    let document = load(&inputs, &[], &world).expect("well-formed");
    let keys: Vec<_> = document.root().entries().iter().map(|entry| entry.key_at.to_string()).collect();
    assert_eq!(keys, ["c.yml:1:1", "env:CONF:1:1", "yaml::1:1"]);
    for (text, wanted) in [
        ("https://x", "configuration over `https:` is not supported yet"),
        ("vault:x", "unknown scheme `vault`; expected a path, `file:`, `env:` or `yaml:`"),
    ] {
        assert_eq!(text.parse::<Input>().expect_err("refused"), wanted);
    }
}

#[test]
fn inputs_that_cannot_be_had_are_all_named() {
    let inputs = [Input::File("x.yaml".into()), Input::Env("NOPE".into())];
    let errors = load(&inputs, &[], &MemorySources::default()).expect_err("nothing there");
    assert_eq!(
        errors.to_string(),
        "x.yaml: cannot be read: no such file\nenv:NOPE: the environment variable is not set"
    );
    let errors = load(&[], &[], &MemorySources::default()).expect_err("nothing given");
    assert_eq!(errors.to_string(), "--config: no configuration given");
}
