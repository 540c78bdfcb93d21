//! One value against its type: fixed choices, numbers with bounds, durations and sizes.

use serde_json::Value as Json;

use super::findings::{Findings, NOT_SUPPORTED, because};
use super::view::View;
use crate::error::Error;
use crate::nearest::did_you_mean;
use crate::node::{Node, Text, Value, found};
use crate::path::Path;
use crate::scalars::{ByteSize, Duration};

/// Other spellings of an enum's values.
const ALIASES: &str = "x-aliases";

/// A text-typed option takes the characters that `${…}` gave, whatever YAML reads in them.
pub(super) fn take_characters(node: &mut Node) {
    if let (Text::Expanded(text), false) = (&node.text, matches!(node.value, Value::Text(_) | Value::Null)) {
        node.value = Value::Text(text.to_string());
    }
}

/// What YAML reads in unquoted characters surprises people; says how to get text.
const QUOTE: &str = "; put it in quotes to make it text";

/// A value that must be one of fixed words.
pub(super) fn choice(
    view: &View<'_>,
    choices: Vec<&str>,
    node: &mut Node,
    path: &Path<'_>,
    findings: &mut Findings,
) {
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
    let unsupported = text.as_deref().and_then(|text| view.reason(NOT_SUPPORTED, text));
    let hint = match unsupported {
        Some(instead) => format!("; this Collector value is not supported yet{}", because(instead)),
        None => hint,
    };
    let message = format!("expected {}, found {}{hint}", view.words(), found(node, view.hides()));
    findings.errors.push(Error::new(&node.at, path, message));
}

/// What is wrong with a value of a type, in words; `None` if it fits.
pub(super) fn misfit(view: &View<'_>, node: &Node) -> Option<String> {
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
        (_, Value::Int(number)) => out_of_bounds(view, *number as f64).then(String::new),
        (_, Value::Float(number)) => out_of_bounds(view, *number).then(String::new),
        _ => None,
    };
    wrong.map(|wrong| mismatch(view, node, &wrong))
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
