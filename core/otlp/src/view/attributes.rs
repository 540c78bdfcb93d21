//! Attributes, and maps, which are the same on the wire.

use super::message::text;
use super::{AnyValue, View};
use crate::wire::{Fields, Members, Payload};

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
