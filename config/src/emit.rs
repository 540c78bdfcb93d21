//! A tree as YAML or JSON that loads back as the same tree.

use std::fmt::Write;

use crate::node::{Node, Value};
use crate::resolve::resolve;

/// Block YAML, two spaces a level; `$` is doubled, so that nothing is expanded on the way back.
pub(crate) fn yaml(node: &Node) -> String {
    let mut out = String::new();
    block(node, 0, &mut out);
    if out.starts_with('\n') {
        out.remove(0);
    }
    out
}

/// Indented JSON, keys in their order, `$` doubled as in YAML. JSON has no infinity; it becomes null.
pub(crate) fn json(node: &Node) -> String {
    let mut out = String::new();
    json_value(node, 0, &mut out);
    out.push('\n');
    out
}

/// Writes what follows `key:` or `-`, the line's end included.
fn block(node: &Node, depth: usize, out: &mut String) {
    match &node.value {
        Value::Map(entries) if !entries.is_empty() => {
            out.push('\n');
            for entry in entries {
                indent(depth, out);
                key(&entry.key, out);
                out.push(':');
                block(&entry.value, depth + 1, out);
            }
        }
        Value::Seq(items) if !items.is_empty() => {
            out.push('\n');
            for item in items {
                indent(depth, out);
                out.push('-');
                let mut inner = String::new();
                block(item, depth + 1, &mut inner);
                // The first key of a map in a list stands on the line of its dash.
                match inner.strip_prefix('\n') {
                    Some(lines) => {
                        out.push(' ');
                        out.push_str(lines.trim_start_matches(' '));
                    }
                    None => out.push_str(&inner),
                }
            }
        }
        _ => {
            if depth > 0 {
                out.push(' ');
            }
            scalar(&node.value, out);
            out.push('\n');
        }
    }
}

fn scalar(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) => push(out, value),
        Value::Float(value) if value.is_nan() => out.push_str(".nan"),
        Value::Float(value) if value.is_infinite() => {
            out.push_str(if *value > 0.0 { ".inf" } else { "-.inf" })
        }
        Value::Float(value) => push(out, format_args!("{value:?}")),
        Value::Text(text) if is_plain(text) => out.push_str(text),
        Value::Text(text) => quoted(&text.replace('$', "$$"), out),
        Value::Seq(_) => out.push_str("[]"),
        Value::Map(_) => out.push_str("{}"),
    }
}

fn key(text: &str, out: &mut String) {
    // Keys are never expanded, so their `$` stays single.
    if is_plain(text) { out.push_str(text) } else { quoted(text, out) }
}

/// Whether a text needs no quotes: it is made of harmless characters and YAML reads nothing but text in it.
fn is_plain(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '/' | '.'))
        && text.ends_with(|c: char| c != ':')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':'))
        && matches!(resolve(text), Value::Text(_))
        && !text.starts_with("...")
}

/// Double quotes with the escapes that YAML and JSON share.
fn quoted(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_ascii() && !c.is_ascii_control() => out.push(c),
            // Beyond the first plane YAML's escape is not JSON's, and all that is there may stand as it is.
            c if c.is_alphanumeric() || u32::from(c) > 0xffff => out.push(c),
            c => push(out, format_args!("\\u{:04x}", u32::from(c))),
        }
    }
    out.push('"');
}

fn json_value(node: &Node, depth: usize, out: &mut String) {
    match &node.value {
        Value::Map(entries) if !entries.is_empty() => {
            out.push_str("{\n");
            for (index, entry) in entries.iter().enumerate() {
                indent(depth + 1, out);
                quoted(&entry.key, out);
                out.push_str(": ");
                json_value(&entry.value, depth + 1, out);
                out.push_str(if index + 1 < entries.len() { ",\n" } else { "\n" });
            }
            indent(depth, out);
            out.push('}');
        }
        Value::Seq(items) if !items.is_empty() => {
            out.push_str("[\n");
            for (index, item) in items.iter().enumerate() {
                indent(depth + 1, out);
                json_value(item, depth + 1, out);
                out.push_str(if index + 1 < items.len() { ",\n" } else { "\n" });
            }
            indent(depth, out);
            out.push(']');
        }
        Value::Text(text) => quoted(&text.replace('$', "$$"), out),
        Value::Float(value) if !value.is_finite() => out.push_str("null"),
        value => scalar(value, out),
    }
}

fn indent(depth: usize, out: &mut String) {
    out.extend(std::iter::repeat_n("  ", depth));
}

fn push(out: &mut String, value: impl std::fmt::Display) {
    write!(out, "{value}").expect("writing to a String does not fail");
}
