//! JSON out.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use smallvec::SmallVec;

use super::camel;
use crate::schema::{Cardinality, Field, Kind, Message};
use crate::steps;
use crate::wire::{self, Fields, Payload, unzigzag};

/// Of messages with more fields than this no list is made: it would be thirty times as large as the shortest of them.
const MANY: usize = 64;

/// Writes a message as an object. JSON wants every key once, so the occurrences of a field are gathered. Nothing goes on once there
/// are more than `most` bytes; then it is no JSON.
pub(super) fn message(message: &'static Message, bytes: &[u8], out: &mut Vec<u8>, most: usize) {
    let there: SmallVec<[wire::Field<'_>; 16]> = Fields::new(bytes).take(MANY + 1).collect();
    if there.len() > MANY {
        object(message, || Fields::new(bytes).inspect(|_| steps::add(1)), out, most);
    } else {
        steps::add(there.len() * message.fields.len());
        object(message, || there.iter().copied(), out, most);
    }
}

fn object<'a, I: Iterator<Item = wire::Field<'a>>>(
    message: &'static Message,
    there: impl Fn() -> I,
    out: &mut Vec<u8>,
    most: usize,
) {
    out.push(b'{');
    let mut first = true;
    for field in message.fields {
        let occurrences = there().filter(|found| found.number == field.number).map(|found| found.payload);
        let repeated = field.cardinality == Cardinality::Repeated;
        let mut values = occurrences.peekable();
        if values.peek().is_none() {
            continue;
        }
        separate(&mut first, out);
        out.push(b'"');
        out.extend(camel(field.name).map(|c| c as u8)); // protobuf names are ASCII
        out.extend_from_slice(b"\":");
        if repeated {
            list(field, values, out, most);
        } else if let Some(last) = values.last() {
            value(field, last, out, most);
        }
    }
    out.push(b'}');
}

fn list<'a>(field: &Field, values: impl Iterator<Item = Payload<'a>>, out: &mut Vec<u8>, most: usize) {
    out.push(b'[');
    let mut first = true;
    for payload in values {
        if out.len() > most {
            return;
        }
        match (field.kind, payload) {
            // Packed numbers.
            (Kind::String | Kind::Bytes | Kind::HexId | Kind::Message(_), _) => {
                separate(&mut first, out);
                value(field, payload, out, most);
            }
            (_, Payload::Len(packed)) => unpack(field, packed, |payload| {
                separate(&mut first, out);
                value(field, payload, out, most);
            }),
            _ => {
                separate(&mut first, out);
                value(field, payload, out, most);
            }
        }
    }
    out.push(b']');
}

fn unpack(field: &Field, packed: &[u8], mut each: impl FnMut(Payload<'_>)) {
    if matches!(field.kind, Kind::Fixed64 | Kind::Sfixed64 | Kind::Double) {
        for bytes in packed.as_chunks::<8>().0 {
            each(Payload::Fixed64(u64::from_le_bytes(*bytes)));
        }
        return;
    }
    let mut at = 0;
    while let Some((number, next)) = wire::varint(packed, at) {
        steps::add(1);
        each(Payload::Varint(number));
        at = next;
    }
}

fn separate(first: &mut bool, out: &mut Vec<u8>) {
    if !std::mem::take(first) {
        out.push(b',');
    }
}

/// Writing to memory does not fail.
macro_rules! put {
    ($out:expr, $($text:tt)*) => { drop(write!($out, $($text)*)) };
}

/// Of what goes beyond `most` only so much is written that it does.
fn value(field: &Field, payload: Payload<'_>, out: &mut Vec<u8>, most: usize) {
    match (field.kind, payload) {
        (Kind::Message(nested), Payload::Len(bytes)) => message(nested, bytes, out, most),
        (Kind::String, Payload::Len(text)) => {
            let text = &text[..text.len().min(most.saturating_add(1).saturating_sub(out.len()))];
            drop(serde_json::to_writer(out, &String::from_utf8_lossy(text)))
        }
        (Kind::Bytes, Payload::Len(bytes)) => {
            let bytes = &bytes[..bytes.len().min(most.saturating_add(1).saturating_sub(out.len()))];
            put!(out, "\"{}\"", STANDARD.encode(bytes))
        }
        (Kind::HexId, Payload::Len(id)) => {
            out.push(b'"');
            id.iter().for_each(|byte| put!(out, "{byte:02x}"));
            out.push(b'"');
        }
        (Kind::Bool, Payload::Varint(bits)) => put!(out, "{}", bits != 0),
        (Kind::Int32 | Kind::Enum(_), Payload::Varint(bits)) => put!(out, "{}", bits as i32),
        // Of a longer varint only 32 bits count, as everywhere in protobuf.
        (Kind::Sint32, Payload::Varint(bits)) => put!(out, "{}", unzigzag(u64::from(bits as u32))),
        (Kind::Uint32, Payload::Varint(bits)) => put!(out, "{}", bits as u32),
        (Kind::Int64, Payload::Varint(bits)) => put!(out, "\"{}\"", bits as i64),
        (Kind::Uint64, Payload::Varint(bits)) | (Kind::Fixed64, Payload::Fixed64(bits)) => {
            put!(out, "\"{bits}\"")
        }
        (Kind::Sfixed64, Payload::Fixed64(bits)) => put!(out, "\"{}\"", bits as i64),
        (Kind::Fixed32, Payload::Fixed32(bits)) => put!(out, "{bits}"),
        (Kind::Double, Payload::Fixed64(bits)) => match f64::from_bits(bits) {
            value if value.is_nan() => put!(out, "\"NaN\""),
            value if value.is_infinite() => put!(out, "\"{}Infinity\"", if value < 0.0 { "-" } else { "" }),
            value => drop(serde_json::to_writer(out, &value)),
        },
        // Admission refuses any other wire type.
        _ => out.extend_from_slice(b"null"),
    }
}
