//! The shapes of settings that components write: flattened blocks, enums with data, types that contain themselves.

use std::collections::BTreeMap;

use schemars::{JsonSchema, schema_for};
use serde::{Deserialize, Serialize};
use throughline_config::{Catalog, ComponentType, Kind, Secret, Signal, reference};

use crate::common::*;

/// Shapes.
#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Shapes {
    /// Shared with other components.
    #[serde(flatten)]
    client: Client,
    #[serde(default)]
    x: u8,
    #[serde(default)]
    reader: Option<Reader>,
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    any: Option<Any>,
    #[serde(default)]
    signed: i64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Client {
    /// The server to send to.
    endpoint: String,
    #[serde(default)]
    password: Secret,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Reader {
    Off,
    Pull { port: u16 },
    Push(String),
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rule {
    name: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Any {
    Number(f64),
    Text(String),
    List(Vec<Any>),
    Map(BTreeMap<String, Any>),
}

fn known() -> ComponentType {
    let consumes: &[Signal] = &Signal::ALL;
    ComponentType {
        kind: Kind::Exporter,
        type_name: "shapes",
        aliases: &[],
        schema: schema_for!(Shapes),
        consumes,
        produces: &[],
    }
}

/// The exporter `shapes` with these settings from line 4, or the errors.
fn shapes(settings: &str) -> Result<Shapes, String> {
    let catalog = Catalog::new(catalog().iter().cloned().chain([known()]).collect());
    let settings: String = settings.lines().map(|line| format!("    {line}\n")).collect();
    let text = format!(
        "receivers: {{otlp: }}\nexporters:\n  shapes:\n{settings}\
         service: {{pipelines: {{logs: {{receivers: [otlp], exporters: [shapes]}}}}}}\n"
    );
    let checked = yaml(&text).load(&[]).map_err(|errors| errors.to_string())?.check(&catalog);
    let settings = checked.settings.ok_or_else(|| checked.errors.to_string())?;
    let component = settings.components.values().find(|component| component.type_name == "shapes");
    component.expect("it is there").typed().map_err(|error| error.to_string())
}

#[test]
fn all_shapes_are_read() {
    let read = shapes(
        "endpoint: a\npassword: b\nx: 3\nreader: {pull: {port: 1}}\nrules: [{name: n, labels: {k: v}}]\nany: [1, {a: b}]\nsigned: -5",
    );
    let read = read.expect("fits");
    assert_eq!((read.client.endpoint.as_str(), read.client.password.expose(), read.x), ("a", "b", 3));
    assert_eq!(read.reader, Some(Reader::Pull { port: 1 }));
    assert_eq!(
        read.any,
        Some(Any::List(vec![
            Any::Number(1.0),
            Any::Map(BTreeMap::from([("a".to_owned(), Any::Text("b".to_owned()))]))
        ]))
    );
    assert_eq!(shapes("endpoint: a\nreader: off").expect("fits").reader, Some(Reader::Off));
    assert_eq!(
        shapes("endpoint: a\nreader: {push: there}").expect("fits").reader,
        Some(Reader::Push("there".to_owned()))
    );
}

#[test]
fn mistakes_in_all_shapes_are_placed() {
    let p = "exporters::shapes";
    for (settings, wanted) in [
        ("x: 1", format!("a.yaml:4:5: {p}: option `endpoint` is required")),
        (
            "endpoint: a\nendpont: b",
            format!("a.yaml:5:5: {p}::endpont: unknown option; did you mean `endpoint`?"),
        ),
        (
            "endpoint: a\nx: 256",
            format!("a.yaml:5:8: {p}::x: expected a whole number from 0 to 255, found the number `256`"),
        ),
        (
            "endpoint: a\nreader: pul",
            format!("a.yaml:5:13: {p}::reader: expected `off` or a map, found text `pul`"),
        ),
        (
            "endpoint: a\nreader: {pull: {prot: 1}}",
            format!(
                "a.yaml:5:20: {p}::reader::pull: option `port` is required\na.yaml:5:21: {p}::reader::pull::prot: unknown option; did you mean `port`?"
            ),
        ),
        (
            "endpoint: a\nreader: {pul: {port: 1}}",
            format!(
                "a.yaml:5:14: {p}::reader::pul: unknown option, expected `pull` or `push`; did you mean `pull`?"
            ),
        ),
        (
            "endpoint: a\nrules: [{name: n}, {nam: n}]",
            format!(
                "a.yaml:5:24: {p}::rules[1]: option `name` is required\na.yaml:5:25: {p}::rules[1]::nam: unknown option; did you mean `name`?"
            ),
        ),
        (
            "endpoint: a\nsigned: 1.5",
            format!("a.yaml:5:13: {p}::signed: expected a whole number, found the number `1.5`"),
        ),
        (
            "endpoint: a\nany: true",
            format!("a.yaml:5:10: {p}::any: expected a number or text or a list or a map, found `true`"),
        ),
    ] {
        assert_eq!(shapes(settings).expect_err("refused"), wanted, "{settings}");
    }
}

#[test]
fn the_reference_page_of_a_type_that_contains_itself_comes_to_an_end() {
    let page = reference(&known());
    assert!(page.contains("| `endpoint` | text | required | The server to send to. |"), "{page}");
    assert!(page.contains("## `rules[]`") && page.contains("## `reader::pull`"), "{page}");
    assert!(page.len() < 10_000);
}
