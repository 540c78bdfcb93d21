//! Partial success: what an export response says beyond "accepted". The three response messages share one shape.
//!
//! Source: `Export…PartialSuccess` in `*_service.proto`: rejected items (int64, 1) and a message (string, 2), in field 1.

use crate::Signal;
use crate::wire::{Fields, Payload, put_len, put_message, put_varint_field};

/// The encoded response. Empty, as it must be, where nothing was rejected and there is nothing to say.
pub fn encode(rejected: u32, why: Option<&str>) -> Vec<u8> {
    let mut out = Vec::new();
    if rejected > 0 || why.is_some() {
        put_message(&mut out, 1, |out| {
            if rejected > 0 {
                put_varint_field(out, 1, u64::from(rejected));
            }
            if let Some(why) = why {
                put_len(out, 2, why.as_bytes());
            }
        });
    }
    out
}

/// The response in OTLP/JSON.
pub fn encode_json(signal: Signal, rejected: u32, why: Option<&str>) -> String {
    if rejected == 0 && why.is_none() {
        return "{}".to_owned();
    }
    let count = match signal {
        Signal::Traces => "rejectedSpans",
        Signal::Metrics => "rejectedDataPoints",
        Signal::Logs => "rejectedLogRecords",
    };
    let mut partial = serde_json::Map::new();
    if rejected > 0 {
        partial.insert(count.to_owned(), rejected.to_string().into());
    }
    if let Some(why) = why {
        partial.insert("errorMessage".to_owned(), why.into());
    }
    serde_json::json!({ "partialSuccess": partial }).to_string()
}

/// What a response says: how many items were rejected, and a message. A response that does not parse says nothing:
/// the status has already said that the request was accepted.
pub fn decode(response: &[u8]) -> (u32, Option<String>) {
    let (mut rejected, mut why) = (0, None);
    for field in Fields::new(response).filter(|field| field.number == 1) {
        for field in Fields::new(field.len_bytes().unwrap_or_default()) {
            match (field.number, field.payload) {
                (1, Payload::Varint(count)) => rejected = u32::try_from(count).unwrap_or(u32::MAX),
                (2, Payload::Len(text)) => why = Some(String::from_utf8_lossy(text).into_owned()),
                _ => {}
            }
        }
    }
    (rejected, why.filter(|why| !why.is_empty()))
}

/// The same of a response in OTLP/JSON.
pub fn decode_json(response: &[u8]) -> (u32, Option<String>) {
    let parsed: serde_json::Value = serde_json::from_slice(response).unwrap_or_default();
    let partial = &parsed["partialSuccess"];
    let count = ["rejectedSpans", "rejectedDataPoints", "rejectedLogRecords"].iter().find_map(|name| {
        let value = &partial[name];
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    });
    let why = partial["errorMessage"].as_str().filter(|why| !why.is_empty()).map(str::to_owned);
    (count.map_or(0, |count| u32::try_from(count).unwrap_or(u32::MAX)), why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_success_is_an_empty_message() {
        assert!(encode(0, None).is_empty());
        assert_eq!(encode_json(Signal::Logs, 0, None), "{}");
        assert_eq!(decode(&[]), (0, None));
    }

    #[test]
    fn both_encodings_come_back() {
        for (rejected, why) in [(3, Some("bad names")), (0, Some("a warning")), (7, None)] {
            let expected = (rejected, why.map(str::to_owned));
            assert_eq!(decode(&encode(rejected, why)), expected);
            assert_eq!(decode_json(encode_json(Signal::Traces, rejected, why).as_bytes()), expected);
        }
    }

    #[test]
    fn an_unreadable_response_says_nothing() {
        assert_eq!(decode(b"\x0a\xff"), (0, None));
        assert_eq!(decode_json(b"<html>"), (0, None));
    }
}
