//! JSON stays JSON, whatever is masked in it.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::Value;
use throughline_redaction::{Counts, Scanner, Settings, TagKey};

fn scanner() -> &'static Scanner {
    static SCANNER: LazyLock<Scanner> =
        LazyLock::new(|| Scanner::new(&Settings::default(), TagKey::new(&[7; 32])));
    &SCANNER
}

fn mask(text: &str) -> Option<String> {
    let masked = scanner().mask(text.as_bytes(), &mut Counts::default())?;
    Some(String::from_utf8(masked).expect("text stays text"))
}

/// With every tag as zeros.
fn untagged(masked: &str) -> String {
    let mut parts = masked.split("[REDACTED:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let (rule, rest) = part.split_once(':').expect("a rule");
        format!("{text}[{rule}]{}", &rest[17..])
    })
}

#[test]
fn numbers_get_quotes_and_lists_and_objects_keep_their_shape() {
    for (text, expected) in [
        (r#"{"password": 123456}"#, r#"{"password": "[pair]"}"#),
        (r#"{"password":-1.5e3,"x":1}"#, r#"{"password":"[pair]","x":1}"#),
        (r#"{"password":null,"token":true,"secret":""}"#, r#"{"password":null,"token":true,"secret":""}"#),
        (
            r#"{"credentials":{"user":"bot","n":[1,"z9"]},"y":2}"#,
            r#"{"credentials":{"user":"[pair]","n":["[pair]","[pair]"]},"y":2}"#,
        ),
        (r#"{"password":{}}"#, r#"{"password":{}}"#),
        (r#"{"password":"a\\","x":"y"}"#, r#"{"password":"[pair]","x":"y"}"#),
        (r#"{"password":"a\"b","x":"y"}"#, r#"{"password":"[pair]","x":"y"}"#),
        (
            r#"["--password","hunter2","--token", "hunter3"]"#,
            r#"["--password","[pair]","--token", "[pair]"]"#,
        ),
        ("[\"--password\",\n\"hunter2\"]", "[\"--password\",\n\"[pair]\"]"),
        (r#"["--password",1,"--token"]"#, r#"["--password",1,"--token"]"#),
        (r#"["token=","hunter2"]"#, r#"["token=","hunter2"]"#),
        (r#"{"log":"x {\"password\":123,\"y\":1}"}"#, r#"{"log":"x {\"password\":\"[pair]\",\"y\":1}"}"#),
        (r#"{"a":"-----BEGIN PRIVATE KEY-----\nMII"}"#, r#"{"a":"[pem]"}"#),
        (r#"x {"password": 123456} y"#, r#"x {"password": "[pair]"} y"#),
        (r#"{'password': 123456, 'x': 1}"#, r#"{'password': '[pair]', 'x': 1}"#),
        ("{\"password\":1}\n{\"password\":2}", "{\"password\":\"[pair]\"}\n{\"password\":\"[pair]\"}"),
    ] {
        let masked = mask(text).unwrap_or_else(|| text.to_owned());
        assert_eq!(untagged(&masked), expected, "{text}");
        assert_eq!(mask(&masked), None, "{masked}");
    }
}

/// Texts that are found, that end what is found, and that look like both.
fn piece() -> impl Strategy<Value = String> {
    let pieces = [
        "password",
        "token=",
        "api_key: ",
        "--password ",
        "Authorization: Bearer ",
        "cookie",
        "pwd",
        "secret",
        "PWD=",
        "credentials",
        "https://u:",
        "@host/x",
        "@tcp(",
        "a1B2c3D4e5F6g7H8j9K0",
        "ghp_a1B2c3D4e5F6g7H8j9K0a1B2c3D4e5F6g7H8j9K0",
        "eyJhbGciOiJIUzI1NiJ9",
        ".eyJzdWIiOiIxIn0.",
        "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----",
        "hooks.slack.com/",
        "/services/T/B/",
        "sig=",
        "\\",
        "\"",
        "'",
        "`",
        "/",
        "\n",
        "\t",
        "\u{1b}[31m",
        "&",
        "<",
        ">",
        "=",
        ":",
        ": ",
        ",",
        ";",
        "{",
        "}",
        "[",
        "]",
        " ",
        "ü",
        "\u{2028}",
        "n",
        "u0026",
        "${",
        "[REDACTED:pair:0123456789abcdef]",
        "hunter2",
        "123456789",
        "Basic ",
        "dXNlcjpodW50ZXIy",
        "xoxd-",
        "%26",
        "null",
        "AKIA",
    ];
    prop_oneof![6 => prop::sample::select(pieces.to_vec()).prop_map(str::to_owned), 1 => ".{0,3}"]
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(piece(), 0..7).prop_map(|pieces| pieces.concat())
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        6 => text().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => Just(Value::Bool(true)),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(4, 24, 5, |inside| {
        prop_oneof![
            2 => prop::collection::vec((text(), inside.clone()), 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            1 => prop::collection::vec(inside.clone(), 0..5).prop_map(Value::from),
            1 => inside.prop_map(|inside| Value::from(inside.to_string())),
        ]
    })
}

/// One way of writing it: as PHP escapes slashes, as Go escapes marks, as Python escapes all but ASCII, with blanks or without.
fn written(value: &Value, style: u8) -> String {
    let mut text = if style & 1 == 0 { value.to_string() } else { format!("{value:#}") };
    if style & 2 != 0 {
        text = text.replace('/', "\\/");
    }
    if style & 4 != 0 {
        text = text.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e");
    }
    if style & 8 != 0 {
        let spell = |c: char| {
            if c.is_ascii() {
                c.to_string()
            } else {
                c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
            }
        };
        text = text.chars().map(spell).collect();
    }
    text
}

proptest! {
    #[test]
    fn json_stays_json_and_is_masked_once(value in value(), style in 0_u8..16) {
        let text = written(&value, style);
        prop_assert!(serde_json::from_str::<Value>(&text).is_ok(), "the generator wrote {}", text);
        if let Some(masked) = mask(&text) {
            prop_assert!(serde_json::from_str::<Value>(&masked).is_ok(), "{} became {}", text, masked);
            prop_assert_eq!(mask(&masked), None, "{}", masked);
        }
    }

    #[test]
    fn text_around_json_is_masked_once_too(before in text(), value in value(), behind in text(), style in 0_u8..16) {
        if let Some(masked) = mask(&format!("{before}{}{behind}", written(&value, style))) {
            prop_assert_eq!(mask(&masked), None, "{}", masked);
        }
    }
}
