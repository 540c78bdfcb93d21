//! Values that may be one of several things, enums in serde's three representations: which branch of the schema is meant.

use super::view::View;
use crate::node::{Node, Value};

/// The key of each variant, if the branches that are maps are the variants of an enum, `{variant: data}`.
pub(super) fn outer_tags<'s>(branches: &[View<'s>]) -> Option<Vec<(&'s str, View<'s>)>> {
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
pub(super) fn tag_of<'s>(branches: &[View<'s>]) -> Option<(&'s str, Vec<&'s str>)> {
    branches.first()?.properties().find_map(|(tag, _)| {
        let names = branches.iter().map(|branch| branch.property(tag)?.text("const"));
        names.collect::<Option<Vec<_>>>().map(|names| (tag, names))
    })
}

/// Whether a value is at all the kind of thing that a branch describes.
pub(super) fn same_shape(branch: &View<'_>, node: &Node) -> bool {
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
