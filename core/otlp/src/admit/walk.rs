//! The fast path: is this request canonical as it is, and how many items does it hold?
//!
//! Measured by the span, so it knows the common case: an attribute that is all ASCII is shorter than 128 bytes wherever it
//! states a length, hence one test of all its bytes stands for its lengths being one byte and its text being UTF-8.

use crate::schema::{self, Check, Message, Role, TagKind};
use crate::steps;
use crate::utf8::{is_ascii, is_text};
use crate::wire::{self, Fields};

/// The number of items if `bytes` are canonical; `None` if they are malformed, not canonical, too deep or hold invalid UTF-8.
pub(super) fn tidy_items(request: &'static Message, bytes: &[u8], depth: u32) -> Option<u32> {
    message(request, bytes, depth)
}

/// The items in one message. `depth` is how many levels may follow.
fn message(schema: &'static Message, bytes: &[u8], depth: u32) -> Option<u32> {
    let mut items = u32::from(schema.role.is_item());
    let mut seen = 0;
    let mut at = 0;
    while let Some(&tag) = bytes.get(at) {
        steps::add(1);
        let step = if tag < 0x80 { schema.steps[usize::from(tag)] } else { TagKind::Other };
        if step == TagKind::Other {
            at = any_field(schema, bytes, at, &mut seen, &mut items, depth)?;
            continue;
        }
        at += 1;
        let rule = &schema.rules[usize::from(tag >> 3)];
        if seen & rule.forbids != 0 {
            return None;
        }
        seen |= rule.sets;
        match step {
            TagKind::Message => {
                let Check::Message(nested) = rule.check else { return None };
                let depth = depth.checked_sub(1)?;
                if nested.role != Role::KeyValue {
                    items += message(nested, length_delimited(bytes, &mut at)?, depth)?;
                    continue;
                }
                key_value(length_delimited(bytes, &mut at)?, depth)?;
                // Attributes come in runs: look for the next one before looking anything up.
                while bytes.get(at) == Some(&tag) {
                    at += 1;
                    key_value(length_delimited(bytes, &mut at)?, depth)?;
                }
            }
            TagKind::Text => {
                if !is_text(length_delimited(bytes, &mut at)?) {
                    return None;
                }
            }
            TagKind::Bytes => {
                length_delimited(bytes, &mut at)?;
            }
            TagKind::Fixed64 => at = forward(bytes, at, 8)?,
            TagKind::Fixed32 => at = forward(bytes, at, 4)?,
            TagKind::Varint => (_, at) = wire::varint(bytes, at)?,
            TagKind::Other => {}
        }
    }
    Some(items)
}

/// The end of a field that is not as usual: an unknown one, a long tag, packed numbers.
fn any_field(
    schema: &Message,
    bytes: &[u8],
    start: usize,
    seen: &mut u32,
    items: &mut u32,
    depth: u32,
) -> Option<usize> {
    let (tag, mut at) = wire::varint(bytes, start)?;
    let number = wire::field_number(tag)? as usize;
    let Some(rule) = schema.rules.get(number) else { return skip(bytes, start, depth) };
    if *seen & rule.forbids != 0 {
        return None;
    }
    *seen |= rule.sets;
    match (rule.check, tag & 7) {
        (Check::Unknown, _) => return skip(bytes, start, depth),
        (Check::Message(nested), 2) => {
            *items += message(nested, length_delimited(bytes, &mut at)?, depth.checked_sub(1)?)?;
        }
        (Check::Utf8, 2) => {
            if !is_text(length_delimited(bytes, &mut at)?) {
                return None;
            }
        }
        (Check::Bytes, 2) => {
            length_delimited(bytes, &mut at)?;
        }
        (Check::Fixed64 | Check::Fixed64s, 1) => at = forward(bytes, at, 8)?,
        (Check::Varint | Check::Varints, 0) => (_, at) = wire::varint(bytes, at)?,
        (Check::Fixed32, 5) => at = forward(bytes, at, 4)?,
        (Check::Fixed64s, 2) => {
            if length_delimited(bytes, &mut at)?.len() % 8 != 0 {
                return None;
            }
        }
        (Check::Varints, 2) => {
            let packed = length_delimited(bytes, &mut at)?;
            let mut next = 0;
            while next < packed.len() {
                (_, next) = wire::varint(packed, next)?;
            }
        }
        _ => return None,
    }
    Some(at)
}

#[inline]
fn length_delimited<'a>(bytes: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let (length, start) = wire::varint(bytes, *at)?;
    let content = wire::take(bytes, start, length)?;
    *at = start + content.len();
    Some(content)
}

#[inline]
fn forward(bytes: &[u8], at: usize, by: usize) -> Option<usize> {
    let to = at + by;
    (to <= bytes.len()).then_some(to)
}

#[cold]
fn skip(bytes: &[u8], at: usize, depth: u32) -> Option<usize> {
    Some(Fields::within(bytes, at..bytes.len()).try_next(depth).ok()??.end)
}

/// A `KeyValue`: first as it nearly always is, then as it may be.
#[inline]
fn key_value(pair: &[u8], depth: u32) -> Option<()> {
    steps::add(pair.len().min(0x100));
    if depth > 0 && plain_attribute(pair) {
        return Some(());
    }
    if let Some((key, value)) = usual_pair(pair) {
        return if is_text(key) { any_value(value, depth.checked_sub(1)?) } else { None };
    }
    message(&schema::KEY_VALUE, pair, depth).map(drop)
}

/// The parts of a pair that is `0a <n> key 12 <m> value` and no more.
fn usual_pair(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[0x0a, length @ 0..0x80], rest) = pair.split_first_chunk::<2>()? else { return None };
    let (key, rest) = rest.split_at_checked(usize::from(length))?;
    let (&[0x12, length @ 0..0x80], value) = rest.split_first_chunk::<2>()? else { return None };
    (value.len() == usize::from(length)).then_some((key, value))
}

/// An `AnyValue` with one member, else as it may be.
fn any_value(value: &[u8], depth: u32) -> Option<()> {
    match *value {
        [0x0a, length @ 0..0x80, ref text @ ..] if text.len() == usize::from(length) => {
            return is_text(text).then_some(());
        }
        [0x10 | 0x18, ref number @ ..] if wire::varint(number, 0)?.1 == number.len() => return Some(()),
        [0x21, ref number @ ..] if number.len() == 8 => return Some(()),
        [0x32, length @ 0..0x80, ref list @ ..] if list.len() == usize::from(length) => {
            return message(&schema::KEY_VALUE_LIST, list, depth.checked_sub(1)?).map(drop);
        }
        _ => {}
    }
    message(&schema::ANY_VALUE, value, depth).map(drop)
}

/// Whether this `KeyValue` is just an ASCII key with an ASCII string: `0a <n> key 12 <m> 0a <k> text`.
#[inline]
fn plain_attribute(pair: &[u8]) -> bool {
    // With every byte below 128, every length is one byte and all text is ASCII.
    let Some((&[0x0a, key], rest)) = pair.split_first_chunk::<2>() else { return false };
    let Some(rest) = rest.get(usize::from(key)..) else { return false };
    let Some((&[0x12, value, 0x0a, text], rest)) = rest.split_first_chunk::<4>() else { return false };
    rest.len() == usize::from(text) && usize::from(value) == rest.len() + 2 && is_ascii(pair)
}
