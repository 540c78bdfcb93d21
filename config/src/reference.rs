//! Reference pages, from the schemas that also check the configuration.

use std::fmt::Write;

use serde_json::Value as Json;

use crate::catalog::ComponentType;
use crate::check::{NOT_SUPPORTED, View, WITHOUT_MEANING, service_schema};
use crate::kind::Signal;

/// How deep sections of options may be nested; a type may contain itself.
const MAX_DEPTH: usize = 8;

/// The reference page of one component in Markdown: what it does, and a table of options for it and each of its
/// blocks. The same component gives the same page.
pub fn reference(known: &ComponentType) -> String {
    let view = View::root(known.schema.as_value());
    let mut page = format!("# `{}` ({})\n\n", known.type_name, known.kind);
    if let Some(description) = view.text("description") {
        line(&mut page, format_args!("{description}\n"));
    }
    for (word, signals) in [("Takes", known.consumes), ("Gives", known.produces)] {
        if !signals.is_empty() {
            let signals: Vec<_> = signals.iter().copied().map(Signal::as_str).collect();
            line(&mut page, format_args!("{word}: {}.\n", signals.join(", ")));
        }
    }
    if !known.aliases.is_empty() {
        let aliases: Vec<_> = known.aliases.iter().map(|alias| format!("`{alias}`")).collect();
        line(
            &mut page,
            format_args!("Former names, still accepted with a warning: {}.\n", aliases.join(", ")),
        );
    }
    options(&mut page, view, "", 0);
    while page.ends_with("\n\n") {
        page.pop();
    }
    page
}

/// The reference page of the `service` section.
pub fn service_reference() -> String {
    let schema = service_schema();
    let mut page = "# `service`\n\n".to_owned();
    let view = View::root(&schema);
    if let Some(description) = view.text("description") {
        line(&mut page, format_args!("{description}\n"));
    }
    options(&mut page, view, "", 0);
    while page.ends_with("\n\n") {
        page.pop();
    }
    page
}

/// The table of a block's options, then the tables of the blocks in it.
fn options(page: &mut String, view: View<'_>, path: &str, depth: usize) {
    let properties: Vec<_> = view.properties().collect();
    if !path.is_empty() {
        line(page, format_args!("## `{path}`\n"));
        if let Some(description) = view.text("description") {
            line(page, format_args!("{description}\n"));
        }
    }
    if properties.is_empty() {
        line(page, "No options.\n");
    } else {
        line(page, "| option | type | default | |\n|---|---|---|---|");
        let raw = view.schema.get("properties");
        for (name, property) in &properties {
            // What stands beside a `$ref` is about this option, what it refers to is about its type.
            let beside = raw.and_then(|raw| raw.get(*name)).unwrap_or(property.schema);
            let required = view.names("required").any(|required| required == *name);
            row(page, name, *property, beside, required);
        }
        page.push('\n');
    }
    if let Some(why) = view.text(WITHOUT_MEANING) {
        line(page, format_args!("Whatever it is given is taken, and without meaning here: {why}.\n"));
    }
    reasons(page, view, NOT_SUPPORTED, "Of the Collector's options, not supported yet");
    reasons(page, view, WITHOUT_MEANING, "Taken, but without meaning here");
    for (name, property) in properties {
        let inner = if path.is_empty() { name.to_owned() } else { format!("{path}::{name}") };
        nested(page, property, &inner, depth);
    }
}

/// The options that a keyword names, each with its reason.
fn reasons(page: &mut String, view: View<'_>, keyword: &str, title: &str) {
    let mut names: Vec<_> = view.reasons(keyword).collect();
    names.sort_unstable();
    if names.is_empty() {
        return;
    }
    line(page, format_args!("{title}:\n"));
    for (name, reason) in names {
        let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        line(page, format_args!("* `{name}`{reason}"));
    }
    page.push('\n');
}

/// The sections for the objects inside an option: itself, its items, its values, its alternatives.
fn nested(page: &mut String, view: View<'_>, path: &str, depth: usize) {
    if depth >= MAX_DEPTH {
        return;
    }
    if view.schema.get("properties").is_some() {
        options(page, view, path, depth + 1);
    }
    if let Some(items) = view.schema.get("items") {
        nested(page, view.at(items), &format!("{path}[]"), depth + 1);
    }
    if let Some(values) = view.free_values() {
        nested(page, values, &format!("{path}::*"), depth + 1);
    }
    for branch in view.branches() {
        // Alternatives that a fixed option tells apart are told apart by it here too.
        let tag =
            branch.properties().find_map(|(tag, value)| Some(format!("{tag}: {}", value.text("const")?)));
        match tag {
            Some(tag) => nested(page, branch, &format!("{path} ({tag})"), depth + 1),
            None => nested(page, branch, path, depth + 1),
        }
    }
}

fn row(page: &mut String, name: &str, view: View<'_>, beside: &Json, required: bool) {
    let text = |schema: &Json, keyword| schema.get(keyword).and_then(Json::as_str).map(str::to_owned);
    let description =
        text(beside, "description").or_else(|| text(view.schema, "description")).unwrap_or_default();
    let default = match beside.get("default").or_else(|| view.schema.get("default")) {
        _ if required => "required".to_owned(),
        None if view.optional => "off".to_owned(),
        None if !view.nullable() && view.schema.get("properties").is_some() => "see below".to_owned(),
        None | Some(Json::Null) => "unset".to_owned(),
        Some(Json::Object(block)) if block.get("enabled") == Some(&Json::Bool(false)) => "off".to_owned(),
        Some(Json::Object(block)) if !block.is_empty() => "see below".to_owned(),
        Some(Json::Object(_)) => "`{}`".to_owned(),
        Some(Json::String(text)) if text.is_empty() => "`\"\"`".to_owned(),
        Some(Json::String(text)) => format!("`{text}`"),
        Some(other) => format!("`{other}`"),
    };
    let mut words = view.words();
    if view.optional {
        words.push_str(", optional");
    }
    if view.secret {
        words.push_str(", secret");
    }
    let cells = [format!("`{name}`"), words, default, description];
    let cells = cells.map(|cell| cell.replace('|', "\\|").replace('\n', " "));
    let cells = cells.map(|cell| if cell.is_empty() { "|".to_owned() } else { format!("| {cell}") });
    line(page, format_args!("{} |", cells.join(" ")));
}

fn line(page: &mut String, text: impl std::fmt::Display) {
    writeln!(page, "{text}").expect("writing to a String does not fail");
}
