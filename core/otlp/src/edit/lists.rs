//! Edits of attribute lists, wherever they are: a region of a source is one message, `number` its field with the pairs.

use std::ops::Range;

use super::splicer::Splicer;
use crate::schema::{Kind, Message, Role};
use crate::value::{Value, put_pair};
use crate::wire::{self, Field, Fields};

/// The pairs with this key.
#[inline]
pub(super) fn pairs<'a>(
    source: &'a [u8],
    region: Range<usize>,
    number: u32,
    key: &'a str,
) -> impl Iterator<Item = Field<'a>> + 'a {
    Fields::within(source, region).filter(move |field| {
        field.number == number
            && field.len_bytes().is_some_and(|pair| crate::view::key_of(pair) == key.as_bytes())
    })
}

/// Whether a pair with this key is in field `number`, which is below 16, of a message.
pub(super) fn has(content: &[u8], number: u32, key: &[u8]) -> bool {
    wire::Members::new(content, number).any(|pair| crate::view::key_of(pair) == key)
}

/// Appends the pair unless the key is there.
pub(super) fn insert(
    splicer: &mut Splicer,
    source: &[u8],
    region: Range<usize>,
    number: u32,
    key: &str,
    value: &Value<'_>,
) -> bool {
    let absent = pairs(source, region.clone(), number, key).next().is_none();
    if absent {
        splicer.reach(source, region.end);
        put_pair(&mut splicer.out, number, key, value);
    }
    absent
}

/// Sets the value of the first pair with this key, or appends the pair.
pub(super) fn set(
    splicer: &mut Splicer,
    source: &[u8],
    region: Range<usize>,
    number: u32,
    key: &str,
    value: &Value<'_>,
) {
    let Some(pair) = pairs(source, region.clone(), number, key).next() else {
        splicer.reach(source, region.end);
        return put_pair(&mut splicer.out, number, key, value);
    };
    splicer.open(number, pair.start, pair.value);
    let old = Fields::within(source, pair.value_range()).find(|field| field.number == 2);
    let (from, to) = old.map_or((pair.end, pair.end), |old| (old.start, old.end));
    splicer.replace(source, from, to, |out| wire::put_message(out, 2, |out| value.put(out)));
    splicer.close(source, pair.end);
}

/// Removes every pair with this key.
pub(super) fn remove(
    splicer: &mut Splicer,
    source: &[u8],
    region: Range<usize>,
    number: u32,
    key: &str,
) -> bool {
    let mut any = false;
    for pair in pairs(source, region, number, key) {
        splicer.cut(source, pair.start, pair.end);
        any = true;
    }
    any
}

/// Gives every pair with key `from` the key `to`, unless a pair with that key is there.
pub(super) fn rename(
    splicer: &mut Splicer,
    source: &[u8],
    region: Range<usize>,
    number: u32,
    [from, to]: [&str; 2],
) -> bool {
    if pairs(source, region.clone(), number, to).next().is_some() {
        return false;
    }
    let mut any = false;
    for pair in pairs(source, region, number, from) {
        splicer.open(number, pair.start, pair.value);
        let old = Fields::within(source, pair.value_range()).find(|field| field.number == 1);
        let (start, end) = old.map_or((pair.value, pair.value), |old| (old.start, old.end));
        splicer.replace(source, start, end, |out| wire::put_len(out, 1, to.as_bytes()));
        splicer.close(source, pair.end);
        any = true;
    }
    any
}

/// Goes through all data points of a metric, and lets `edit` change each: it is given the point's region and type.
pub(super) fn each_point(
    splicer: &mut Splicer,
    source: &[u8],
    metric: &'static Message,
    edit: &mut dyn FnMut(&mut Splicer, Range<usize>, &'static Message),
) {
    descend(splicer, source, 0..source.len(), metric, edit);
}

fn descend(
    splicer: &mut Splicer,
    source: &[u8],
    region: Range<usize>,
    schema: &'static Message,
    edit: &mut dyn FnMut(&mut Splicer, Range<usize>, &'static Message),
) {
    for field in Fields::within(source, region) {
        let Some(Kind::Message(nested)) = schema.field(field.number).map(|known| known.kind) else {
            continue;
        };
        if !matches!(nested.role, Role::Part | Role::Point) || field.len_bytes().is_none() {
            continue;
        }
        splicer.open(field.number, field.start, field.value);
        if nested.role == Role::Point {
            edit(splicer, field.value_range(), nested);
        } else {
            descend(splicer, source, field.value_range(), nested, edit);
        }
        splicer.close(source, field.end);
    }
}
