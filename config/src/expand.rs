//! `${…}` in values, by the Collector's rules.
//!
//! * The first `}` and the last `${` before it make one reference, so that the innermost is expanded first; what
//!   it gives is looked at again.
//! * A whole value `${…}` becomes what YAML reads in the text; inside other text the characters are taken as they
//!   are. A text-typed option takes the characters in both cases ([`Text::Expanded`]).
//! * An odd number of `$` before `${` escapes it; at the end every `$$` becomes `$`. `$NAME` is left alone.

use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Location, Origin, Warning};
use crate::input::{MAX_BYTES, Sources};
use crate::node::{Node, Text, Value};
use crate::parse;
use crate::path::Path;

/// How many references one value may contain, counting those that came out of others.
const MAX_REFERENCES: u32 = 100;

/// How many bytes all references of a configuration together may bring in: 16 MiB.
const MAX_TOTAL: usize = 16 << 20;

/// How deep an expanded tree may be: a file may refer to itself, and a key path stands for several levels.
const MAX_DEPTH: usize = 128;

/// Expands all values of `root`; keys are never expanded.
pub(crate) fn expand(root: &mut Node, sources: &dyn Sources) -> (Vec<Warning>, Vec<Error>) {
    let mut expander = Expander { sources, total: 0, warnings: Vec::new(), errors: Vec::new() };
    expander.node(root, &Path::Root, 0, None);
    (expander.warnings, expander.errors)
}

/// What YAML reads in `text`; the text itself where it is not YAML.
pub(crate) fn lenient(text: &str, origin: &Arc<Origin>) -> Node {
    parse::parse(text, origin)
        .unwrap_or_else(|_| Node::new(Value::Text(text.to_owned()), &Location::new(origin, 1, 1)))
}

struct Expander<'a> {
    sources: &'a dyn Sources,
    total: usize,
    warnings: Vec<Warning>,
    errors: Vec<Error>,
}

/// What a reference gave: the characters, and what YAML reads in them.
struct Retrieved {
    text: String,
    node: Node,
}

impl Expander<'_> {
    /// `budget` is what is left of [`MAX_REFERENCES`] if the node came out of a reference.
    fn node(&mut self, node: &mut Node, path: &Path<'_>, depth: usize, mut budget: Option<&mut u32>) {
        if depth > MAX_DEPTH {
            self.fail(&node.at, path, &format!("nested more than {MAX_DEPTH} levels deep"));
            node.value = Value::Null;
            return;
        }
        match &mut node.value {
            Value::Map(entries) => {
                for entry in entries {
                    let path = path.key(&entry.key);
                    self.node(&mut entry.value, &path, depth + 1, budget.as_deref_mut());
                }
            }
            Value::Seq(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.node(item, &path.index(index), depth + 1, budget.as_deref_mut());
                }
            }
            Value::Text(text) if text.contains('$') => {
                let mut own = MAX_REFERENCES;
                self.text(node, path, depth, budget.unwrap_or(&mut own));
            }
            _ => {}
        }
    }

    fn text(&mut self, node: &mut Node, path: &Path<'_>, depth: usize, budget: &mut u32) {
        let mut text = node.as_text().unwrap_or_default().to_owned();
        let inside = node.is_expanded();
        let mut expanded = inside;
        // Columns inside the text hold until the first replacement.
        let place_of = |text: &str, at: usize, first: bool| match node.text {
            Text::Verbatim(skip) if first => {
                node.at.right_by(skip.saturating_add(small(text[..at].chars().count())))
            }
            _ => node.at.clone(),
        };
        while let Some(range) = find(&text) {
            let at = place_of(&text, range.start, !expanded);
            if *budget == 0 || text.len() > MAX_BYTES {
                self.fail(
                    &at,
                    path,
                    &format!("expands to more than {MAX_REFERENCES} references or too much text"),
                );
                break;
            }
            *budget -= 1;
            let retrieved = match self.retrieve(&text[range.start + 2..range.end - 1], &at, path) {
                Ok(retrieved) => retrieved,
                Err(message) => {
                    self.fail(&at, path, &message);
                    break;
                }
            };
            expanded = true;
            if range.len() < text.len() {
                text.replace_range(range, &retrieved.text);
                continue;
            }
            match retrieved.node.value {
                Value::Text(found) => text = found,
                _ => {
                    let mut found = retrieved.node;
                    mark(&mut found, &at);
                    self.node(&mut found, path, depth + 1, Some(budget));
                    found.text = Text::Expanded(retrieved.text.into());
                    *node = found;
                    return;
                }
            }
        }
        let text = text.replace("$$", "$");
        if expanded {
            node.text = Text::Expanded(text.as_str().into());
        }
        node.value = Value::Text(text);
    }

    fn retrieve(&mut self, reference: &str, at: &Location, path: &Path<'_>) -> Result<Retrieved, String> {
        let origin = Arc::new(Origin { order: 0, name: String::new() });
        let text = match scheme(reference) {
            ("env", name) => match self.environment(name, at, path)? {
                Some(text) => text,
                None => return Ok(Retrieved { text: String::new(), node: Node::new(Value::Null, at) }),
            },
            ("file", file) => {
                let bytes = self.sources.read(file).map_err(|why| format!("cannot read `{file}`: {why}"))?;
                if bytes.len() > MAX_BYTES {
                    return Err(format!("`{file}` is larger than {MAX_BYTES} bytes"));
                }
                parse::decode(&bytes, &origin).map_err(|_| format!("`{file}` is not valid UTF-8"))?.to_owned()
            }
            ("yaml", text) => text.to_owned(),
            (scheme @ ("http" | "https"), _) => {
                return Err(format!("`{scheme}:` references are not supported yet"));
            }
            (scheme, _) => {
                return Err(format!("unknown scheme `{scheme}`; expected `env`, `file` or `yaml`"));
            }
        };
        self.total = self.total.saturating_add(text.len());
        if self.total > MAX_TOTAL {
            return Err(format!("all references together bring in more than {MAX_TOTAL} bytes"));
        }
        let node = lenient(&text, &origin);
        // Quotes, and the line break at the end of a file, are not part of what the text says.
        let text = match &node.value {
            Value::Text(found) => found.clone(),
            _ => text.trim_end_matches(['\r', '\n']).to_owned(),
        };
        Ok(Retrieved { text, node })
    }

    /// `NAME` or `NAME:-default`; unset without a default is none, with a warning.
    fn environment(
        &mut self,
        reference: &str,
        at: &Location,
        path: &Path<'_>,
    ) -> Result<Option<String>, String> {
        let (name, default) = match reference.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (reference, None),
        };
        let mut letters = name.chars();
        let first = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        if !first || !letters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(format!(
                "`{name}` is not the name of an environment variable; \
                 expected letters, digits and `_`, not beginning with a digit"
            ));
        }
        if let Some(text) = self.sources.env(name)? {
            return Ok(Some(text));
        }
        if default.is_none() {
            let message = format!("environment variable `{name}` is not set; the value is left empty");
            self.warnings.push(Warning::new(at, path, message));
        }
        Ok(default.map(str::to_owned))
    }

    fn fail(&mut self, at: &Location, path: &Path<'_>, message: &str) {
        self.errors.push(Error::new(at, path, message));
    }
}

/// The first reference to expand. Of nested ones that is the innermost.
fn find(text: &str) -> Option<Range<usize>> {
    let mut from = 0;
    while let Some(close) = text[from..].find('}') {
        let end = from + close + 1;
        if let Some(open) = text[from..end].rfind("${") {
            let start = from + open;
            let before = text[from..start].bytes().rev().take_while(|byte| *byte == b'$').count();
            if before % 2 == 0 {
                return Some(start..end);
            }
        }
        from = end;
    }
    None
}

/// Splits `scheme:rest`; a reference without a scheme names an environment variable, default or not.
fn scheme(reference: &str) -> (&str, &str) {
    match reference.split_once(':') {
        Some((_, rest)) if rest.starts_with('-') => match reference.strip_prefix("env:") {
            Some(rest) => ("env", rest),
            None => ("env", reference),
        },
        Some(("env", rest)) => ("env", rest),
        Some((scheme, rest)) => (scheme, rest),
        None => ("env", reference),
    }
}

/// Says of a tree that came out of a reference that it stands at `at`, and that it may be secret.
fn mark(node: &mut Node, at: &Location) {
    node.set_location(at);
    mark_text(node);
}

fn mark_text(node: &mut Node) {
    match &mut node.value {
        Value::Seq(items) => items.iter_mut().for_each(mark_text),
        Value::Map(entries) => entries.iter_mut().for_each(|entry| mark_text(&mut entry.value)),
        Value::Text(text) => node.text = Text::Expanded(text.as_str().into()),
        Value::Bool(value) => node.text = Text::Expanded(value.to_string().into()),
        Value::Int(value) => node.text = Text::Expanded(value.to_string().into()),
        Value::Float(value) => node.text = Text::Expanded(value.to_string().into()),
        Value::Null => {}
    }
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
