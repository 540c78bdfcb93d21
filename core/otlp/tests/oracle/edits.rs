//! Edits against decode, edit, encode.

use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use proptest::prelude::*;
use throughline_otlp::edit::{Keep, Level, Levels, Record, rewrite};
use throughline_otlp::{Limits, Signal, admit};

use crate::generate::{self, Dice, LEGAL};
use crate::groups::{self, any_value};
use crate::reference::Decoded;
use crate::{entropy, signals};

/// An edit that both sides know.
#[derive(Clone, Debug)]
enum Op {
    Insert(String, Vec<u8>),
    Set(String, Vec<u8>),
    Remove(String),
    Rename(String, String),
    InsertIntoExemplars(String, Vec<u8>),
    DropWithout(String),
}

fn keys() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "a", "b", "k", "schlüssel", "new"]).prop_map(str::to_owned)
}

fn ops() -> impl Strategy<Value = Op> {
    let value = || prop::collection::vec(any::<u8>(), 0..12);
    prop_oneof![
        (keys(), value()).prop_map(|(key, value)| Op::Insert(key, value)),
        (keys(), value()).prop_map(|(key, value)| Op::Set(key, value)),
        keys().prop_map(Op::Remove),
        (keys(), keys()).prop_map(|(from, to)| Op::Rename(from, to)),
        (keys(), value()).prop_map(|(key, value)| Op::InsertIntoExemplars(key, value)),
        keys().prop_map(Op::DropWithout),
    ]
}

fn levels() -> impl Strategy<Value = Level> {
    prop::sample::select(vec![Level::Resource, Level::Scope, Level::Span, Level::Log, Level::Metric])
}

/// Our side of an edit.
fn apply(op: &Op, record: &mut Record<'_>) -> Keep {
    match op {
        Op::Insert(key, value) => {
            any_value::with(value, |value| record.insert_attribute(key, value));
        }
        Op::Set(key, value) => any_value::with(value, |value| record.set_attribute(key, value)),
        Op::Remove(key) => {
            record.remove_attribute(key);
        }
        Op::Rename(from, to) => {
            record.rename_attribute(from, to);
        }
        Op::InsertIntoExemplars(key, value) => {
            any_value::with(value, |value| record.insert_exemplar_attribute(key, value));
        }
        Op::DropWithout(key) => {
            let has = record.attributes().get(key).is_some();
            return if has || record.level() == Level::Metric { Keep::Yes } else { Keep::No };
        }
    }
    Keep::Yes
}

/// The reference's side of it.
fn apply_to_decoded(op: &Op, level: Level, decoded: &mut Decoded) {
    let position = |list: &[KeyValue], key: &str| list.iter().position(|pair| pair.key == key);
    match op {
        Op::Insert(key, value) => groups::each_list(decoded, level, &mut |list| {
            if position(list, key).is_none() {
                list.push(any_value::pair(key, value));
            }
        }),
        Op::Set(key, value) => groups::each_list(decoded, level, &mut |list| {
            let new = any_value::pair(key, value);
            match position(list, key) {
                Some(at) => list[at].value = new.value,
                None => list.push(new),
            }
        }),
        Op::Remove(key) => {
            groups::each_list(decoded, level, &mut |list| list.retain(|pair| pair.key != *key))
        }
        Op::Rename(from, to) => groups::each_list(decoded, level, &mut |list| {
            if position(list, to).is_none() {
                list.iter_mut().filter(|pair| pair.key == *from).for_each(|pair| pair.key.clone_from(to));
            }
        }),
        Op::InsertIntoExemplars(key, value) => groups::each_exemplar(decoded, level, &mut |list| {
            if position(list, key).is_none() {
                list.push(any_value::pair(key, value));
            }
        }),
        Op::DropWithout(key) => groups::retain(decoded, level, &mut |list| position(list, key).is_some()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn an_edit_equals_decode_edit_encode(
        signal in signals(),
        entropy in entropy(),
        chain in prop::collection::vec((levels(), ops()), 1..4),
    ) {
        let input = Bytes::from(generate::request(&mut Dice(&entropy), signal, LEGAL));
        let admitted = admit(signal, input, &Limits::default()).expect("it is legal");
        let mut expected = Decoded::decode(signal, &admitted.bytes).expect("it is legal");
        let mut bytes = admitted.bytes.clone();
        let mut items = admitted.items;
        for (level, op) in &chain {
            let rewritten = rewrite(signal, &bytes, (*level).into(), &mut |record| apply(op, record));
            apply_to_decoded(op, *level, &mut expected);
            if !rewritten.changed {
                prop_assert_eq!(rewritten.bytes.as_ptr(), bytes.as_ptr());
            }
            bytes = rewritten.bytes;
            items -= rewritten.dropped_items;
        }
        let got = Decoded::decode(signal, &bytes).expect("what is written is legal");
        prop_assert_eq!(format!("{got:?}"), format!("{expected:?}"));
        let again = admit(signal, bytes, &Limits::default()).expect("what is written is legal");
        prop_assert!(!again.rewritten, "what is written is tidy");
        prop_assert_eq!(again.items, items);
    }

    #[test]
    fn a_chain_fused_into_one_walk_equals_its_edits_one_by_one(
        signal in signals(),
        entropy in entropy(),
        chain in prop::collection::vec(ops(), 1..6),
        resources in any::<bool>(),
    ) {
        let input = Bytes::from(generate::request(&mut Dice(&entropy), signal, LEGAL));
        let input = admit(signal, input, &Limits::default()).expect("it is legal").bytes;
        let levels = if resources { Levels::RESOURCE } else { Levels::RECORDS };
        let mut one_by_one = input.clone();
        for op in &chain {
            one_by_one = rewrite(signal, &one_by_one, levels, &mut |record| apply(op, record)).bytes;
        }
        let fused = rewrite(signal, &input, levels, &mut |record| {
            let kept = chain.iter().all(|op| apply(op, record) == Keep::Yes);
            if kept { Keep::Yes } else { Keep::No }
        });
        prop_assert_eq!(fused.bytes, one_by_one);
    }
}

#[test]
fn resource_and_scope_show_what_was_written_to_them_before() {
    use throughline_otlp::wire::put_message;
    let mut input = Vec::new();
    put_message(&mut input, 1, |group| put_message(group, 2, |scope| put_message(scope, 2, |_| {})));
    let mut seen = 0;
    rewrite(Signal::Logs, &input.into(), Levels::ALL, &mut |record| {
        match record.level() {
            Level::Resource => assert!(record.insert_attribute("r", "1")),
            Level::Scope => assert!(record.insert_attribute("s", "2")),
            _ => {
                assert!(record.insert_attribute("l", "3"));
                assert_eq!(record.resource().attributes().get_str("r"), Some("1"));
                assert_eq!(record.scope().attributes().get_str("s"), Some("2"));
                assert_eq!(record.attributes().get_str("l"), Some("3"));
                seen += 1;
            }
        }
        Keep::Yes
    });
    assert_eq!(seen, 1);
}
