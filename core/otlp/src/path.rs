//! Names of places in a record: `attributes["vcs.ref.head.revision"]`, `events[0].attributes["k"]`, `status.message`,
//! `body["k"][2]`, `data_points[1].exemplars[0].filtered_attributes["k"]`, `resource.attributes["k"]`.
//!
//! Field names are those of protobuf; `data_points` may be said of a metric directly, whichever kind its data are.

use std::str::FromStr;

use smallvec::SmallVec;

use crate::edit::Level;
use crate::schema::{self, Cardinality, Field, Kind, Message, Role};
use crate::view::{AnyValue, Fixed64s, Varints, key_of};
use crate::wire::{self, Fields, Payload};

/// A parsed path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(SmallVec<[Segment; 4]>);

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    Field(Box<str>),
    Key(Box<str>),
    Index(usize),
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Node<'a> {
    /// A scalar or an any-value. Integers of every type read as [`AnyValue::Int`], ids as [`AnyValue::Bytes`].
    Value(AnyValue<'a>),
    /// A message, with its name in the schema and its bytes.
    Message(&'static str, &'a [u8]),
}

/// Why a path cannot be parsed or followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The text is no path.
    #[error("expected {expected} at character {at} of the path")]
    Syntax {
        /// The character, counted from 0.
        at: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// A message has no such field.
    #[error("{message} has no field `{field}`")]
    Unknown {
        /// The message's name.
        message: &'static str,
        /// The field's name in the path.
        field: String,
    },
    /// The path asks for a part of something that has no such parts, or ends too early.
    #[error("the path does not fit the type of {0}")]
    Shape(&'static str),
    /// A value of another type was to be written.
    #[error("`{0}` cannot hold such a value")]
    WrongType(&'static str),
    /// An element of a list that is not there was to be written.
    #[error("there is no such element of `{0}`")]
    NotThere(&'static str),
    /// The path leads from a part of a record to the record, or from a resource to a scope.
    #[error("a span or metric can be changed at its own level only, and no scope from a resource")]
    OtherLevel,
}

impl Path {
    /// Parses a path.
    ///
    /// # Errors
    /// [`PathError::Syntax`]. Whether a record has such a place shows when the path is used.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let mut segments = SmallVec::new();
        let mut rest = text;
        let error = |rest: &str, expected| PathError::Syntax { at: text.len() - rest.len(), expected };
        loop {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let name = &rest[..end];
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return Err(error(rest, "a field name"));
            }
            segments.push(Segment::Field(name.into()));
            rest = &rest[end..];
            while let Some(inside) = rest.strip_prefix('[') {
                let (segment, after) = if inside.starts_with('"') {
                    let (key, after) = quoted(inside).ok_or_else(|| error(inside, "a key in quotes"))?;
                    (Segment::Key(key.into()), after)
                } else {
                    let end = inside.find(']').ok_or_else(|| error(inside, "`]`"))?;
                    let index =
                        inside[..end].parse().map_err(|_| error(inside, "a number or a key in quotes"))?;
                    (Segment::Index(index), &inside[end..])
                };
                segments.push(segment);
                rest = after.strip_prefix(']').ok_or_else(|| error(after, "`]`"))?;
            }
            match rest.strip_prefix('.') {
                Some(after) => rest = after,
                None if rest.is_empty() => return Ok(Self(segments)),
                None => return Err(error(rest, "`.` or `[`")),
            }
        }
    }

    /// The level that the path leads to from `here`, and the rest of it.
    pub(crate) fn level(&self, here: Level) -> (Level, &[Segment]) {
        match self.0.split_first() {
            Some((Segment::Field(name), rest)) if !rest.is_empty() => match &**name {
                "resource" => (Level::Resource, rest),
                "scope" | "instrumentation_scope" => (Level::Scope, rest),
                "span" if here.parent() == Some(Level::Span) => (Level::Span, rest),
                "metric" if here.parent() == Some(Level::Metric) => (Level::Metric, rest),
                _ => (here, &self.0),
            },
            _ => (here, &self.0),
        }
    }
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::parse(text)
    }
}

/// A string in double quotes, in which a backslash makes the next character literal; and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut key = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((key, &text[at + 1..])),
            '\\' => key.push(characters.next()?.1),
            _ => key.push(character),
        }
    }
    None
}

/// What stands at a path in a canonical message.
pub(crate) fn get<'a>(schema: &'static Message, bytes: &'a [u8], path: &[Segment]) -> Option<Node<'a>> {
    let Some((first, rest)) = path.split_first() else {
        return Some(if schema.is(&schema::ANY_VALUE) {
            Node::Value(AnyValue::read(bytes))
        } else {
            Node::Message(schema.name, bytes)
        });
    };
    let step = PathStep::of(schema, bytes, first).ok()?;
    let (field, element) = match (step, rest.split_first()) {
        (PathStep::Data(data), _) => {
            let (nested, content) = data?;
            return get(nested, content, path);
        }
        (PathStep::Field(field), Some((element, rest))) if field.cardinality == Cardinality::Repeated => {
            return get_element(field, bytes, element, rest);
        }
        (PathStep::Field(field), _) => (field, None),
        (PathStep::Element(field), _) => (field, Some(first)),
    };
    let found = Fields::new(bytes).find(|found| found.number == field.number)?;
    match (field.kind, found.payload) {
        (Kind::Message(list), Payload::Len(content)) => match element {
            Some(element) => get_element(list.fields.first()?, content, element, rest),
            None if field.cardinality != Cardinality::Repeated => get(list, content, rest),
            None => None,
        },
        (_, payload) if rest.is_empty() && field.cardinality != Cardinality::Repeated => {
            scalar(field, payload)
        }
        _ => None,
    }
}

fn get_element<'a>(
    field: &'static Field,
    bytes: &'a [u8],
    element: &Segment,
    rest: &[Segment],
) -> Option<Node<'a>> {
    let Kind::Message(schema) = field.kind else {
        return if rest.is_empty() { scalar_element(field, bytes, element) } else { None };
    };
    let content = find_element(field, bytes, element)?.len_bytes()?;
    match element {
        Segment::Key(_) => {
            let value = Fields::new(content).find(|field| field.number == 2);
            get(&schema::ANY_VALUE, value.and_then(|value| value.len_bytes()).unwrap_or_default(), rest)
        }
        _ => get(schema, content, rest),
    }
}

/// An element of a list of texts, or of numbers, which may be packed. It can be read, not set.
fn scalar_element<'a>(field: &Field, bytes: &'a [u8], element: &Segment) -> Option<Node<'a>> {
    let Segment::Index(index) = element else { return None };
    let payload = match field.kind {
        Kind::String | Kind::Bytes | Kind::HexId => {
            Fields::new(bytes).filter(|found| found.number == field.number).nth(*index)?.payload
        }
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => {
            Payload::Fixed64(Fixed64s::new(bytes, field.number).nth(*index)?)
        }
        _ => Payload::Varint(Varints::new(bytes, field.number).nth(*index)?),
    };
    scalar(field, payload)
}

/// The element of a repeated message field that a key or an index names.
pub(crate) fn find_element<'a>(
    field: &'static Field,
    bytes: &'a [u8],
    element: &Segment,
) -> Option<wire::Field<'a>> {
    let mut elements = Fields::new(bytes).filter(|found| found.number == field.number);
    match element {
        Segment::Index(index) => elements.nth(*index),
        Segment::Key(key) => {
            elements.find(|pair| pair.len_bytes().is_some_and(|pair| key_of(pair) == key.as_bytes()))
        }
        Segment::Field(_) => None,
    }
}

/// What the first segment of a path means in a message.
pub(crate) enum PathStep<'a> {
    /// A field of the message.
    Field(&'static Field),
    /// An element of the list or map that an any-value is: the member of the `oneof`, whose only field is the list.
    Element(&'static Field),
    /// Points of a metric: look into its data, if it has any.
    Data(Option<(&'static Message, &'a [u8])>),
}

impl<'a> PathStep<'a> {
    pub(crate) fn of(
        schema: &'static Message,
        bytes: &'a [u8],
        segment: &Segment,
    ) -> Result<Self, PathError> {
        match segment {
            Segment::Field(name) if schema.role == Role::Metric && &**name == "data_points" => {
                Ok(Self::Data(data_of(schema, bytes).map(|(_, nested, content)| (nested, content))))
            }
            Segment::Field(name) => schema
                .field_named(name)
                .map(Self::Field)
                .ok_or_else(|| PathError::Unknown { message: schema.name, field: name.to_string() }),
            Segment::Index(_) | Segment::Key(_) if schema.is(&schema::ANY_VALUE) => {
                let name = if matches!(segment, Segment::Key(_)) { "kvlist_value" } else { "array_value" };
                schema.field_named(name).map(Self::Element).ok_or(PathError::Shape(schema.name))
            }
            Segment::Index(_) | Segment::Key(_) => Err(PathError::Shape(schema.name)),
        }
    }
}

/// The data of a metric: its field, type and content.
pub(crate) fn data_of<'a>(
    schema: &'static Message,
    bytes: &'a [u8],
) -> Option<(wire::Field<'a>, &'static Message, &'a [u8])> {
    Fields::new(bytes).find_map(|found| match schema.field(found.number) {
        Some(&Field { kind: Kind::Message(nested), cardinality: Cardinality::OneOf, .. }) => {
            Some((found, nested, found.len_bytes()?))
        }
        _ => None,
    })
}

fn scalar<'a>(field: &Field, payload: Payload<'a>) -> Option<Node<'a>> {
    Some(Node::Value(match (field.kind, payload) {
        (Kind::String, Payload::Len(content)) => {
            AnyValue::Str(simdutf8::basic::from_utf8(content).unwrap_or_default())
        }
        (Kind::Bytes | Kind::HexId, Payload::Len(content)) => AnyValue::Bytes(content),
        (Kind::Double, Payload::Fixed64(bits)) => AnyValue::Double(f64::from_bits(bits)),
        (Kind::Bool, Payload::Varint(value)) => AnyValue::Bool(value != 0),
        (Kind::Int32 | Kind::Enum(_), Payload::Varint(value)) => AnyValue::Int(i64::from(value as i32)),
        (Kind::Uint32, Payload::Varint(value)) => AnyValue::Int(i64::from(value as u32)),
        (Kind::Sint32, Payload::Varint(value)) => AnyValue::Int(wire::unzigzag(u64::from(value as u32))),
        (_, Payload::Varint(value) | Payload::Fixed64(value)) => AnyValue::Int(value as i64),
        (_, Payload::Fixed32(value)) => AnyValue::Int(i64::from(value)),
        _ => return None,
    }))
}
