//! The located tree: YAML whose every value knows where it was written.

use std::sync::Arc;

use crate::error::Location;

/// A value and the place where its author wrote it.
///
/// A value that came out of `${…}` stands where the `${…}` stands.
#[derive(Debug, Clone)]
pub struct Node {
    pub(crate) value: Value,
    pub(crate) at: Location,
    pub(crate) text: Text,
}

/// What a node holds, after YAML's rules for plain scalars.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing: `key:`, `~`, `null`, or an unset environment variable.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number between `i64::MIN` and `u64::MAX`.
    Int(i128),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    Seq(Vec<Node>),
    /// A map; keys are unique and keep their order.
    Map(Vec<Entry>),
}

/// One key of a map with its value.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_at: Location,
    /// The value.
    pub value: Node,
}

/// How a node's characters relate to the file's.
#[derive(Debug, Clone, Default)]
pub(crate) enum Text {
    /// Nothing is known beyond the value.
    #[default]
    Plain,
    /// A scalar written on one line without escapes: content begins this many characters into it.
    Verbatim(u32),
    /// It came out of `${…}`; a text-typed option takes these characters, whatever YAML reads in them.
    Expanded(Arc<str>),
}

/// Two nodes are equal when they say the same, wherever they stand.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// Two entries are equal when they say the same, wherever they stand.
impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.value == other.value
    }
}

impl Node {
    /// Gives the whole tree this location.
    pub(crate) fn set_location(&mut self, at: &Location) {
        self.at = at.clone();
        match &mut self.value {
            Value::Seq(items) => items.iter_mut().for_each(|item| item.set_location(at)),
            Value::Map(entries) => {
                for entry in entries {
                    entry.key_at = at.clone();
                    entry.value.set_location(at);
                }
            }
            _ => {}
        }
    }

    /// Where it stands.
    pub fn at(&self) -> &Location {
        &self.at
    }

    /// What it holds.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The value under `key`, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The entries of a map, the empty slice for anything else.
    pub fn entries(&self) -> &[Entry] {
        if let Value::Map(entries) = &self.value { entries } else { &[] }
    }

    /// The items of a list, the empty slice for anything else.
    pub fn items(&self) -> &[Node] {
        if let Value::Seq(items) = &self.value { items } else { &[] }
    }

    /// The text of a text value.
    pub fn as_text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    pub(crate) fn new(value: Value, at: &Location) -> Self {
        Self { value, at: at.clone(), text: Text::Plain }
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// Whether the value came out of `${…}` and must not be repeated in a message.
    pub(crate) fn is_expanded(&self) -> bool {
        matches!(self.text, Text::Expanded(_))
    }

    /// The deepest node along `path` that exists; list indexes are decimal.
    pub(crate) fn deepest<'a>(&'a self, path: impl IntoIterator<Item = &'a str>) -> &'a Node {
        let mut node = self;
        for step in path {
            let next = match &node.value {
                Value::Seq(items) => step.parse::<usize>().ok().and_then(|index| items.get(index)),
                _ => node.get(step),
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node
    }

    /// The same as JSON; a number that JSON lacks becomes null.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Int(value) => match (i64::try_from(*value), u64::try_from(*value)) {
                (Ok(value), _) => value.into(),
                (_, Ok(value)) => value.into(),
                _ => Json::Null,
            },
            Value::Float(value) => (*value).into(),
            Value::Text(text) => Json::String(text.clone()),
            Value::Seq(items) => items.iter().map(Node::to_json).collect(),
            Value::Map(entries) => {
                Json::Object(entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect())
            }
        }
    }
}

impl Value {
    /// What a message says was found. Never shows characters that came out of `${…}`; see [`found`].
    fn describe(&self) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Bool(value) => format!("`{value}`"),
            Self::Int(value) => format!("the number `{value}`"),
            Self::Float(value) => format!("the number `{value}`"),
            Self::Text(text) if text.is_empty() => "empty text".to_owned(),
            Self::Text(text) if text.chars().count() > 60 => {
                format!("text `{}…`", text.chars().take(60).collect::<String>().escape_debug())
            }
            Self::Text(text) => format!("text `{}`", text.escape_debug()),
            Self::Seq(_) => "a list".to_owned(),
            Self::Map(_) => "a map".to_owned(),
        }
    }
}

/// What a message says was found at a node; the characters are withheld if they may be a secret.
pub(crate) fn found(node: &Node, withhold: bool) -> String {
    if !withhold && !node.is_expanded() {
        return node.value.describe();
    }
    let what = match &node.value {
        Value::Text(text) if !text.is_empty() => "text (not shown)",
        Value::Bool(_) => "true or false (not shown)",
        Value::Int(_) | Value::Float(_) => "a number (not shown)",
        other => return other.describe(),
    };
    what.to_owned()
}
