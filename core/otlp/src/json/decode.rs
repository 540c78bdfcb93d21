//! JSON in: a serde visitor per schema table writes protobuf as it reads.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{JsonError, is_json_name};
use crate::schema::{Cardinality, Field, Kind, Message};
use crate::steps;
use crate::wire::{WireType, put_len, put_message, put_tag, put_varint, zigzag};

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT);

pub(super) fn request(message: &'static Message, json: &[u8]) -> Result<Vec<u8>, JsonError> {
    let mut out = Vec::with_capacity(json.len() / 2);
    let mut from = serde_json::Deserializer::from_slice(json);
    let parsed = Body { message, out: &mut out }.deserialize(&mut from).and_then(|()| from.end());
    parsed.map(|()| out).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let place = format!(" at line {line} column {column}");
        JsonError { line, column, message: text.strip_suffix(&place).unwrap_or(&text).to_owned() }
    })
}

/// Writes the fields of a message.
struct Body<'o> {
    message: &'static Message,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Body<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Body<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object ({})", self.message.name)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            steps::add(key.len() + self.message.fields.len());
            match self.message.fields.iter().find(|field| is_json_name(field.name, &key)) {
                Some(field) => map.next_value_seed(Slot { field, out: self.out })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// Writes one field: all elements of a repeated one, nothing for null.
struct Slot<'o> {
    field: &'static Field,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Slot<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Slot<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        match self.field.cardinality {
            Cardinality::Repeated => from.deserialize_seq(List(self)),
            _ => Element(self).deserialize(from),
        }
    }
}

struct List<'o>(Slot<'o>);

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array for {}", self.0.field.name)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Slot { field, out } = self.0;
        while list.next_element_seed(Element(Slot { field, out }))?.is_some() {}
        Ok(())
    }
}

/// Writes one value of a field.
struct Element<'o>(Slot<'o>);

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        let Slot { field, out } = self.0;
        match field.kind {
            Kind::Message(message) => {
                put_message(out, field.number, |out| Body { message, out }.deserialize(from))
            }
            _ => from.deserialize_any(Scalar { field, out }),
        }
    }
}

struct Scalar<'o> {
    field: &'static Field,
    out: &'o mut Vec<u8>,
}

impl<'de> Visitor<'de> for Scalar<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {}", self.wanted(), self.field.name)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.field.kind {
            Kind::Bool => self.varint(u64::from(value)),
            _ => Err(self.wrong()),
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.integer(i128::from(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.integer(i128::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        if matches!(self.field.kind, Kind::Double) {
            return self.fixed64(value.to_bits());
        }
        // 1e3 is an integer in protobuf's JSON.
        if value.fract() == 0.0 && value.abs() < 9e18 {
            self.integer(value as i128)
        } else {
            Err(self.wrong())
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match self.field.kind {
            Kind::String => self.bytes(text.as_bytes()),
            Kind::HexId => match unhex(text) {
                Some(id) => self.bytes(&id),
                None => Err(self.wrong()),
            },
            Kind::Bytes => match STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)) {
                Ok(bytes) => self.bytes(&bytes),
                Err(_) => Err(self.wrong()),
            },
            Kind::Double => match text {
                "NaN" => self.fixed64(f64::NAN.to_bits()),
                "Infinity" => self.fixed64(f64::INFINITY.to_bits()),
                "-Infinity" => self.fixed64(f64::NEG_INFINITY.to_bits()),
                _ => match text.parse::<f64>() {
                    Ok(value) if value.is_finite() => self.fixed64(value.to_bits()),
                    _ => Err(self.wrong()),
                },
            },
            Kind::Bool | Kind::Enum(_) | Kind::Message(_) => Err(self.wrong()),
            _ => match text.parse::<i128>() {
                Ok(value) => self.integer(value),
                Err(_) => Err(self.wrong()),
            },
        }
    }
}

impl Scalar<'_> {
    fn integer<E: Error>(self, value: i128) -> Result<(), E> {
        let (min, max) = match self.field.kind {
            Kind::Int32 | Kind::Sint32 | Kind::Enum(_) => (i128::from(i32::MIN), i128::from(i32::MAX)),
            Kind::Int64 | Kind::Sfixed64 => (i128::from(i64::MIN), i128::from(i64::MAX)),
            Kind::Uint32 | Kind::Fixed32 => (0, i128::from(u32::MAX)),
            Kind::Uint64 | Kind::Fixed64 => (0, i128::from(u64::MAX)),
            Kind::Double => return self.fixed64((value as f64).to_bits()),
            _ => return Err(self.wrong()),
        };
        if !(min..=max).contains(&value) {
            return Err(self.wrong());
        }
        let bits = value as u64; // two's complement, as varints and fixed fields have it
        match self.field.kind {
            Kind::Fixed64 | Kind::Sfixed64 => self.fixed64(bits),
            Kind::Fixed32 => {
                put_tag(self.out, self.field.number, WireType::Fixed32);
                self.out.extend_from_slice(&(bits as u32).to_le_bytes());
                Ok(())
            }
            Kind::Sint32 => self.varint(zigzag(value as i64)),
            _ => self.varint(bits),
        }
    }

    fn varint<E>(self, value: u64) -> Result<(), E> {
        put_tag(self.out, self.field.number, WireType::Varint);
        put_varint(self.out, value);
        Ok(())
    }

    fn fixed64<E>(self, bits: u64) -> Result<(), E> {
        put_tag(self.out, self.field.number, WireType::Fixed64);
        self.out.extend_from_slice(&bits.to_le_bytes());
        Ok(())
    }

    fn bytes<E>(self, bytes: &[u8]) -> Result<(), E> {
        put_len(self.out, self.field.number, bytes);
        Ok(())
    }

    fn wrong<E: Error>(&self) -> E {
        E::custom(format_args!("{}: expected {}", self.field.name, self.wanted()))
    }

    fn wanted(&self) -> &'static str {
        match self.field.kind {
            Kind::String => "a string",
            Kind::Bytes => "base64",
            Kind::HexId => "hexadecimal digits",
            Kind::Bool => "true or false",
            Kind::Double => "a number, or \"NaN\", \"Infinity\", \"-Infinity\"",
            Kind::Enum(_) => "an integer (enum names are not OTLP/JSON)",
            Kind::Uint32 | Kind::Uint64 | Kind::Fixed32 | Kind::Fixed64 => "an integer that is not negative",
            Kind::Int32 | Kind::Int64 | Kind::Sint32 | Kind::Sfixed64 => "an integer",
            Kind::Message(_) => "an object",
        }
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?)).collect()
}
