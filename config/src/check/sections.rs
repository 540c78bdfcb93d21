//! The sections, the components in them, and the `service` section's form.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::findings::{Findings, WITHOUT_MEANING};
use super::pipelines::{Defined, Wiring};
use super::schema::check_schema;
use crate::catalog::Catalog;
use crate::error::{Error, Errors, Warning};
use crate::id::Id;
use crate::kind::Kind;
use crate::nearest::did_you_mean;
use crate::node::{Node, Value, found};
use crate::path::Path;
use crate::service::Service;
use crate::settings::{Component, Settings};

/// The verdict on a document.
#[derive(Debug, Clone)]
pub struct Checked {
    /// What works but is probably not meant: unset variables, former names, unused components.
    pub warnings: Vec<Warning>,
    /// All that is wrong, sorted by place.
    pub errors: Errors,
    /// What the document says; none if anything is wrong.
    pub settings: Option<Settings>,
    /// Where something is wrong: the parts that are right by themselves, so that what their builders refuse is told at
    /// once too. None if an extension is among the wrong, for the others may need it.
    pub sound: Option<Settings>,
}

/// Everything that is wrong with a document, and, if nothing is, what it says.
pub(crate) fn check(root: &Node, catalog: &Catalog) -> Checked {
    let mut pass = Pass { catalog, findings: Findings::default(), components: BTreeMap::new() };
    let mut root = root.clone();
    let wiring = pass.run(&mut root);
    pass.findings.errors.extend(wiring.errors);
    pass.findings.warnings.extend(wiring.warnings);
    let errors = Errors::new(pass.findings.errors);
    let settings = |service| Settings {
        components: pass.components,
        extensions: wiring.extensions,
        pipelines: wiring.pipelines,
        service,
    };
    let warnings = pass.findings.warnings;
    if !errors.is_empty() {
        let whole = !errors.iter().any(|error| of_extensions(error.path()));
        let sound = whole.then(|| settings(Service::default()));
        return Checked { warnings, errors, settings: None, sound };
    }
    match service(&root) {
        Ok(service) => Checked { warnings, errors, settings: Some(settings(service)), sound: None },
        Err(error) => Checked { warnings, errors: error.into(), settings: None, sound: None },
    }
}

fn of_extensions(path: &str) -> bool {
    path.starts_with("extensions") || path.starts_with("service::extensions")
}

/// The document as the schemas make of it, mistakes left in place: what `print-config` shows.
pub(crate) fn normalized(root: &Node, catalog: &Catalog) -> Node {
    let mut pass = Pass { catalog, findings: Findings::default(), components: BTreeMap::new() };
    let mut root = root.clone();
    pass.run(&mut root);
    root
}

/// The schema of the `service` section: our own settings, and the form of extensions and pipelines.
pub fn service_schema() -> Json {
    let mut schema = schemars::schema_for!(Service).to_value();
    let ids = json!({ "type": "array", "items": { "type": "string" } });
    if let Some(properties) = schema.get_mut("properties").and_then(Json::as_object_mut) {
        let described = |mut schema: Json, text: &str| {
            schema["description"] = Json::from(text);
            schema
        };
        let list = described(ids.clone(), "The extensions that run, in the order in which they start.");
        properties.insert("extensions".to_owned(), list);
        let of = |text| described(ids.clone(), text);
        let pipeline = json!({
            "type": "object",
            "properties": {
                "receivers": of("Where the pipeline's data comes from: receivers and connectors."),
                "processors": of("The processors, in the order in which they are applied."),
                "exporters": of("Where the pipeline's data goes: exporters and connectors. Each gets all of it."),
            },
            "additionalProperties": false,
        });
        let pipelines = json!({
            "type": "object", "additionalProperties": pipeline,
            "description": "The pipelines. A name is `traces`, `metrics` or `logs`, followed by `/name` if there are several of one signal.",
        });
        properties.insert("pipelines".to_owned(), pipelines);
    }
    schema
}

struct Pass<'a> {
    catalog: &'a Catalog,
    findings: Findings,
    components: BTreeMap<(Kind, Id), Component>,
}

impl Pass<'_> {
    fn run(&mut self, root: &mut Node) -> Wiring {
        let at = root.at.clone();
        let mut defined = Defined::default();
        if let Value::Map(entries) = &mut root.value {
            for entry in entries {
                let path = Path::Root.key(&entry.key);
                if let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.section() == entry.key) {
                    self.section(kind, &mut entry.value, &path, &mut defined);
                } else if entry.key == "service" {
                    if matches!(entry.value.value, Value::Null) {
                        entry.value.value = Value::Map(Vec::new());
                    }
                    check_schema(&service_schema(), &mut entry.value, &path, &mut self.findings);
                } else {
                    let sections = Kind::ALL.map(Kind::section).into_iter().chain(["service"]);
                    let hint = did_you_mean(&entry.key, sections);
                    let message = if hint.is_empty() {
                        "unknown section; expected `receivers`, `processors`, `exporters`, `connectors`, \
                         `extensions` or `service`"
                            .to_owned()
                    } else {
                        format!("unknown section{hint}")
                    };
                    self.findings.errors.push(Error::new(&entry.key_at, path, message));
                }
            }
        }
        for kind in [Kind::Receiver, Kind::Exporter] {
            if defined.is_missing(kind) {
                let at = root.entry(kind.section()).map_or(&at, |entry| &entry.key_at);
                let message = format!("at least one {kind} is needed");
                self.findings.errors.push(Error::new(at, kind.section(), message));
            }
        }
        Wiring::new(root, self.catalog, defined)
    }

    fn section(&mut self, kind: Kind, node: &mut Node, path: &Path<'_>, defined: &mut Defined) {
        let entries = match &mut node.value {
            Value::Map(entries) => entries,
            Value::Null => {
                node.value = Value::Map(Vec::new());
                return;
            }
            _ => {
                let message = format!("expected a map of {}, found {}", kind.section(), found(node, true));
                self.findings.errors.push(Error::new(&node.at, path, message));
                defined.mark_broken(kind);
                return;
            }
        };
        for entry in entries {
            let path = path.key(&entry.key);
            let id = match entry.key.parse::<Id>() {
                Ok(id) => id,
                Err(message) => {
                    defined.mark_broken(kind);
                    self.findings.errors.push(Error::new(&entry.key_at, path, message));
                    continue;
                }
            };
            if let Some(first) = defined.insert(kind, &id, &entry.key_at) {
                let message = format!("`{id}` is defined twice; it first stands at {first}");
                self.findings.errors.push(Error::new(&entry.key_at, path, message));
                continue;
            }
            let Some(known) = self.catalog.find(kind, id.type_name()) else {
                let message = self.catalog.explain_unknown(kind, id.type_name());
                self.findings.errors.push(Error::new(&entry.key_at, path, message));
                continue;
            };
            if known.type_name != id.type_name() {
                let message = format!("`{}` is now called `{}`", id.type_name(), known.type_name);
                self.findings.warnings.push(Warning::new(&entry.key_at, path, message));
            }
            let without_meaning = known.schema.as_value().get(WITHOUT_MEANING).and_then(Json::as_str);
            if let Some(why) = without_meaning {
                let message = format!("taken, but without meaning here: {why}");
                self.findings.warnings.push(Warning::new(&entry.key_at, path, message));
            }
            if without_meaning.is_some() || matches!(entry.value.value, Value::Null) {
                entry.value.value = Value::Map(Vec::new());
            }
            let before = self.findings.errors.len();
            check_schema(known.schema.as_value(), &mut entry.value, &path, &mut self.findings);
            if self.findings.errors.len() > before {
                continue;
            }
            let (node, at) = (entry.value.clone(), entry.key_at.clone());
            let component = Component { kind, id: id.clone(), type_name: known.type_name, node, at };
            self.components.insert((kind, id), component);
        }
    }
}

/// The typed part of the `service` section.
fn service(root: &Node) -> Result<Service, Error> {
    let Some(node) = root.get("service") else { return Ok(Service::default()) };
    let mut node = node.clone();
    if let Value::Map(entries) = &mut node.value {
        entries.retain(|entry| !matches!(entry.key.as_str(), "pipelines" | "extensions"));
    }
    node.typed()
}
