//! Edits against decode, edit, encode.

use bytes::Bytes;
use proptest::prelude::*;
use throughline_otlp::edit::{Keep, Level, Levels, Record, rewrite};
use throughline_otlp::path::{Node, Path};
use throughline_otlp::view::AnyValue;
use throughline_otlp::{Limits, Signal, admit};

use crate::generate::{self, Dice, LEGAL};
use crate::ops::{self, Op, apply};
use crate::reference::canonical;
use crate::{entropy, signals};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn an_edit_equals_decode_edit_encode(
        signal in signals(),
        entropy in entropy(),
        chain in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        ops::check(signal, &entropy, &ops::roll_chain(&mut Dice(&chain)));
    }

    #[test]
    fn a_chain_fused_into_one_walk_equals_its_edits_one_by_one(
        signal in signals(),
        entropy in entropy(),
        chain in prop::collection::vec(any::<u8>(), 0..60),
        which in 0..3_usize,
    ) {
        let input = Bytes::from(generate::request(&mut Dice(&entropy), signal, LEGAL));
        let input = admit(signal, input, &Limits::default()).expect("it is legal").bytes;
        let mut dice = Dice(&chain);
        let chain: Vec<Op> = (0..5).map(|_| Op::roll(&mut dice)).collect();
        let levels = [Levels::RESOURCE, Levels::RECORDS, Levels::NESTED][which];
        let mut one_by_one = input.clone();
        for op in &chain {
            one_by_one = rewrite(signal, &one_by_one, levels, &mut |record| apply(op, record)).bytes;
        }
        let fused = rewrite(signal, &input, levels, &mut |record| {
            let kept = chain.iter().all(|op| apply(op, record) == Keep::Yes);
            if kept { Keep::Yes } else { Keep::No(7) }
        });
        prop_assert_eq!(fused.bytes, one_by_one);
    }

    /// One edit of records, and behind it one of what they consist of, as the planner fuses them.
    #[test]
    fn records_and_then_their_parts_in_one_walk_equal_two_walks(
        signal in signals(),
        entropy in entropy(),
        chain in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let input = Bytes::from(generate::request(&mut Dice(&entropy), signal, LEGAL));
        let input = admit(signal, input, &Limits::default()).expect("it is legal").bytes;
        let mut dice = Dice(&chain);
        let [of_records, of_parts] = [Op::roll(&mut dice), Op::roll(&mut dice)];
        let first = rewrite(signal, &input, Levels::RECORDS, &mut |record| apply(&of_records, record));
        let then = rewrite(signal, &first.bytes, Levels::NESTED, &mut |record| apply(&of_parts, record));
        let fused = rewrite(signal, &input, Levels::RECORDS | Levels::NESTED, &mut |record| {
            let is_part = record.level().parent().is_some();
            let kept = apply(if is_part { &of_parts } else { &of_records }, record);
            if kept == Keep::Yes { kept } else { Keep::No(if is_part { 8 } else { 7 }) }
        });
        prop_assert_eq!(&fused.bytes, &then.bytes);
        prop_assert_eq!(fused.dropped_items, first.dropped_items + then.dropped_items);
        let counted = |rewritten: &throughline_otlp::edit::Rewritten, cause: u32| -> u32 {
            rewritten.dropped.iter().filter(|(own, _)| *own == cause).map(|(_, count)| count).sum()
        };
        prop_assert_eq!(counted(&fused, 7), counted(&first, 7));
        prop_assert_eq!(counted(&fused, 8), counted(&then, 7), "a point that is dropped is an item");
    }

    /// Records write to what they belong to: the resource and the scope hold what the last of them wrote, and each sees what those
    /// before it wrote. Some groups are dropped on the way.
    #[test]
    fn what_is_written_from_below_stands_in_resource_and_scope(
        signal in signals(),
        entropy in entropy(),
        seed in any::<u64>(),
        parts in any::<bool>(),
    ) {
        let input = Bytes::from(generate::request(&mut Dice(&entropy), signal, LEGAL));
        let input = admit(signal, input, &Limits::default()).expect("it is legal").bytes;
        let path = |level: &str| Path::parse(&format!("{level}.attributes[\"n\"]")).expect("a path");
        let (of_resource, of_scope) = (path("resource"), path("scope"));
        let shown = |record: &Record<'_>, path: &Path| match record.get(path) {
            Some(Node::Value(AnyValue::Int(number))) => number,
            _ => -1,
        };
        let levels = Levels::RECORDS | if parts { Levels::NESTED } else { Levels::NONE };
        let drops = |number: i64| (seed >> (number % 61)) & 7 == 0;
        // A plain reading of the same: what each group holds when it is over.
        let (mut number, mut last) = (0, [-1; 2]);
        let rewritten = rewrite(signal, &input, levels | Levels::RESOURCE | Levels::SCOPE, &mut |record| {
            match record.level() {
                Level::Resource => {
                    last = [shown(record, &Path::parse("attributes[\"n\"]").expect("a path")), -1];
                    return if drops(number) { Keep::No(1) } else { Keep::Yes };
                }
                Level::Scope => {
                    last[1] = shown(record, &Path::parse("attributes[\"n\"]").expect("a path"));
                    return if drops(number + 1) { Keep::No(1) } else { Keep::Yes };
                }
                _ => {}
            }
            assert_eq!([shown(record, &of_resource), shown(record, &of_scope)], last);
            number += 1;
            if number % 3 != 0 {
                record.set(&of_resource, number).expect("it can be set");
                last[0] = number;
            }
            if number % 4 != 0 {
                record.set(&of_scope, number).expect("it can be set");
                last[1] = number;
            }
            // Its own edits are not disturbed by that.
            record.set_attribute("own", number);
            if drops(number + 2) { Keep::No(2) } else { Keep::Yes }
        });
        let again = admit(signal, rewritten.bytes.clone(), &Limits::default()).expect("it is legal");
        prop_assert!(!again.rewritten, "what is written is canonical");
        // Of what stayed, resource and scope have at least the number of the newest record below.
        let mut above = [-1; 2];
        rewrite(signal, &rewritten.bytes, Levels::ALL, &mut |record| {
            let own = shown(record, &Path::parse("attributes[\"n\"]").expect("a path"));
            match record.level() {
                Level::Resource => above = [own, -1],
                Level::Scope => above[1] = own,
                level => if let Some(AnyValue::Int(number)) = record.attributes().get("own").filter(|_| level != Level::Metric) {
                    if number % 3 != 0 { assert!(above[0] >= number, "{above:?} {number}"); }
                    if number % 4 != 0 { assert!(above[1] >= number, "{above:?} {number}"); }
                },
            }
            Keep::Yes
        });
    }

    #[test]
    fn unknown_fields_survive_an_edit_around_them(signal in signals(), entropy in entropy()) {
        let input = Bytes::from(generate::request(&mut Dice(&entropy), signal, LEGAL));
        let input = admit(signal, input, &Limits::default()).expect("it is legal").bytes;
        let there = rewrite(signal, &input, Levels::RECORDS, &mut |record| {
            record.insert_attribute("not there yet", "and gone again");
            Keep::Yes
        });
        let and_back = rewrite(signal, &there.bytes, Levels::RECORDS, &mut |record| {
            record.remove_attribute("not there yet");
            Keep::Yes
        });
        prop_assert_eq!(canonical(signal, &and_back.bytes), canonical(signal, &input));
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

#[test]
fn what_a_record_consists_of_sees_what_it_belongs_to() {
    use throughline_otlp::wire::{put_len, put_message};
    let mut input = Vec::new();
    put_message(&mut input, 1, |group| {
        put_message(group, 2, |scope| {
            put_message(scope, 2, |span| {
                put_message(span, 11, |_| {});
                put_message(span, 13, |link| put_len(link, 3, b"state"));
            });
        });
    });
    let text = |record: &Record<'_>, path: &str| match record.get(&Path::parse(path).expect("a path")) {
        Some(Node::Value(AnyValue::Str(text))) => text.to_owned(),
        other => format!("{other:?}"),
    };
    let mut seen = Vec::new();
    let rewritten = rewrite(Signal::Traces, &input.into(), Levels::ALL | Levels::NESTED, &mut |record| {
        match record.level() {
            Level::Resource | Level::Scope => {
                record.set_attribute("above", "1");
            }
            Level::Span => record.set(&Path::parse("name").expect("a path"), "s").expect("it has one"),
            level => {
                let path = format!(
                    "{}.attributes[\"above\"]",
                    if level == Level::Event { "resource" } else { "scope" }
                );
                seen.push((level, text(record, "span.name"), text(record, &path)));
                assert!(record.set(&Path::parse("span.name").expect("a path"), "x").is_err());
                record.set_attribute("own", "2");
                assert_eq!(record.attributes().get_str("own"), Some("2"));
            }
        }
        Keep::Yes
    });
    let one = |level| (level, "s".to_owned(), "1".to_owned());
    assert_eq!(seen, [one(Level::Event), one(Level::Link)]);
    assert!(rewritten.changed);
}
