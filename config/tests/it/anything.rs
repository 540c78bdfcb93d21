//! What holds for any input.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use throughline_config::{Format, Input, load};

use crate::common::*;

/// Any tree, as JSON, with the texts that are hard to print.
fn tree() -> impl Strategy<Value = Json> {
    let text = prop_oneof![
        "[ -~]{0,8}",
        any::<String>(),
        prop::sample::select(vec![
            "null", "010", "~", "yes", "${env:X}", "$$", "- a", "a: b", "#", "1.0", "<<", "...", "---"
        ])
        .prop_map(str::to_owned),
    ];
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        (-1e9..1e9).prop_map(Json::from),
        text.prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Json::from),
            // A key path would be split, and `<<` merges.
            btree_map("[^:<]{0,6}", inner, 0..4).prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}

/// Maps of maps down to numbers at a fixed depth, so that a map never meets a number.
fn maps() -> impl Strategy<Value = Json> {
    btree_map("[ab]", btree_map("[cd]", 0..9u8, 0..3), 0..3).prop_map(|map| json!(map))
}

/// JSON as JSON text, `$` doubled so that it stays what it is, key order kept.
fn written(tree: &Json) -> String {
    match tree {
        Json::String(text) => Json::String(text.replace('$', "$$")).to_string(),
        Json::Array(items) => format!("[{}]", items.iter().map(written).collect::<Vec<_>>().join(", ")),
        Json::Object(map) => {
            let pair =
                |(key, value): (&String, &Json)| format!("{}: {}", Json::from(key.as_str()), written(value));
            format!("{{{}}}", map.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

fn merge(texts: &[String]) -> String {
    let inputs: Vec<_> = texts.iter().cloned().map(Input::Yaml).collect();
    let document = load(&inputs, &[], &MemorySources::default()).expect("well-formed");
    // The same keys in another order are the same map.
    let json = document.print(&catalog(), None, Format::Json);
    serde_json::from_str::<Json>(&json).expect("JSON").to_string()
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        check(MemorySources::default().file("a.yaml", bytes));
    }

    #[test]
    fn arbitrary_yaml_like_text_never_panics(text in "[-a-c:{}\\[\\],\"'&*!|>%@`?<$# \\n\\t0-9.~]{0,120}") {
        check(MemorySources::default().file("a.yaml", text));
    }

    #[test]
    fn arbitrary_settings_never_panic(tree in tree(), set in "[a-z:.=$\\{\\}]{0,20}") {
        let text = format!("receivers: {{otlp: {0}}}\nexporters: {{otlp_grpc: {0}, prometheus: {{timeout: {0}}}}}\nservice: {0}\n", written(&tree));
        check(yaml(&text).var("X", &written(&tree)));
        check(yaml(&format!("exporters: {{otlp_grpc: \"${{X}}\"}}\n{set}: 1\n")).var("X", &written(&tree)));
        let _ = yaml("a: 1").load(&[&set]);
    }

    #[test]
    fn what_is_printed_loads_back_as_the_same(tree in tree()) {
        let world = yaml(&format!("x: {}\n", written(&tree)));
        let Ok(document) = world.load(&[]) else { return Err(TestCaseError::reject("not a YAML text")) };
        for format in [Format::Yaml, Format::Json] {
            let printed = document.print(&catalog(), None, format);
            let again = yaml(&printed).load(&[]).map_err(|errors| TestCaseError::fail(format!("{errors}\n{printed}")))?;
            prop_assert_eq!(again.root(), document.root(), "{}", printed);
        }
    }

    #[test]
    fn merging_maps_is_associative(a in maps(), b in maps(), c in maps()) {
        let [a, b, c] = [a, b, c].map(|map| map.to_string());
        let left = merge(&[merge(&[a.clone(), b.clone()]), c.clone()]);
        let right = merge(&[a, merge(&[b, c])]);
        prop_assert_eq!(left, right);
    }
}

fn check(world: MemorySources) {
    if let Ok(document) = world.load(&[]) {
        let checked = document.check(&catalog());
        assert_eq!(checked.settings.is_none(), !checked.errors.is_empty());
        let _ = document.print(&catalog(), None, Format::Yaml);
    }
}
