//! Text to located tree, over the events of `saphyr-parser` (see `docs/adr/0001-located-yaml.md`).
//!
//! Everything is bounded: depth by [`MAX_DEPTH`], and size after alias expansion by [`MAX_WEIGHT`], so that a short
//! text cannot become a large tree.

use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag};

use crate::error::{Error, Location, Origin};
use crate::merge::insert_missing;
use crate::node::{Entry, Node, Text, Value};
use crate::resolve::resolve;

/// How deep maps and lists may be nested.
const MAX_DEPTH: usize = 64;

/// How much a tree may hold: a value weighs one, and one more for every 64 bytes of text.
const MAX_WEIGHT: usize = 200_000;

/// How many keys one map may have. Keys are looked up one after the other, as maps of options are small.
const MAX_KEYS: usize = 10_000;

/// The bytes of one input as text, without a byte order mark.
pub(crate) fn decode<'a>(bytes: &'a [u8], origin: &Arc<Origin>) -> Result<&'a str, Error> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let good = &bytes[..error.valid_up_to()];
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        let start = good.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let column = String::from_utf8_lossy(&good[start..]).chars().count() + 1;
        Error::new(&Location::new(origin, small(line), small(column)), "", "not valid UTF-8")
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// The one document in `text`; an empty text is null. Fails with every duplicate key, or at the first text that is
/// not YAML.
pub(crate) fn parse(text: &str, origin: &Arc<Origin>) -> Result<Node, Vec<Error>> {
    let mut builder = Builder {
        origin,
        stack: Vec::new(),
        root: None,
        documents: 0,
        anchors: HashMap::new(),
        weight: 0,
        errors: Vec::new(),
    };
    if let Err(error) = builder.run(text) {
        builder.errors.push(error);
    }
    if !builder.errors.is_empty() {
        return Err(builder.errors);
    }
    Ok(builder.root.unwrap_or_else(|| Node::new(Value::Null, &Location::new(origin, 1, 1))))
}

struct Builder<'a> {
    origin: &'a Arc<Origin>,
    stack: Vec<Frame>,
    root: Option<Node>,
    documents: usize,
    anchors: HashMap<usize, Anchored>,
    weight: usize,
    errors: Vec<Error>,
}

/// A list or map that is still open.
struct Frame {
    at: Location,
    anchor: usize,
    weight_before: usize,
    height: usize,
    inside: Inside,
}

enum Inside {
    Seq(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<(String, Location)>, merges: Vec<(Node, Location)> },
}

struct Anchored {
    node: Node,
    weight: usize,
    height: usize,
}

impl Builder<'_> {
    fn run(&mut self, text: &str) -> Result<(), Error> {
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(|error| {
                Error::new(&self.place(error.marker()), "", format!("not YAML: {}", error.info()))
            })?;
            self.event(event, span)?;
        }
        Ok(())
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Error> {
        let at = self.place(&span.start);
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(Error::new(
                        &at,
                        "",
                        "a second YAML document; one file holds one configuration",
                    ));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let node = scalar(&text, style, tag.as_deref(), &at, span.len())?;
                let weight = 1 + text.len() / 64;
                self.weigh(weight, &at)?;
                self.anchor(anchor, &node, weight, 0);
                self.value(node, &text, 0)?;
            }
            Event::Alias(id) => {
                let Some(Anchored { node, weight, height }) = self.anchors.get(&id) else {
                    return Err(Error::new(&at, "", "this alias stands inside the value it names"));
                };
                let (weight, height) = (*weight, *height);
                if self.weight + weight > MAX_WEIGHT || self.stack.len() + height > MAX_DEPTH {
                    return Err(Error::new(&at, "", "aliases expand to too large a configuration"));
                }
                let node = node.clone();
                self.weight += weight;
                let key = node.as_text().unwrap_or_default().to_owned();
                self.value(node, &key, height)?;
            }
            Event::SequenceStart(anchor, tag) => {
                known_tag(tag.as_deref(), "seq", &at)?;
                self.open(Inside::Seq(Vec::new()), anchor, at)?;
            }
            Event::MappingStart(anchor, tag) => {
                known_tag(tag.as_deref(), "map", &at)?;
                self.open(Inside::Map { entries: Vec::new(), key: None, merges: Vec::new() }, anchor, at)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close()?,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn open(&mut self, inside: Inside, anchor: usize, at: Location) -> Result<(), Error> {
        if let Some(Frame { inside: Inside::Map { key: None, .. }, .. }) = self.stack.last() {
            return Err(Error::new(&at, "", "a key must be text, not a list or a map"));
        }
        if self.stack.len() >= MAX_DEPTH {
            return Err(Error::new(&at, "", format!("nested more than {MAX_DEPTH} levels deep")));
        }
        let weight_before = self.weight;
        self.weigh(1, &at)?;
        self.stack.push(Frame { at, anchor, weight_before, height: 1, inside });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Error> {
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        let value = match frame.inside {
            Inside::Seq(items) => Value::Seq(items),
            Inside::Map { mut entries, merges, .. } => {
                // Past the limit only one more entry is kept, to be noticed here.
                if entries.len() > MAX_KEYS {
                    return Err(Error::new(&frame.at, "", format!("a map of more than {MAX_KEYS} keys")));
                }
                for (merged, at) in merges {
                    merge_key(&mut entries, merged, &at)?;
                }
                Value::Map(entries)
            }
        };
        let node = Node::new(value, &frame.at);
        self.anchor(frame.anchor, &node, self.weight - frame.weight_before, frame.height);
        self.value(node, "", frame.height)
    }

    /// Puts a finished value where it belongs; `text` is what it says if it turns out to be a key.
    fn value(&mut self, node: Node, text: &str, height: usize) -> Result<(), Error> {
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        frame.height = frame.height.max(height + 1);
        match &mut frame.inside {
            Inside::Seq(items) => items.push(node),
            Inside::Map { entries, key, merges } => match key.take() {
                None if matches!(node.value, Value::Seq(_) | Value::Map(_)) => {
                    return Err(Error::new(&node.at, "", "a key must be text, not a list or a map"));
                }
                None => *key = Some((text.to_owned(), node.at)),
                Some((name, at)) if name == "<<" => merges.push((node, at)),
                // A value that is not written stands where its key does.
                Some((name, at)) if node.value == Value::Null && text.is_empty() => {
                    let node = Node::new(Value::Null, &at);
                    entry(entries, &mut self.errors, name, at, node);
                }
                Some((name, at)) => entry(entries, &mut self.errors, name, at, node),
            },
        }
        Ok(())
    }

    fn anchor(&mut self, anchor: usize, node: &Node, weight: usize, height: usize) {
        // The parser numbers anchors from 1; 0 is none.
        if anchor > 0 {
            self.anchors.insert(anchor, Anchored { node: node.clone(), weight, height });
        }
    }

    fn weigh(&mut self, weight: usize, at: &Location) -> Result<(), Error> {
        self.weight += weight;
        if self.weight > MAX_WEIGHT {
            return Err(Error::new(at, "", "the configuration is too large"));
        }
        Ok(())
    }

    fn place(&self, mark: &Marker) -> Location {
        Location::new(self.origin, small(mark.line()), small(mark.col() + 1))
    }
}

/// Adds an entry, or complains that its key is there already.
fn entry(entries: &mut Vec<Entry>, errors: &mut Vec<Error>, key: String, key_at: Location, value: Node) {
    if entries.len() > MAX_KEYS {
        return;
    }
    match entries.iter().find(|entry| entry.key == key) {
        Some(first) => {
            let message = format!("key `{key}` is given twice; it first stands at {}", first.key_at);
            errors.push(Error::new(&key_at, "", message));
        }
        None => entries.push(Entry { key, key_at, value }),
    }
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// `<<: *base` or `<<: [*one, *two]`: what the map itself says wins, then the earlier of the merged.
fn merge_key(entries: &mut Vec<Entry>, merged: Node, at: &Location) -> Result<(), Error> {
    match merged.value {
        Value::Map(from) => insert_missing(entries, from),
        Value::Seq(items) if items.iter().all(|item| matches!(item.value, Value::Map(_))) => {
            for item in items {
                if let Value::Map(from) = item.value {
                    insert_missing(entries, from);
                }
            }
        }
        _ => return Err(Error::new(at, "", "`<<` takes a map or a list of maps")),
    }
    Ok(())
}

fn scalar(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
    at: &Location,
    span: usize,
) -> Result<Node, Error> {
    let plain = style == ScalarStyle::Plain;
    let value = match tag {
        None if plain => resolve(text),
        None => Value::Text(text.to_owned()),
        Some(tag) if tag.is_yaml_core_schema() => tagged(text, &tag.suffix, at)?,
        Some(tag) if tag.handle.is_empty() && tag.suffix == "!" => Value::Text(text.to_owned()),
        Some(tag) => return Err(unknown_tag(tag, at)),
    };
    let mut node = Node::new(value, at);
    let length = text.chars().count();
    if plain && span == length {
        node.text = Text::Verbatim(0);
    } else if matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted) && span == length + 2 {
        node.text = Text::Verbatim(1);
    }
    Ok(node)
}

/// A scalar with one of YAML's own tags.
fn tagged(text: &str, tag: &str, at: &Location) -> Result<Value, Error> {
    let value = resolve(text);
    match (tag, value) {
        ("str", _) => Ok(Value::Text(text.to_owned())),
        ("int", value @ Value::Int(_)) => Ok(value),
        ("float", Value::Int(value)) => Ok(Value::Float(value as f64)),
        ("float", value @ Value::Float(_)) => Ok(value),
        ("bool", value @ Value::Bool(_)) => Ok(value),
        ("null", value @ Value::Null) => Ok(value),
        ("int" | "float" | "bool" | "null", _) => {
            Err(Error::new(at, "", format!("the value is not of type `!!{tag}`")))
        }
        _ => Err(Error::new(at, "", format!("the YAML tag `!!{tag}` is not supported"))),
    }
}

fn known_tag(tag: Option<&Tag>, wanted: &str, at: &Location) -> Result<(), Error> {
    match tag {
        None => Ok(()),
        Some(tag) if tag.is_yaml_core_schema() && tag.suffix == wanted => Ok(()),
        Some(tag) => Err(unknown_tag(tag, at)),
    }
}

fn unknown_tag(tag: &Tag, at: &Location) -> Error {
    Error::new(at, "", format!("the YAML tag `{tag}` is not supported"))
}
