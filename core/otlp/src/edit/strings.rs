//! Visiting every string and every bytes field of a record.

use std::ops::Range;

use bytes::Bytes;
use smallvec::SmallVec;

use super::splicer::Splicer;
use crate::Signal;
use crate::schema::{Cardinality, Field, Kind, Message, Role};
use crate::view::key_of;
use crate::wire::{self, Fields};

/// A string or bytes field found in a record.
#[derive(Clone, Copy, Debug)]
pub struct Leaf<'a> {
    /// The message it is in.
    pub message: &'static Message,
    /// The field it is.
    pub field: &'static Field,
    /// Its content; valid UTF-8 if the field is a string.
    pub bytes: &'a [u8],
    /// The keys of the attributes and maps around it, the outermost first. The last one is the key of this value, unless
    /// it is a key itself.
    pub keys: &'a [&'a [u8]],
}

/// What becomes of a leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rewrite {
    /// It stays as it is.
    Keep,
    /// It becomes this. In a string, what is not UTF-8 is replaced by U+FFFD.
    Replace(Vec<u8>),
}

impl<'a> Leaf<'a> {
    /// The key under which this value stands, if it stands in an attribute or a map.
    #[must_use]
    pub fn key(&self) -> Option<&'a [u8]> {
        self.keys.last().copied().filter(|_| !self.is_key())
    }

    /// Whether it is the key of an attribute or a map entry.
    #[must_use]
    pub fn is_key(&self) -> bool {
        self.message.role == Role::KeyValue
    }

    /// Whether it may hold any bytes.
    #[must_use]
    pub fn is_bytes(&self) -> bool {
        !matches!(self.field.kind, Kind::String)
    }

    /// Whether it is a field that the schema does not know, whatever is in it: text, or a message.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.field.number == 0
    }

    /// Whether it is a trace or span id.
    #[must_use]
    pub fn is_id(&self) -> bool {
        matches!(self.field.kind, Kind::HexId)
    }
}

/// Stands for every field that the schema does not know.
static UNKNOWN: Field =
    Field { number: 0, name: "unknown", kind: Kind::Bytes, cardinality: Cardinality::Repeated };

pub(super) fn rewrite(
    splicer: &mut Splicer,
    source: &[u8],
    schema: &'static Message,
    unknown: bool,
    edit: &mut dyn FnMut(Leaf<'_>) -> Rewrite,
) {
    let mut visit = |leaf: Leaf<'_>| if leaf.is_unknown() && !unknown { Rewrite::Keep } else { edit(leaf) };
    message(splicer, source, 0..source.len(), schema, &mut SmallVec::new(), &|_| true, &mut visit);
}

/// What no record holds: schema URLs, and what the schema does not know, of the request and its groups.
pub(super) fn rewrite_groups(
    signal: Signal,
    source: &Bytes,
    edit: &mut dyn FnMut(Leaf<'_>) -> Rewrite,
) -> Option<Bytes> {
    let mut splicer = Splicer::default();
    let groups = |nested: &Message| matches!(nested.role, Role::ResourceGroup | Role::ScopeGroup);
    message(&mut splicer, source, 0..source.len(), signal.request(), &mut SmallVec::new(), &groups, edit);
    splicer.finish(source).then(|| splicer.out.into())
}

fn message<'a>(
    splicer: &mut Splicer,
    source: &'a [u8],
    region: Range<usize>,
    schema: &'static Message,
    keys: &mut SmallVec<[&'a [u8]; 8]>,
    enters: &dyn Fn(&Message) -> bool,
    edit: &mut dyn FnMut(Leaf<'_>) -> Rewrite,
) {
    for found in Fields::within(source, region.clone()) {
        let field = schema.field(found.number).unwrap_or(&UNKNOWN);
        let Some(bytes) = found.len_bytes() else { continue };
        match field.kind {
            Kind::Message(nested) if !enters(nested) => {}
            Kind::Message(nested) => {
                splicer.open(found.number, found.start, found.value);
                let in_pair = schema.role == Role::KeyValue;
                if in_pair {
                    keys.push(key_of(&source[region.clone()]));
                }
                message(splicer, source, found.value_range(), nested, keys, enters, edit);
                if in_pair {
                    keys.pop();
                }
                splicer.close(source, found.end);
            }
            Kind::String | Kind::Bytes | Kind::HexId => {
                if let Rewrite::Replace(new) = edit(Leaf { message: schema, field, bytes, keys }) {
                    let new = if matches!(field.kind, Kind::String) { valid_text(new) } else { new };
                    splicer.replace(source, found.start, found.end, |out| {
                        wire::put_len(out, found.number, &new)
                    });
                }
            }
            // Packed numbers.
            _ => {}
        }
    }
}

fn valid_text(bytes: Vec<u8>) -> Vec<u8> {
    match String::from_utf8(bytes) {
        Ok(text) => text.into_bytes(),
        Err(broken) => String::from_utf8_lossy(broken.as_bytes()).into_owned().into_bytes(),
    }
}
