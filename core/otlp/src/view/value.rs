//! Any-values, at any depth; and attributes, which are maps of them.

use super::message::text;
use super::{Messages, View};
use crate::wire::{self, Fields, Members, Payload};

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

/// A list of key-value pairs inside a message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attributes<'a> {
    bytes: &'a [u8],
    number: u32,
}

/// One pair.
#[derive(Clone, Copy, Debug)]
pub struct KeyValue<'a> {
    bytes: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// The pairs in field `number`, below 16, of the message `bytes`.
    pub(crate) const fn new(bytes: &'a [u8], number: u32) -> Self {
        Self { bytes, number }
    }

    /// All pairs in their order.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, AnyValue<'a>)> + 'a {
        self.pairs().map(|pair| (pair.key(), pair.value()))
    }

    /// The value of the first pair with this key.
    #[must_use]
    pub fn get(self, key: &str) -> Option<AnyValue<'a>> {
        self.pairs().find(|pair| pair.key_bytes() == key.as_bytes()).map(KeyValue::value)
    }

    /// The text of the first pair with this key, if it is a string.
    #[must_use]
    pub fn get_str(self, key: &str) -> Option<&'a str> {
        self.get(key)?.as_str()
    }

    /// Whether there is no pair at all.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.pairs().next().is_none()
    }

    /// All pairs as views.
    pub fn pairs(self) -> impl Iterator<Item = KeyValue<'a>> + 'a {
        Members::new(self.bytes, self.number).map(KeyValue::over)
    }
}

impl<'a> View<'a> for KeyValue<'a> {
    fn over(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    fn bytes(self) -> &'a [u8] {
        self.bytes
    }
}

impl<'a> KeyValue<'a> {
    /// The key.
    #[must_use]
    pub fn key(self) -> &'a str {
        text(self.key_bytes())
    }

    /// The key as bytes, to compare without checking UTF-8 again.
    #[must_use]
    pub fn key_bytes(self) -> &'a [u8] {
        key_of(self.bytes)
    }

    /// The value.
    #[must_use]
    pub fn value(self) -> AnyValue<'a> {
        super::message::len(self.bytes, 2).map_or(AnyValue::Empty, AnyValue::read)
    }

    /// The value's bytes if it is a string, to compare or read without checking UTF-8 again.
    #[must_use]
    pub fn text_bytes(self) -> Option<&'a [u8]> {
        // As it nearly always is: a key, a value with one member, no more.
        if let [0x0a, key @ 0..0x80, rest @ ..] = self.bytes
            && let Some([0x12, value @ 0..0x80, 0x0a, length, text @ ..]) = rest.get(usize::from(*key)..)
            && usize::from(*length) == text.len()
            && usize::from(*value) == text.len() + 2
        {
            return Some(text);
        }
        match self.value() {
            AnyValue::Str(text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    /// The key's place in a string table; 0 outside of profiles.
    #[must_use]
    pub fn key_strindex(self) -> i32 {
        super::message::number(super::message::first(self.bytes, 3)) as i32
    }
}

/// The key of a `KeyValue`. Nearly always it comes first.
#[inline]
pub(crate) fn key_of(pair: &[u8]) -> &[u8] {
    if let [0x0a, length @ 0..0x80, rest @ ..] = pair
        && let Some(key) = rest.get(..usize::from(*length))
    {
        return key;
    }
    Fields::new(pair)
        .find_map(|field| match field.payload {
            Payload::Len(key) if field.number == 1 => Some(key),
            _ => None,
        })
        .unwrap_or_default()
}
