//! A located tree against a JSON schema, in the subset that `schemars` derives.
//!
//! Checking also *normalizes*: a text-typed option takes the characters of its `${…}`, a null option is dropped (its
//! default holds) or turns an optional block on, an enum's spelling becomes the listed one. What comes out fits
//! the schema, so that serde has nothing left to complain about.

use serde_json::Value as Json;

use super::branches::one_branch;
use super::view::View;
use crate::error::{Error, Warning};
use crate::nearest::did_you_mean;
use crate::node::{Entry, Node, Text, Value, found};
use crate::path::Path;
use crate::scalars::{ByteSize, Duration};

/// What there is to say of a document.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) errors: Vec<Error>,
    pub(crate) warnings: Vec<Warning>,
}

/// Names of options, and values, that the Collector knows and we lack; with each, what to use instead.
pub(crate) const NOT_SUPPORTED: &str = "x-not-supported";
/// Names of the Collector's options that change nothing here; with each, why nothing is lost.
pub(crate) const WITHOUT_MEANING: &str = "x-without-meaning";

/// What is said whenever an option is on: it is not safe.
const SAID_WHEN_TRUE: &str = "x-said-when-true";
/// Other spellings of an enum's values.
const ALIASES: &str = "x-aliases";

/// Checks and normalizes `node`.
pub(crate) fn check_schema(schema: &Json, node: &mut Node, path: &Path<'_>, told: &mut Told) {
    check(View::root(schema), node, path, told);
}

pub(super) fn check(view: View<'_>, node: &mut Node, path: &Path<'_>, told: &mut Told) {
    if view.schema.as_bool() == Some(true) {
        return;
    }
    if matches!(node.value, Value::Null) {
        if view.nullable() {
            return;
        }
        if view.optional {
            node.value = Value::Map(Vec::new());
        }
    }
    if view.has_type("string") && takes_text(&view) {
        take_characters(node);
    }
    if let Some(choices) = view.choices() {
        return choice(&view, choices, node, path, told);
    }
    let branches = view.branches();
    match branches.as_slice() {
        // An object whose schema also has branches is a flattened enum; its options are those of the chosen branch.
        [] => typed(view, node, path, told),
        [only] => check(
            View { optional: view.optional, secret: view.secret || only.secret, ..*only },
            node,
            path,
            told,
        ),
        _ => one_branch(&view, &branches, node, path, told),
    }
}

/// Whether characters that look like a number are still text here.
fn takes_text(view: &View<'_>) -> bool {
    !view.has_type("integer")
        && !view.has_type("number")
        && !view.has_type("boolean")
        && view.text("format") != Some("duration")
}

/// A text-typed option takes the characters that `${…}` gave, whatever YAML reads in them.
fn take_characters(node: &mut Node) {
    if let (Text::Expanded(text), false) = (&node.text, matches!(node.value, Value::Text(_) | Value::Null)) {
        node.value = Value::Text(text.to_string());
    }
}

/// A reason behind a colon, if there is one.
fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

/// What YAML reads in unquoted characters surprises people; says how to get text.
const QUOTE: &str = "; put it in quotes to make it text";

fn choice(view: &View<'_>, choices: Vec<&str>, node: &mut Node, path: &Path<'_>, told: &mut Told) {
    take_characters(node);
    let ignore_case = view.schema.get("x-ignore-case").and_then(Json::as_bool).unwrap_or(false);
    let same =
        |choice: &str, text: &str| choice == text || (ignore_case && choice.eq_ignore_ascii_case(text));
    let text = node.as_text().map(|text| view.reason(ALIASES, text).unwrap_or(text).to_owned());
    if let Some(choice) = choices.iter().find(|choice| text.as_deref().is_some_and(|text| same(choice, text)))
    {
        node.value = Value::Text((*choice).to_owned());
        return;
    }
    let hint = match &text {
        Some(text) if !node.is_expanded() => did_you_mean(text, choices.iter().copied()),
        None if choices.contains(&node.to_json().to_string().as_str()) => QUOTE.to_owned(),
        _ => String::new(),
    };
    let lacking = text.as_deref().and_then(|text| view.reason(NOT_SUPPORTED, text));
    let hint = match lacking {
        Some(instead) => format!("; this Collector value is not supported yet{}", because(instead)),
        None => hint,
    };
    let message = format!("expected {}, found {}{hint}", view.words(), found(node, view.hides()));
    told.errors.push(Error::new(&node.at, path, message));
}

fn typed(view: View<'_>, node: &mut Node, path: &Path<'_>, told: &mut Told) {
    let fits = match (&node.value, view.types().next()) {
        (_, None) => true,
        (Value::Null, _) => view.nullable(),
        (Value::Bool(_), _) => view.has_type("boolean"),
        (Value::Int(_), _) => view.has_type("integer") || view.has_type("number"),
        (Value::Float(_), _) => view.has_type("number"),
        (Value::Text(_), _) => view.has_type("string"),
        (Value::Seq(_), _) => view.has_type("array"),
        (Value::Map(_), _) => view.has_type("object"),
    };
    let wrong = match (view.text("format"), &node.value) {
        (Some("duration"), Value::Int(0)) => None,
        (Some("duration"), Value::Int(_)) => Some("the unit is missing".to_owned()),
        (Some("duration"), Value::Text(text)) => text.parse::<Duration>().err(),
        (Some("byte-size"), Value::Text(text)) => text.parse::<ByteSize>().err(),
        (Some("byte-size"), Value::Int(number)) => {
            u64::try_from(*number).err().map(|_| "a size cannot be negative".to_owned())
        }
        _ if !fits => Some(String::new()),
        (_, Value::Int(number)) => out_of_bounds(&view, *number as f64).then(String::new),
        (_, Value::Float(number)) => out_of_bounds(&view, *number).then(String::new),
        _ => None,
    };
    if let Some(wrong) = wrong {
        let message = mismatch(&view, node, &wrong);
        told.errors.push(Error::new(&node.at, path, message));
        return;
    }
    match &mut node.value {
        Value::Seq(items) => {
            if let Some(schema) = view.schema.get("items") {
                let view = view.at(schema);
                for (index, item) in items.iter_mut().enumerate() {
                    check(view, item, &path.index(index), told);
                }
            }
        }
        Value::Map(_) => object(&view, node, path, told),
        _ => {}
    }
}

fn mismatch(view: &View<'_>, node: &Node, wrong: &str) -> String {
    let found = found(node, view.hides());
    let expected = view.words();
    if wrong.is_empty() {
        let quote = view.has_type("string")
            && matches!(node.value, Value::Bool(_) | Value::Int(_) | Value::Float(_))
            && !node.is_expanded();
        let boolean = view.has_type("boolean")
            && matches!(
                node.as_text(),
                Some("yes" | "Yes" | "YES" | "no" | "No" | "NO" | "on" | "On" | "off" | "Off")
            );
        let hint = match (quote, boolean) {
            (true, _) => QUOTE,
            (_, true) => "; YAML 1.2 has no `yes` and `no`",
            _ => "",
        };
        return format!("expected {expected}, found {found}{hint}");
    }
    // The scalar's own words may quote what was written.
    let wrong = if node.is_expanded() || view.hides() { "" } else { wrong };
    match wrong.split_once("; expected") {
        Some((wrong, _)) => format!("expected {expected}, found {found}; {wrong}"),
        None if wrong.is_empty() || wrong.starts_with("expected") => {
            format!("expected {expected}, found {found}")
        }
        None => format!("expected {expected}, found {found}; {wrong}"),
    }
}

fn out_of_bounds(view: &View<'_>, number: f64) -> bool {
    let (least, most) = view.limits();
    least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most)
}

/// A map against an object schema: unknown options, options that we lack, required ones, and each one's value.
fn object(view: &View<'_>, node: &mut Node, path: &Path<'_>, told: &mut Told) {
    let at = node.at.clone();
    let Value::Map(entries) = &mut node.value else { return };
    // A block that is turned off need not be complete.
    let off = view.optional
        && entries.iter().any(|entry| entry.key == "enabled" && entry.value.value == Value::Bool(false));
    let mut kept = Vec::with_capacity(entries.len());
    for mut entry in std::mem::take(entries) {
        if option(view, &mut entry, path, told) {
            kept.push(entry);
        }
    }
    for name in view.names("required") {
        if !off && kept.iter().all(|entry| entry.key != name) {
            told.errors.push(Error::new(&at, path, format!("option `{name}` is required")));
        }
    }
    *entries = kept;
}

/// Checks one key and its value; false if the option says nothing and its default holds.
fn option(view: &View<'_>, entry: &mut Entry, path: &Path<'_>, told: &mut Told) -> bool {
    let key = entry.key.clone();
    let path = path.key(&key);
    let node = &mut entry.value;
    let known = view.property(&key).or_else(|| view.free_values());
    if let Some(known) = known {
        if matches!(node.value, Value::Null) && !known.nullable() && !known.optional {
            // An option keeps its default. A free map has none: there, nothing is empty text or an empty block.
            let free = view.property(&key).is_none();
            if free && known.has_type("string") {
                node.value = Value::Text(String::new());
            } else if free && known.has_type("object") {
                node.value = Value::Map(Vec::new());
            } else {
                return false;
            }
        }
        check(known, node, &path, told);
        // A flag that stands beside a reference is not followed, so the property itself is asked.
        let said = view.schema.get("properties").and_then(|all| all.get(&key)?.get(SAID_WHEN_TRUE)?.as_str());
        if let (Some(said), Value::Bool(true)) = (said, &node.value) {
            told.warnings.push(Warning::new(&entry.key_at, path, said));
        }
        return true;
    }
    if view.optional && key == "enabled" {
        if !matches!(node.value, Value::Bool(_) | Value::Null) {
            let message = format!("expected `true` or `false`, found {}", found(node, false));
            told.errors.push(Error::new(&node.at, path, message));
        }
        return true;
    }
    if view.is_open() {
        return true;
    }
    if let Some(why) = view.reason(WITHOUT_MEANING, &key) {
        let message = format!("taken, but without meaning here{}", because(why));
        told.warnings.push(Warning::new(&entry.key_at, path, message));
        return false;
    }
    let message = if let Some(instead) = view.reason(NOT_SUPPORTED, &key) {
        format!("this Collector option is not supported yet{}", because(instead))
    } else {
        let known = view.properties().map(|(key, _)| key).chain(view.optional.then_some("enabled"));
        format!("unknown option{}", did_you_mean(&key, known))
    };
    told.errors.push(Error::new(&entry.key_at, path, message));
    true
}
