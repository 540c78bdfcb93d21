//! Edits that both sides know, and the property that they agree on them. Shared with the fuzz targets.

use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use throughline_otlp::edit::{Keep, Level, Record, rewrite};
use throughline_otlp::{Limits, Signal, admit, view};

use crate::fields;
use crate::generate::{self, Dice, LEGAL};
use crate::groups::{self, any_value};
use crate::reference::Decoded;

/// An edit that both sides know.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Insert(String, Vec<u8>),
    Set(String, Vec<u8>),
    Remove(String),
    Rename(String, String),
    InsertIntoExemplars(String, Vec<u8>),
    DropWithout(String),
    /// A field by its path, by its number in [`fields`].
    SetField(usize),
}

impl Op {
    /// Some edit.
    pub(crate) fn roll(dice: &mut Dice<'_>) -> Self {
        const KEYS: [&str; 6] = ["", "a", "b", "k", "schlüssel", "new"];
        let key = KEYS[dice.below(6)].to_owned();
        match dice.below(7) {
            0 => Self::Insert(key, dice.bytes()),
            1 => Self::Set(key, dice.bytes()),
            2 => Self::Remove(key),
            3 => Self::Rename(key, KEYS[dice.below(6)].to_owned()),
            4 => Self::InsertIntoExemplars(key, dice.bytes()),
            5 => Self::DropWithout(key),
            _ => Self::SetField(dice.below(64)),
        }
    }
}

/// Some edits, each at some level.
pub(crate) fn roll_chain(dice: &mut Dice<'_>) -> Vec<(Level, Op)> {
    const LEVELS: [Level; 8] = [
        Level::Resource,
        Level::Scope,
        Level::Span,
        Level::Log,
        Level::Metric,
        Level::Event,
        Level::Link,
        Level::Point,
    ];
    (0..=dice.below(4)).map(|_| (LEVELS[dice.below(8)], Op::roll(dice))).collect()
}

/// Every edit of the chain equals decode, edit, encode; the outcome is canonical; an edit that changes nothing copies nothing.
pub(crate) fn check(signal: Signal, entropy: &[u8], chain: &[(Level, Op)]) {
    let input = Bytes::from(generate::request(&mut Dice(entropy), signal, LEGAL));
    let admitted = admit(signal, input, &Limits::default()).expect("it is legal");
    let mut expected = Decoded::decode(signal, &admitted.bytes).expect("it is legal");
    let mut bytes = admitted.bytes;
    let mut items = admitted.items;
    for (level, op) in chain {
        let rewritten = rewrite(signal, &bytes, (*level).into(), &mut |record| apply(op, record));
        apply_to_decoded(op, *level, &mut expected);
        if !rewritten.changed {
            assert_eq!(rewritten.bytes.as_ptr(), bytes.as_ptr());
        }
        bytes = rewritten.bytes;
        items -= rewritten.dropped_items;
    }
    let got = Decoded::decode(signal, &bytes).expect("what is written is legal");
    assert_eq!(format!("{got:?}"), format!("{expected:?}"));
    let again = admit(signal, bytes, &Limits::default()).expect("what is written is legal");
    assert!(!again.rewritten, "what is written is canonical");
    assert_eq!(again.items, items);
}

/// Our side of an edit.
pub(crate) fn apply(op: &Op, record: &mut Record<'_>) -> Keep {
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
        Op::SetField(choice) => fields::set(record, *choice),
        Op::DropWithout(key) => {
            // A metric has no attributes of its own.
            let list = record.as_metric().map_or_else(|| record.attributes(), view::Metric::metadata);
            return if list.get(key).is_some() { Keep::Yes } else { Keep::No(7) };
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
        Op::SetField(choice) => fields::set_decoded(decoded, level, *choice),
        Op::DropWithout(key) => groups::retain(decoded, level, &mut |list| position(list, key).is_some()),
    }
}
