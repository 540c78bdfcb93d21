//! A located tree against a JSON schema, in the subset that `schemars` derives.
//!
//! Checking also *normalizes*: a text-typed option takes the characters of its `${…}`, a null option is dropped (its
//! default holds) or turns an optional block on, an enum's spelling becomes the listed one. What comes out fits
//! the schema, so that serde has nothing left to complain about.

use serde_json::Value as Json;

use super::branches::{outer_tags, same_shape, tag_of};
use super::findings::{Findings, NOT_SUPPORTED, WITHOUT_MEANING, because};
use super::value::{choice, misfit, take_characters};
use super::view::{View, one_of};
use crate::error::{Error, Warning};
use crate::nearest::did_you_mean;
use crate::node::{Entry, Node, Value, found};
use crate::path::Path;

/// What is said whenever an option is on: it is not safe.
const SAID_WHEN_TRUE: &str = "x-said-when-true";

/// Checks and normalizes `node`.
pub(crate) fn check_schema(schema: &Json, node: &mut Node, path: &Path<'_>, findings: &mut Findings) {
    check(View::root(schema), node, path, findings);
}

fn check(view: View<'_>, node: &mut Node, path: &Path<'_>, findings: &mut Findings) {
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
        return choice(&view, choices, node, path, findings);
    }
    let branches = view.branches();
    match branches.as_slice() {
        // An object whose schema also has branches is a flattened enum; its options are those of the chosen branch.
        [] => typed(view, node, path, findings),
        [only] => check(
            View { optional: view.optional, secret: view.secret || only.secret, ..*only },
            node,
            path,
            findings,
        ),
        _ => one_branch(&view, &branches, node, path, findings),
    }
}

/// Whether characters that look like a number are still text here.
fn takes_text(view: &View<'_>) -> bool {
    !view.has_type("integer")
        && !view.has_type("number")
        && !view.has_type("boolean")
        && view.text("format") != Some("duration")
}

fn typed(view: View<'_>, node: &mut Node, path: &Path<'_>, findings: &mut Findings) {
    if let Some(message) = misfit(&view, node) {
        findings.errors.push(Error::new(&node.at, path, message));
        return;
    }
    match &mut node.value {
        Value::Seq(items) => {
            if let Some(schema) = view.schema.get("items") {
                let view = view.at(schema);
                for (index, item) in items.iter_mut().enumerate() {
                    check(view, item, &path.index(index), findings);
                }
            }
        }
        Value::Map(_) => object(&view, node, path, findings),
        _ => {}
    }
}

/// A value that may be one of several things: an enum with data, or an untagged one.
fn one_branch(
    view: &View<'_>,
    branches: &[View<'_>],
    node: &mut Node,
    path: &Path<'_>,
    findings: &mut Findings,
) {
    if let Some((tag, names)) = tag_of(branches)
        && matches!(node.value, Value::Map(_))
    {
        let given = node.get(tag).and_then(Node::as_text).map(str::to_owned);
        match branches.iter().zip(&names).find(|(_, name)| given.as_deref() == Some(**name)) {
            Some((branch, _)) => check(*branch, node, path, findings),
            None => {
                let entry = node.get(tag);
                let hint = given.map(|given| did_you_mean(&given, names.iter().copied())).unwrap_or_default();
                let expected = one_of(names);
                let message = match entry {
                    Some(value) => format!("expected {expected}, found {}{hint}", found(value, false)),
                    None => format!("option `{tag}` is required, {expected}"),
                };
                let path = if entry.is_some() { path.key(tag) } else { *path };
                findings.errors.push(Error::new(entry.map_or(&node.at, |value| &value.at), path, message));
            }
        }
        return;
    }
    if let Some(tagged) = outer_tags(branches)
        && let [only] = node.entries()
    {
        match tagged.iter().find(|(tag, _)| *tag == only.key) {
            Some((_, branch)) => check(*branch, node, path, findings),
            None => {
                let tags: Vec<_> = tagged.into_iter().map(|(tag, _)| tag).collect();
                let hint = did_you_mean(&only.key, tags.iter().copied());
                let message = format!("unknown option, expected {}{hint}", one_of(tags));
                findings.errors.push(Error::new(&only.key_at, path.key(&only.key), message));
            }
        }
        return;
    }
    let mut best: Option<(Findings, Node)> = None;
    for branch in branches.iter().filter(|branch| same_shape(branch, node)) {
        let mut tried = node.clone();
        let mut found = Findings::default();
        check(*branch, &mut tried, path, &mut found);
        if best.as_ref().is_none_or(|(least, _)| found.errors.len() < least.errors.len()) {
            best = Some((found, tried));
        }
    }
    match best {
        Some((found, tried)) => {
            findings.errors.extend(found.errors);
            findings.warnings.extend(found.warnings);
            *node = tried;
        }
        None => {
            let shown = node.as_text().filter(|_| !view.hides() && !node.is_expanded());
            let fixed = branches.iter().filter_map(View::choices).flatten();
            let hint = shown.map(|text| did_you_mean(text, fixed)).unwrap_or_default();
            let message = format!("expected {}, found {}{hint}", view.words(), found(node, view.hides()));
            findings.errors.push(Error::new(&node.at, path, message));
        }
    }
}

/// A map against an object schema: unknown options, options that we lack, required ones, and each one's value.
fn object(view: &View<'_>, node: &mut Node, path: &Path<'_>, findings: &mut Findings) {
    let at = node.at.clone();
    let Value::Map(entries) = &mut node.value else { return };
    // A block that is turned off need not be complete.
    let off = view.optional
        && entries.iter().any(|entry| entry.key == "enabled" && entry.value.value == Value::Bool(false));
    let mut kept = Vec::with_capacity(entries.len());
    for mut entry in std::mem::take(entries) {
        if option(view, &mut entry, path, findings) {
            kept.push(entry);
        }
    }
    for name in view.names("required") {
        if !off && kept.iter().all(|entry| entry.key != name) {
            findings.errors.push(Error::new(&at, path, format!("option `{name}` is required")));
        }
    }
    *entries = kept;
}

/// Checks one key and its value; false if the option says nothing and its default holds.
fn option(view: &View<'_>, entry: &mut Entry, path: &Path<'_>, findings: &mut Findings) -> bool {
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
        check(known, node, &path, findings);
        // A flag that stands beside a reference is not followed, so the property itself is asked.
        let said = view.schema.get("properties").and_then(|all| all.get(&key)?.get(SAID_WHEN_TRUE)?.as_str());
        if let (Some(said), Value::Bool(true)) = (said, &node.value) {
            findings.warnings.push(Warning::new(&entry.key_at, path, said));
        }
        return true;
    }
    if view.optional && key == "enabled" {
        if !matches!(node.value, Value::Bool(_) | Value::Null) {
            let message = format!("expected `true` or `false`, found {}", found(node, false));
            findings.errors.push(Error::new(&node.at, path, message));
        }
        return true;
    }
    if view.is_open() {
        return true;
    }
    if let Some(why) = view.reason(WITHOUT_MEANING, &key) {
        let message = format!("taken, but without meaning here{}", because(why));
        findings.warnings.push(Warning::new(&entry.key_at, path, message));
        return false;
    }
    let message = if let Some(instead) = view.reason(NOT_SUPPORTED, &key) {
        format!("this Collector option is not supported yet{}", because(instead))
    } else {
        let known = view.properties().map(|(key, _)| key).chain(view.optional.then_some("enabled"));
        format!("unknown option{}", did_you_mean(&key, known))
    };
    findings.errors.push(Error::new(&entry.key_at, path, message));
    true
}
