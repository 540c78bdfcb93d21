//! Writing what a path names and was not there before.

use crate::path::{PathError, PathStep, Segment};
use crate::schema::{self, Cardinality, Field, Kind, Message};
use crate::value::Value;
use crate::view::AnyValue;
use crate::wire;

/// Appends a message field that was not there, with the value somewhere inside it.
pub(super) fn fresh_field(
    out: &mut Vec<u8>,
    number: u32,
    schema: &'static Message,
    path: &[Segment],
    value: &Value<'_>,
) -> Result<(), PathError> {
    wire::put_message(out, number, |out| fresh(out, schema, path, value))
}

fn fresh(
    out: &mut Vec<u8>,
    schema: &'static Message,
    path: &[Segment],
    value: &Value<'_>,
) -> Result<(), PathError> {
    let Some((first, rest)) = path.split_first() else {
        return if schema.is(&schema::ANY_VALUE) {
            value.put(out);
            Ok(())
        } else {
            Err(PathError::WrongType(schema.name))
        };
    };
    let field = match PathStep::of(schema, &[], first)? {
        PathStep::Field(field) => field,
        PathStep::Element(field) => {
            let (Segment::Key(key), Kind::Message(_)) = (first, field.kind) else {
                return Err(PathError::NotThere(field.name));
            };
            return wire::put_message(out, field.number, |out| fresh_pair(out, 1, key, rest, value));
        }
        PathStep::Data(_) => return Err(PathError::NotThere("data_points")),
    };
    match (field.kind, field.cardinality, rest.split_first()) {
        (Kind::Message(nested), Cardinality::Repeated, Some((Segment::Key(key), rest)))
            if nested.is(&schema::KEY_VALUE) =>
        {
            fresh_pair(out, field.number, key, rest, value)
        }
        (_, Cardinality::Repeated, _) => Err(PathError::NotThere(field.name)),
        (Kind::Message(nested), ..) => fresh_field(out, field.number, nested, rest, value),
        (_, _, None) => put_scalar(out, field, value),
        _ => Err(PathError::Shape(field.name)),
    }
}

/// Appends a pair, with the value somewhere inside the pair's value.
pub(super) fn fresh_pair(
    out: &mut Vec<u8>,
    number: u32,
    key: &str,
    path: &[Segment],
    value: &Value<'_>,
) -> Result<(), PathError> {
    wire::put_message(out, number, |out| {
        wire::put_len(out, 1, key.as_bytes());
        fresh_field(out, 2, &schema::ANY_VALUE, path, value)
    })
}

/// Appends a scalar field.
pub(super) fn put_scalar(
    out: &mut Vec<u8>,
    field: &'static Field,
    value: &Value<'_>,
) -> Result<(), PathError> {
    let wrong = PathError::WrongType(field.name);
    let value = match *value {
        Value::View(view) => plain(view).ok_or(wrong.clone())?,
        value => value,
    };
    let number = field.number;
    match (field.kind, value) {
        (Kind::String, Value::Str(text)) => wire::put_len(out, number, text.as_bytes()),
        (Kind::Bytes | Kind::HexId, Value::Bytes(bytes)) => wire::put_len(out, number, bytes),
        (Kind::Bool, Value::Bool(flag)) => wire::put_varint_field(out, number, u64::from(flag)),
        (Kind::Double, Value::Double(value)) => wire::put_fixed64(out, number, value.to_bits()),
        (Kind::Int64 | Kind::Uint64, Value::Int(value)) => wire::put_varint_field(out, number, value as u64),
        (Kind::Fixed64 | Kind::Sfixed64, Value::Int(value)) => wire::put_fixed64(out, number, value as u64),
        (Kind::Int32 | Kind::Enum(_), Value::Int(value)) => {
            let value = i32::try_from(value).map_err(|_| wrong)?;
            wire::put_varint_field(out, number, i64::from(value) as u64);
        }
        (Kind::Sint32, Value::Int(value)) => {
            let value = i32::try_from(value).map_err(|_| wrong)?;
            wire::put_varint_field(out, number, wire::zigzag(i64::from(value)));
        }
        (Kind::Uint32, Value::Int(value)) => {
            wire::put_varint_field(out, number, u64::from(u32::try_from(value).map_err(|_| wrong)?));
        }
        (Kind::Fixed32, Value::Int(value)) => {
            wire::put_fixed32(out, number, u32::try_from(value).map_err(|_| wrong)?);
        }
        _ => return Err(wrong),
    }
    Ok(())
}

/// A value read elsewhere that is no list and no map, as a value to write.
fn plain(view: AnyValue<'_>) -> Option<Value<'_>> {
    Some(match view {
        AnyValue::Str(text) => Value::Str(text),
        AnyValue::Bytes(bytes) => Value::Bytes(bytes),
        AnyValue::Bool(flag) => Value::Bool(flag),
        AnyValue::Int(number) => Value::Int(number),
        AnyValue::Double(number) => Value::Double(number),
        AnyValue::Empty | AnyValue::Array(_) | AnyValue::Map(_) => return None,
    })
}
