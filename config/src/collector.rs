//! The Collector's options, held against our schemas: what becomes of each.

use serde_json::Value as Json;

use crate::check::{NOT_SUPPORTED, View, WITHOUT_MEANING};

/// What becomes of an option of the Collector's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class<'s> {
    /// It does what it does in the Collector.
    Supported,
    /// It is refused; with what to use instead.
    NotSupportedYet(&'s str),
    /// It is taken and changes nothing; with the reason why nothing is lost.
    WithoutMeaning(&'s str),
    /// Nobody here has heard of it.
    Unknown,
}

/// The class of each option. `options` are paths, keys joined by `::`, with `[]` for the items of a list; `*` for any key.
pub fn classes<'s>(schema: &'s Json, options: &[&str]) -> Vec<Class<'s>> {
    options.iter().map(|option| class(View::root(schema), option)).collect()
}

fn class<'s>(view: View<'s>, path: &str) -> Class<'s> {
    if let Some(why) = view.text(WITHOUT_MEANING) {
        return Class::WithoutMeaning(why);
    }
    let (key, rest) = path.split_once("::").map_or((path, None), |(key, rest)| (key, Some(rest)));
    if let Some(why) = view.reason(WITHOUT_MEANING, key) {
        return Class::WithoutMeaning(why);
    }
    if let Some(instead) = view.reason(NOT_SUPPORTED, key) {
        return Class::NotSupportedYet(instead);
    }
    let inner = |view: View<'s>| match rest {
        None => Class::Supported,
        Some(rest) => class(view, rest),
    };
    if let Some(property) = view.property(key.trim_end_matches("[]")) {
        let items = key.ends_with("[]").then(|| items(property)).flatten();
        return inner(items.unwrap_or(property));
    }
    // The alternatives of a block, or any key at all.
    let mut within = view.branches().into_iter().map(|branch| class(branch, path));
    let known = within.find(|class| *class != Class::Unknown);
    known.unwrap_or_else(|| match view.free_values() {
        Some(values) => inner(values),
        None if key == "enabled" && view.optional => Class::Supported,
        None if view.is_open() && view.has_type("object") => Class::Supported,
        None => Class::Unknown,
    })
}

fn items(view: View<'_>) -> Option<View<'_>> {
    let own = view.schema.get("items").map(|items| view.at(items));
    own.or_else(|| view.branches().into_iter().find_map(items))
}
