//! OTLP/JSON to protobuf bytes and back, driven by the schema tables.
//!
//! Source: OTLP 1.11, "JSON Protobuf Encoding": ids are hexadecimal, keys lowerCamelCase only, enums integers, 64-bit
//! integers strings (numbers are understood too), other bytes base64; unknown keys are ignored.

mod decode;
mod encode;

use crate::Signal;

/// Why a JSON body is not a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not OTLP/JSON at line {line}, column {column}: {message}")]
pub struct JsonError {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// What is wrong, and what was expected.
    pub message: String,
}

/// The protobuf bytes of a request in JSON. They are not canonical yet: a repeated key is written twice.
///
/// # Errors
/// Bad JSON, or a value of the wrong type for its key, with its place.
pub fn decode(signal: Signal, json: &[u8]) -> Result<Vec<u8>, JsonError> {
    decode::request(signal.request(), json)
}

/// The JSON of canonical protobuf bytes, in one line. Unknown fields have no name and are left out.
pub fn encode(signal: Signal, request: &[u8]) -> Vec<u8> {
    encode_within(signal, request, usize::MAX).unwrap_or_else(|start| start)
}

/// The same, unless it becomes much longer than `most`: bytes become up to six times as many, and fields of two bytes names.
///
/// # Errors
/// What was written until it was too long, somewhat more than `most`.
pub fn encode_within(signal: Signal, request: &[u8], most: usize) -> Result<Vec<u8>, Vec<u8>> {
    let mut out = Vec::with_capacity((request.len() * 2).min(most));
    encode::message(signal.request(), request, &mut out, most);
    if out.len() > most { Err(out) } else { Ok(out) }
}

/// Whether `json` is the lowerCamelCase of the protobuf name.
fn is_json_name(proto: &str, json: &str) -> bool {
    camel(proto).eq(json.chars())
}

/// The characters of the lowerCamelCase name.
fn camel(proto: &str) -> impl Iterator<Item = char> + '_ {
    let mut upper = false;
    proto.chars().filter_map(move |c| {
        if c == '_' {
            upper = true;
            return None;
        }
        Some(if std::mem::take(&mut upper) { c.to_ascii_uppercase() } else { c })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_names_are_lower_camel_case() {
        assert!(is_json_name("start_time_unix_nano", "startTimeUnixNano"));
        assert!(is_json_name("name", "name"));
        assert!(!is_json_name("start_time_unix_nano", "start_time_unix_nano"));
        assert!(!is_json_name("name", "Name"));
    }

    fn error(json: &str) -> String {
        decode(Signal::Traces, json.as_bytes()).expect_err("it is wrong").to_string()
    }

    #[test]
    fn what_becomes_too_long_is_given_up_soon_after_the_bound() {
        // A record of 100,000 attributes without key and value.
        let record = [6 << 3 | 2, 0].repeat(100_000);
        let nested = |number: u8, content: &[u8]| {
            let length = content.len();
            let prefix =
                [number << 3 | 2, length as u8 | 0x80, (length >> 7) as u8 | 0x80, (length >> 14) as u8];
            [&prefix[..], content].concat()
        };
        let request = nested(1, &nested(2, &nested(2, &record)));
        let whole = encode(Signal::Logs, &request);
        assert_eq!(whole.iter().filter(|byte| **byte == b',').count(), 99_999);
        assert_eq!(encode_within(Signal::Logs, &request, whole.len()).as_ref(), Ok(&whole));
        let cut = encode_within(Signal::Logs, &request, 1000).expect_err("it is longer");
        assert!((1001..1100).contains(&cut.len()) && whole.starts_with(&cut[..1000]));
    }

    #[test]
    fn errors_name_the_place_and_what_was_expected() {
        assert_eq!(
            error("[]"),
            "not OTLP/JSON at line 1, column 0: invalid type: sequence, expected an object (ExportTraceServiceRequest)"
        );
        let wrong = "{\"resourceSpans\":[\n{\"scopeSpans\":[{\"spans\":[{\"traceId\":\"xyz\"}]}]}]}";
        assert_eq!(error(wrong), "not OTLP/JSON at line 2, column 41: trace_id: expected hexadecimal digits");
        let wrong = "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"kind\":\"SPAN_KIND_SERVER\"}]}]}]}";
        assert!(
            error(wrong).contains("kind: expected an integer (enum names are not OTLP/JSON)"),
            "{}",
            error(wrong)
        );
    }

    #[test]
    fn unknown_keys_and_nulls_are_ignored_and_snake_case_is_unknown() {
        let json = r#"{"resourceSpans":[{"scope_spans":[{}],"x":{"y":[1]},"schemaUrl":null}]}"#;
        assert_eq!(decode(Signal::Traces, json.as_bytes()), Ok(vec![0x0a, 0]));
    }

    #[test]
    fn integers_may_be_strings_or_numbers() {
        let parse = |value: &str| {
            let json = format!(
                r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"timeUnixNano":{value}}}]}}]}}]}}"#
            );
            decode(Signal::Logs, json.as_bytes())
        };
        assert_eq!(parse("\"17\""), parse("17"));
        assert_eq!(parse("1.7e1"), parse("17"));
        for bad in ["\"17x\"", "-1", "1.5", "true"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    /// What grows the most when it is read: short numbers that are eight bytes in protobuf, and empty messages.
    #[test]
    fn what_is_read_is_at_most_five_times_as_large_as_the_text() {
        let metric = |data: &str| {
            format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{{data}}}]}}]}}]}}"#)
        };
        let many = |one: &str| format!("{one}{}", format!(",{one}").repeat(20_000));
        for text in [
            metric(&format!(r#""histogram":{{"dataPoints":[{{"bucketCounts":[{}]}}]}}"#, many("0"))),
            metric(&format!(r#""histogram":{{"dataPoints":[{{"explicitBounds":[{}]}}]}}"#, many("1"))),
            metric(&format!(r#""gauge":{{"dataPoints":[{}]}}"#, many("{}"))),
            metric(&format!(r#""summary":{{"dataPoints":[{{"quantileValues":[{}]}}]}}"#, many("{}"))),
            metric(&format!(
                r#""exponentialHistogram":{{"dataPoints":[{{"positive":{{"bucketCounts":[{}]}}}}]}}"#,
                many("9")
            )),
        ] {
            let read = decode(Signal::Metrics, text.as_bytes()).expect("it is right");
            assert!(read.len() <= 5 * text.len(), "{} of {}", read.len(), text.len());
        }
    }
}
