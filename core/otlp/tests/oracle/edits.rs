//! Edits against decode, edit, encode.

use bytes::Bytes;
use proptest::prelude::*;
use throughline_otlp::edit::{Keep, Level, Levels, rewrite};
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
        resources in any::<bool>(),
    ) {
        let input = Bytes::from(generate::request(&mut Dice(&entropy), signal, LEGAL));
        let input = admit(signal, input, &Limits::default()).expect("it is legal").bytes;
        let mut dice = Dice(&chain);
        let chain: Vec<Op> = (0..5).map(|_| Op::roll(&mut dice)).collect();
        let levels = if resources { Levels::RESOURCE } else { Levels::RECORDS };
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
