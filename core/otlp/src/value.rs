//! Values to write: what an `AnyValue` can be, borrowed from wherever it is.

use crate::view::AnyValue;
use crate::wire::{self, WireType};

/// A value to write into an attribute, a body, or by path. Borrowed; writing allocates nothing.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Value<'a> {
    /// A value with no member set.
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
    Array(&'a [Value<'a>]),
    /// A map, in this order.
    Map(&'a [(&'a str, Value<'a>)]),
    /// A value read elsewhere.
    View(AnyValue<'a>),
}

impl Value<'_> {
    /// Appends the content of an `AnyValue` message.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Empty => {}
            Self::Str(text) => wire::put_len(out, 1, text.as_bytes()),
            Self::Bool(flag) => wire::put_varint_field(out, 2, u64::from(flag)),
            Self::Int(number) => wire::put_varint_field(out, 3, number as u64),
            Self::Double(number) => wire::put_fixed64(out, 4, number.to_bits()),
            Self::Bytes(bytes) => wire::put_len(out, 7, bytes),
            Self::Array(values) => wire::put_message(out, 5, |out| {
                values.iter().for_each(|value| wire::put_message(out, 1, |out| value.put(out)));
            }),
            Self::Map(entries) => wire::put_message(out, 6, |out| {
                entries.iter().for_each(|(key, value)| put_pair(out, 1, key, value));
            }),
            Self::View(value) => value.put(out),
        }
    }
}

/// Appends a `KeyValue` as field `number`: how attributes and map entries are written.
#[inline]
pub(crate) fn put_pair(out: &mut Vec<u8>, number: u32, key: &str, value: &Value<'_>) {
    if let Value::Str(text) = *value
        && key.len() + text.len() < 0x78
    {
        // All lengths are one byte: written in one go.
        wire::put_tag(out, number, WireType::Len);
        let (key_len, text_len) = (key.len() as u8, text.len() as u8);
        out.extend_from_slice(&[key_len + text_len + 6, 0x0a, key_len]);
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(&[0x12, text_len + 2, 0x0a, text_len]);
        out.extend_from_slice(text.as_bytes());
        return;
    }
    wire::put_message(out, number, |out| {
        wire::put_len(out, 1, key.as_bytes());
        wire::put_message(out, 2, |out| value.put(out));
    });
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Str(text)
    }
}

impl From<bool> for Value<'_> {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<f64> for Value<'_> {
    fn from(number: f64) -> Self {
        Self::Double(number)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<AnyValue<'a>> for Value<'a> {
    fn from(value: AnyValue<'a>) -> Self {
        Self::View(value)
    }
}
