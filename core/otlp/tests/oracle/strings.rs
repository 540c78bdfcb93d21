//! Visiting strings against a dynamic message, which sees every field there is.

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};
use throughline_otlp::edit::{Keep, Levels, Rewrite, rewrite};
use throughline_otlp::{Limits, admit};

use crate::generate::{self, Dice, LEGAL};
use crate::reference::{canonical, descriptor};
use crate::{entropy, signals};

/// What both sides do to a text: longer, shorter or nothing.
fn mask(text: &[u8]) -> Option<Vec<u8>> {
    match text.len() % 3 {
        0 => None,
        1 => Some([b"[REDACTED:", text, b"]"].concat()),
        _ => Some(Vec::new()),
    }
}

/// Masks all strings and bytes in a message but ids, schema URLs of groups (which are no part of any record) apart.
fn mask_all(message: &mut DynamicMessage) {
    let group =
        ["ResourceSpans", "ResourceLogs", "ResourceMetrics", "ScopeSpans", "ScopeLogs", "ScopeMetrics"]
            .contains(&message.descriptor().name());
    for (field, value) in message.fields_mut() {
        if !(group && field.name() == "schema_url") {
            mask_value(value, field.name());
        }
    }
}

fn mask_value(value: &mut Value, field: &str) {
    match value {
        Value::String(text) => {
            if let Some(masked) = mask(text.as_bytes()) {
                *text = String::from_utf8_lossy(&masked).into_owned();
            }
        }
        Value::Bytes(bytes) if !field.ends_with("_id") => {
            if let Some(masked) = mask(bytes) {
                *bytes = masked.into();
            }
        }
        Value::Message(message) => mask_all(message),
        Value::List(list) => list.iter_mut().for_each(|value| mask_value(value, field)),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_string_and_bytes_field_is_seen_and_can_be_replaced(signal in signals(), entropy in entropy()) {
        let input = Bytes::from(generate::request(&mut Dice(&entropy), signal, LEGAL));
        let input = admit(signal, input, &Limits::default()).expect("it is legal").bytes;
        let mut expected = DynamicMessage::decode(descriptor(signal), input.clone()).expect("it is legal");
        mask_all(&mut expected);

        let rewritten = rewrite(signal, &input, Levels::ALL, &mut |record| {
            record.rewrite_strings(&mut |leaf| {
                if leaf.is_key() {
                    assert!(!leaf.is_bytes() && leaf.key().is_none());
                }
                match mask(leaf.bytes).filter(|_| !leaf.is_id()) {
                    Some(masked) => Rewrite::Replace(masked),
                    None => Rewrite::Keep,
                }
            });
            Keep::Yes
        });
        prop_assert_eq!(canonical(signal, &rewritten.bytes), canonical(signal, &expected.encode_to_vec()));
        let again = admit(signal, rewritten.bytes, &Limits::default()).expect("what is written is legal");
        prop_assert!(!again.rewritten);
    }

    #[test]
    fn an_edit_that_changes_nothing_returns_the_same_bytes(signal in signals(), entropy in entropy()) {
        let input = Bytes::from(generate::request(&mut Dice(&entropy), signal, LEGAL));
        let input = admit(signal, input, &Limits::default()).expect("it is legal").bytes;
        let rewritten = rewrite(signal, &input, Levels::ALL, &mut |record| {
            assert!(!record.rewrite_strings(&mut |_| Rewrite::Keep));
            let range = record.source_range();
            assert_eq!(&input[range], record.bytes());
            Keep::Yes
        });
        prop_assert!(!rewritten.changed);
        prop_assert_eq!(rewritten.bytes.as_ptr(), input.as_ptr());
    }
}

#[test]
fn a_value_is_seen_with_the_keys_around_it() {
    use throughline_otlp::{Signal, Value, build};
    let inner = [("password", Value::Str("secret"))];
    let bytes = build::logs(|request| {
        request.resource(&[], |resource| {
            resource.scope("", "", |scope| {
                scope.log_record(|log| {
                    log.attribute("outer", Value::Map(&inner));
                })
            });
        });
    });
    let mut seen = Vec::new();
    rewrite(Signal::Logs, &bytes, Levels::LOG, &mut |record| {
        record.rewrite_strings(&mut |leaf| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            seen.push((text(leaf.bytes), leaf.key().map(text), leaf.keys.len(), leaf.field.name));
            Rewrite::Keep
        });
        Keep::Yes
    });
    let expected = [
        ("outer".to_owned(), None, 0, "key"),
        ("password".to_owned(), None, 1, "key"),
        ("secret".to_owned(), Some("password".to_owned()), 2, "string_value"),
    ];
    assert_eq!(seen, expected);
}
