//! `print-config`: the configuration in effect, without its secrets.

use serde_json::Value as Json;

use crate::catalog::Catalog;
use crate::check::{View, normalized};
use crate::document::Document;
use crate::emit;
use crate::id::Id;
use crate::kind::Kind;
use crate::node::{Node, Value};
use crate::scalars::Secret;

/// Finds secrets in the midst of text, the password in an address, say: the text without them, or none if there are none.
pub type Mask<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The notation to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// YAML, which loads back as the same configuration.
    #[default]
    Yaml,
    /// JSON.
    Json,
}

impl Document {
    /// The merged and expanded configuration, as the components in `catalog` understand it.
    ///
    /// With a mask secrets do not show: options whose schema says so, all values under a `headers` key, in a component that
    /// the catalog does not know everything that came out of `${…}` or stands under a key that sounds secret, and what the
    /// mask finds in the rest.
    pub fn print(&self, catalog: &Catalog, mask: Option<Mask<'_>>, format: Format) -> String {
        let mut root = normalized(self.root(), catalog);
        if let Some(mask) = mask {
            redact(&mut root, catalog);
            within(&mut root, mask);
        }
        match format {
            Format::Yaml => emit::yaml(&root),
            Format::Json => emit::json(&root),
        }
    }
}

fn redact(root: &mut Node, catalog: &Catalog) {
    let Value::Map(sections) = &mut root.value else { return };
    for section in sections {
        let kind = Kind::ALL.into_iter().find(|kind| kind.section() == section.key);
        match (kind, &mut section.value.value) {
            (Some(kind), Value::Map(components)) => {
                for component in components {
                    let known = component.key.parse::<Id>().ok();
                    let known = known.and_then(|id| catalog.find(kind, id.type_name()));
                    match known {
                        Some(known) => {
                            by_schema(Some(View::root(known.schema.as_value())), &mut component.value)
                        }
                        None => by_guess(&mut component.value),
                    }
                }
            }
            // The service section has no secrets of its own.
            _ if section.key == "service" => headers(&mut section.value),
            _ => by_guess(&mut section.value),
        }
    }
}

/// Masks what the schema calls secret; without a schema (an unknown option) it guesses.
fn by_schema(view: Option<View<'_>>, node: &mut Node) {
    let Some(view) = view else { return by_guess(node) };
    if is_secret(&view) {
        return mask(node);
    }
    let branches = view.branches();
    if !branches.is_empty() {
        // Each is judged by the value as it was written, before another branch masked part of it.
        let fitting: Vec<_> = branches.into_iter().filter(|branch| describes(branch, node)).collect();
        return fitting.into_iter().for_each(|branch| by_schema(Some(branch), node));
    }
    match &mut node.value {
        Value::Seq(items) => {
            let inner = view.schema.get("items").map(|schema| view.at(schema));
            items.iter_mut().for_each(|item| by_schema(inner, item));
        }
        Value::Map(entries) => {
            for entry in entries {
                if is_headers(&entry.key) {
                    mask_leaves(&mut entry.value);
                } else if !(view.optional && entry.key == "enabled") {
                    match view.property(&entry.key).or_else(|| view.free_values()) {
                        None if sounds_secret(&entry.key) => mask_leaves(&mut entry.value),
                        inner => by_schema(inner, &mut entry.value),
                    }
                }
            }
        }
        // A value of the wrong shape may be anything.
        Value::Text(_) if !view.has_type("string") && view.types().next().is_some() => by_guess(node),
        _ => {}
    }
}

fn is_secret(view: &View<'_>) -> bool {
    view.secret || view.branches().iter().any(|branch| branch.secret)
}

/// Whether a branch may be the one that a value follows: it knows every key.
fn describes(branch: &View<'_>, node: &Node) -> bool {
    let fixed = |(key, property): (&str, View<'_>)| match (property.schema.get("const"), node.get(key)) {
        (Some(Json::String(name)), Some(given)) => given.as_text() == Some(name),
        _ => true,
    };
    match &node.value {
        Value::Map(entries) => {
            branch.properties().all(fixed)
                && (branch.free_values().is_some()
                    || entries.iter().any(|entry| branch.property(&entry.key).is_some())
                    || !branch.branches().is_empty())
        }
        Value::Seq(_) => branch.has_type("array"),
        _ => branch.types().any(|name| !matches!(name, "object" | "array")),
    }
}

/// Without a schema: what came out of `${…}`, and what stands under a key that sounds secret.
fn by_guess(node: &mut Node) {
    if node.is_expanded() {
        return mask_leaves(node);
    }
    match &mut node.value {
        Value::Seq(items) => items.iter_mut().for_each(by_guess),
        Value::Map(entries) => {
            for entry in entries {
                if is_headers(&entry.key) || sounds_secret(&entry.key) {
                    mask_leaves(&mut entry.value);
                } else {
                    by_guess(&mut entry.value);
                }
            }
        }
        _ => {}
    }
}

/// Masks what is secret within the texts that are left.
fn within(node: &mut Node, mask: Mask<'_>) {
    match &mut node.value {
        Value::Seq(items) => items.iter_mut().for_each(|item| within(item, mask)),
        Value::Map(entries) => entries.iter_mut().for_each(|entry| within(&mut entry.value, mask)),
        Value::Text(text) => {
            if let Some(masked) = mask(text) {
                *text = masked;
            }
        }
        _ => {}
    }
}

fn headers(node: &mut Node) {
    match &mut node.value {
        Value::Seq(items) => items.iter_mut().for_each(headers),
        Value::Map(entries) => {
            for entry in entries {
                if is_headers(&entry.key) { mask_leaves(&mut entry.value) } else { headers(&mut entry.value) }
            }
        }
        _ => {}
    }
}

fn is_headers(key: &str) -> bool {
    key == "headers" || key.ends_with("_headers")
}

fn sounds_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    [
        "password",
        "passwd",
        "secret",
        "token",
        "credential",
        "api_key",
        "apikey",
        "private",
        "auth",
        "dsn",
        "key_pem",
    ]
    .iter()
    .any(|word| key.contains(word))
}

/// Masks the whole of it; nothing has nothing to hide.
fn mask(node: &mut Node) {
    if !matches!(node.value, Value::Null) {
        node.value = Value::Text(Secret::default().to_string());
    }
}

fn mask_leaves(node: &mut Node) {
    match &mut node.value {
        Value::Seq(items) => items.iter_mut().for_each(mask_leaves),
        Value::Map(entries) => entries.iter_mut().for_each(|entry| mask_leaves(&mut entry.value)),
        _ => mask(node),
    }
}
