//! Values that may be one of several things: enums in serde's three representations.

use super::schema::{Told, check};
use super::view::{View, one_of};
use crate::error::Error;
use crate::nearest::did_you_mean;
use crate::node::{Node, Value, found};
use crate::path::Path;

/// A value that may be one of several things: an enum with data, or an untagged one.
pub(super) fn one_branch(
    view: &View<'_>,
    branches: &[View<'_>],
    node: &mut Node,
    path: &Path<'_>,
    told: &mut Told,
) {
    if let Some((tag, names)) = tag_of(branches)
        && matches!(node.value, Value::Map(_))
    {
        let given = node.get(tag).and_then(Node::as_text).map(str::to_owned);
        match branches.iter().zip(&names).find(|(_, name)| given.as_deref() == Some(**name)) {
            Some((branch, _)) => check(*branch, node, path, told),
            None => {
                let entry = node.get(tag);
                let hint = given.map(|given| did_you_mean(&given, names.iter().copied())).unwrap_or_default();
                let expected = one_of(names);
                let message = match entry {
                    Some(value) => format!("expected {expected}, found {}{hint}", found(value, false)),
                    None => format!("option `{tag}` is required, {expected}"),
                };
                let path = if entry.is_some() { path.key(tag) } else { *path };
                told.errors.push(Error::new(entry.map_or(&node.at, |value| &value.at), path, message));
            }
        }
        return;
    }
    if let Some(tagged) = outer_tags(branches)
        && let [only] = node.entries()
    {
        match tagged.iter().find(|(tag, _)| *tag == only.key) {
            Some((_, branch)) => check(*branch, node, path, told),
            None => {
                let tags: Vec<_> = tagged.into_iter().map(|(tag, _)| tag).collect();
                let hint = did_you_mean(&only.key, tags.iter().copied());
                let message = format!("unknown option, expected {}{hint}", one_of(tags));
                told.errors.push(Error::new(&only.key_at, path.key(&only.key), message));
            }
        }
        return;
    }
    let mut best: Option<(Told, Node)> = None;
    for branch in branches.iter().filter(|branch| same_shape(branch, node)) {
        let mut tried = node.clone();
        let mut found = Told::default();
        check(*branch, &mut tried, path, &mut found);
        if best.as_ref().is_none_or(|(least, _)| found.errors.len() < least.errors.len()) {
            best = Some((found, tried));
        }
    }
    match best {
        Some((found, tried)) => {
            told.errors.extend(found.errors);
            told.warnings.extend(found.warnings);
            *node = tried;
        }
        None => {
            let shown = node.as_text().filter(|_| !view.hides() && !node.is_expanded());
            let fixed = branches.iter().filter_map(View::choices).flatten();
            let hint = shown.map(|text| did_you_mean(text, fixed)).unwrap_or_default();
            let message = format!("expected {}, found {}{hint}", view.words(), found(node, view.hides()));
            told.errors.push(Error::new(&node.at, path, message));
        }
    }
}

/// The key of each variant, if the branches that are maps are the variants of an enum, `{variant: data}`.
fn outer_tags<'s>(branches: &[View<'s>]) -> Option<Vec<(&'s str, View<'s>)>> {
    let maps = branches.iter().filter(|branch| branch.has_type("object"));
    let tags = maps.map(|branch| {
        let mut properties = branch.properties();
        let (tag, _) = properties.next()?;
        let alone = properties.next().is_none() && branch.names("required").eq([tag]);
        alone.then_some((tag, *branch))
    });
    tags.collect::<Option<Vec<_>>>().filter(|tags| !tags.is_empty())
}

/// The option whose fixed text tells the branches apart, and the text of each.
fn tag_of<'s>(branches: &[View<'s>]) -> Option<(&'s str, Vec<&'s str>)> {
    branches.first()?.properties().find_map(|(tag, _)| {
        let names = branches.iter().map(|branch| branch.property(tag)?.text("const"));
        names.collect::<Option<Vec<_>>>().map(|names| (tag, names))
    })
}

/// Whether a value is at all the kind of thing that a branch describes.
fn same_shape(branch: &View<'_>, node: &Node) -> bool {
    if let Some(choices) = branch.choices() {
        return node.as_text().is_some_and(|text| choices.contains(&text));
    }
    match &node.value {
        Value::Null => branch.nullable(),
        Value::Bool(_) => branch.has_type("boolean"),
        Value::Int(_) => branch.has_type("integer") || branch.has_type("number"),
        Value::Float(_) => branch.has_type("number"),
        Value::Text(_) => branch.has_type("string"),
        Value::Seq(_) => branch.has_type("array"),
        Value::Map(_) => branch.has_type("object") || !branch.branches().is_empty(),
    }
}
