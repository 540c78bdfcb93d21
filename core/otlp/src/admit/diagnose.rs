//! Finds the first broken field and says what is wrong with it.

use super::{FieldName, Malformed};
use crate::schema::{Cardinality, Field, Kind, Message};
use crate::wire::{self, Broken, Fields, Payload};

/// Checks framing, wire types and depth of a whole request; not UTF-8.
pub(super) fn framing(request: &'static Message, bytes: &[u8], depth: u32) -> Result<(), Malformed> {
    message(request, bytes, 0..bytes.len(), depth)
}

fn message(
    schema: &'static Message,
    buffer: &[u8],
    range: std::ops::Range<usize>,
    depth: u32,
) -> Result<(), Malformed> {
    let mut fields = Fields::within(buffer, range);
    loop {
        let at = fields.position();
        let field = match fields.try_next(depth) {
            Ok(None) => return Ok(()),
            Ok(Some(field)) => field,
            Err(broken) => return Err(Malformed { at, what: in_words(schema, buffer, at, broken) }),
        };
        let Some(known) = schema.field(field.number) else { continue };
        let place = FieldName(schema, known);
        match (known.kind, field.payload) {
            (Kind::Message(nested), Payload::Len(_)) => {
                let Some(depth) = depth.checked_sub(1) else {
                    return Err(Malformed { at, what: format!("{place} at byte {at}: nested too deep") });
                };
                message(nested, buffer, field.value_range(), depth)?;
            }
            (_, payload) => {
                if let Err(wrong) = scalar(known, payload) {
                    return Err(Malformed { at, what: format!("{place} at byte {at}: {wrong}") });
                }
            }
        }
    }
}

/// Checks the wire type of a scalar, and packed numbers.
fn scalar(field: &Field, payload: Payload<'_>) -> Result<(), &'static str> {
    let packable = field.cardinality == Cardinality::Repeated;
    match field.kind {
        Kind::Message(_) | Kind::String | Kind::Bytes | Kind::HexId => match payload {
            Payload::Len(_) => Ok(()),
            _ => Err("is not length-delimited"),
        },
        Kind::Fixed32 => match payload {
            Payload::Fixed32(_) => Ok(()),
            _ => Err("is not a 32-bit number"),
        },
        Kind::Fixed64 | Kind::Sfixed64 | Kind::Double => match payload {
            Payload::Fixed64(_) => Ok(()),
            Payload::Len(packed) if packable && packed.len() % 8 == 0 => Ok(()),
            Payload::Len(_) if packable => Err("packed numbers do not fill their length"),
            _ => Err("is not a 64-bit number"),
        },
        _ => match payload {
            Payload::Varint(_) => Ok(()),
            Payload::Len(packed) if packable => {
                varints(packed).ok_or("packed numbers do not fill their length")
            }
            _ => Err("is not a varint"),
        },
    }
}

fn varints(packed: &[u8]) -> Option<()> {
    let mut at = 0;
    while at < packed.len() {
        (_, at) = wire::varint(packed, at)?;
    }
    Some(())
}

fn in_words(schema: &'static Message, buffer: &[u8], at: usize, broken: Broken) -> String {
    let field = wire::varint(buffer, at).and_then(|(tag, _)| wire::field_number(tag));
    let place = match field.map(|number| (number, schema.field(number))) {
        Some((_, Some(known))) => FieldName(schema, known).to_string(),
        Some((number, None)) => format!("unknown field {number} of {}", schema.name),
        None => format!("a field of {}", schema.name),
    };
    match broken {
        Broken::Length(length) => {
            format!("{place} at byte {at}: length {length} runs past the end of its message")
        }
        Broken::Varint => format!("{place} at byte {at}: a varint has no end"),
        Broken::Tag => format!("{place} at byte {at}: not a protobuf tag"),
        Broken::EndGroup => format!("{place} at byte {at}: the end of a group that did not start"),
        Broken::Depth => format!("{place} at byte {at}: groups nested too deep"),
    }
}
