//! Any-values, at any depth.

use super::message::text;
use super::{Attributes, Messages, View};
use crate::wire::{self, Fields, Payload};

/// A value of an attribute, a body, or an element of a list.
///
/// `string_value_strindex`, which only profiles may use, reads as empty.
#[derive(Clone, Copy, Debug, Default)]
pub enum AnyValue<'a> {
    /// No member is set.
    #[default]
    Empty,
    /// A string.
    Str(&'a str),
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating-point number.
    Double(f64),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A list.
    Array(Array<'a>),
    /// A map.
    Map(Attributes<'a>),
}

/// A list of values.
#[derive(Clone, Copy, Debug, Default)]
pub struct Array<'a> {
    bytes: &'a [u8],
}

impl<'a> AnyValue<'a> {
    /// Reads the content of an `AnyValue` message.
    pub(crate) fn read(bytes: &'a [u8]) -> Self {
        for field in Fields::new(bytes) {
            return match (field.number, field.payload) {
                (1, Payload::Len(content)) => Self::Str(text(content)),
                (2, Payload::Varint(value)) => Self::Bool(value != 0),
                (3, Payload::Varint(value)) => Self::Int(value as i64),
                (4, Payload::Fixed64(bits)) => Self::Double(f64::from_bits(bits)),
                (5, Payload::Len(content)) => Self::Array(Array { bytes: content }),
                (6, Payload::Len(content)) => Self::Map(Attributes::new(content, 1)),
                (7, Payload::Len(content)) => Self::Bytes(content),
                _ => continue,
            };
        }
        Self::Empty
    }

    /// The text, if it is a string.
    #[must_use]
    pub fn as_str(self) -> Option<&'a str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is an integer.
    #[must_use]
    pub fn as_int(self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(number),
            _ => None,
        }
    }

    /// Appends the content of an `AnyValue` message.
    pub(crate) fn put(self, out: &mut Vec<u8>) {
        match self {
            Self::Empty => {}
            Self::Str(text) => wire::put_len(out, 1, text.as_bytes()),
            Self::Bool(flag) => wire::put_varint_field(out, 2, u64::from(flag)),
            Self::Int(number) => wire::put_varint_field(out, 3, number as u64),
            Self::Double(number) => wire::put_fixed64(out, 4, number.to_bits()),
            Self::Bytes(bytes) => wire::put_len(out, 7, bytes),
            Self::Array(array) => wire::put_len(out, 5, array.bytes),
            Self::Map(map) => wire::put_message(out, 6, |out| {
                map.pairs().for_each(|pair| wire::put_len(out, 1, pair.bytes()));
            }),
        }
    }
}

impl PartialEq for AnyValue<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (*self, *other) {
            (Self::Empty, Self::Empty) => true,
            (Self::Str(a), Self::Str(b)) => a == b,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Double(a), Self::Double(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::Array(a), Self::Array(b)) => a.iter().eq(b.iter()),
            (Self::Map(a), Self::Map(b)) => a.iter().eq(b.iter()),
            _ => false,
        }
    }
}

impl<'a> Array<'a> {
    /// The values in their order.
    pub fn iter(self) -> impl Iterator<Item = AnyValue<'a>> + 'a {
        Messages::<Element<'a>>::new(self.bytes, 1).map(|element| AnyValue::read(element.0))
    }
}

#[derive(Clone, Copy)]
struct Element<'a>(&'a [u8]);

impl<'a> View<'a> for Element<'a> {
    fn over(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn bytes(self) -> &'a [u8] {
        self.0
    }
}
