//! Admission against the reference.

use crate::generate::{self, Dice, LEGAL, Wildness};
use crate::reference::{self, Decoded};
use crate::{entropy, signals};
use bytes::Bytes;
use proptest::prelude::*;
use throughline_otlp::wire::{put_len, put_message};
use throughline_otlp::{Limits, Signal, admit, batch};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_is_legal_is_admitted_and_means_the_same(signal in signals(), entropy in entropy()) {
        let input = Bytes::from(generate::request(&mut Dice(&entropy), signal, LEGAL));
        let admitted = admit(signal, input.clone(), &Limits::default()).expect("it is legal");
        prop_assert_eq!(admitted.rejected, 0);
        prop_assert_eq!(admitted.items, batch::count(signal, &admitted.bytes));
        reference::assert_same(signal, &input, &admitted.bytes);
        if !admitted.rewritten {
            prop_assert_eq!(admitted.bytes.as_ptr(), input.as_ptr());
        }
    }

    #[test]
    fn what_was_admitted_is_admitted_as_it_is(signal in signals(), entropy in entropy()) {
        let input = Bytes::from(generate::request(&mut Dice(&entropy), signal, Wildness { broken_text: 9 }));
        let first = admit(signal, input, &Limits::default()).expect("it is legal but for its texts");
        let again = admit(signal, first.bytes.clone(), &Limits::default()).expect("it was admitted");
        prop_assert!(!again.rewritten);
        prop_assert_eq!(again.bytes.as_ptr(), first.bytes.as_ptr());
        prop_assert_eq!((again.items, again.rejected), (first.items, 0));
        prop_assert_eq!(first.rejected > 0, first.why.is_some() && first.rejected > 0);
        Decoded::decode(signal, &first.bytes).expect("no damage is left");
    }

    #[test]
    fn bytes_are_admitted_exactly_if_prost_decodes_them(
        signal in signals(),
        entropy in entropy(),
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<Option<prop::sample::Index>>(),
    ) {
        let mut input = generate::request(&mut Dice(&entropy), signal, LEGAL);
        for (index, byte) in mutations {
            if !input.is_empty() {
                let at = index.index(input.len());
                input[at] = byte;
            }
        }
        if let Some(cut) = cut {
            input.truncate(cut.index(input.len() + 1));
        }
        reference::check_admission(signal, &input);
    }
}

#[test]
fn what_is_broken_is_said_in_words_with_its_place() {
    // ResourceSpans { ScopeSpans { Span { name: 93 bytes, of which one is there } } }
    let bytes = [0x0a, 7, 0x12, 5, 0x12, 3, 0x2a, 93, b'x'];
    let malformed = admit(Signal::Traces, Bytes::copy_from_slice(&bytes), &Limits::default()).unwrap_err();
    assert_eq!(malformed.at, 6);
    assert_eq!(
        malformed.to_string(),
        "field `name` of Span at byte 6: length 93 runs past the end of its message"
    );
}

#[test]
fn an_empty_request_is_fine() {
    for signal in Signal::ALL {
        let admitted = admit(signal, Bytes::new(), &Limits::default()).expect("it is legal");
        assert_eq!((admitted.items, admitted.rewritten), (0, false));
    }
}

#[test]
fn nesting_is_admitted_up_to_the_limit_and_no_deeper() {
    // Request, ResourceSpans, Resource, KeyValue, AnyValue are levels 0 to 4; every list adds two.
    let nested = |lists: usize| {
        let mut value = Vec::new();
        for _ in 0..lists {
            let inner = std::mem::take(&mut value);
            put_message(&mut value, 5, |out| put_message(out, 1, |out| out.extend_from_slice(&inner)));
        }
        let mut out = Vec::new();
        put_message(&mut out, 1, |out| {
            put_message(out, 1, |out| {
                put_message(out, 1, |out| put_message(out, 2, |out| out.extend_from_slice(&value)))
            });
        });
        Bytes::from(out)
    };
    let limits = Limits { depth: 10 };
    assert!(admit(Signal::Traces, nested(3), &limits).is_ok());
    let refused = admit(Signal::Traces, nested(4), &limits).unwrap_err();
    assert!(refused.to_string().contains("nested too deep"), "{refused}");
    assert!(
        admit(Signal::Traces, nested(20_000), &Limits { depth: u32::MAX }).is_err(),
        "whatever one asks for"
    );
}

#[test]
fn damaged_text_cuts_its_record_and_above_it_all_that_is_below() {
    let request = |record: &[u8], scope: &[u8], resource: &[u8]| {
        let mut out = Vec::new();
        put_message(&mut out, 1, |out| {
            put_message(out, 1, |out| put_message(out, 1, |out| put_len(out, 1, resource)));
            for name in [scope, b"sound"] {
                put_message(out, 2, |out| {
                    put_message(out, 1, |out| put_len(out, 1, name));
                    put_message(out, 2, |out| put_len(out, 5, record));
                    put_message(out, 2, |out| put_len(out, 5, b"sound"));
                });
            }
        });
        admit(Signal::Traces, out.into(), &Limits::default()).expect("its framing is legal")
    };
    let cases = [
        (request(b"\xff", b"ok", b"ok"), 2, 2, "field `name` of Span is not valid UTF-8"),
        (request(b"ok", b"\xff", b"ok"), 2, 2, "field `name` of InstrumentationScope is not valid UTF-8"),
        (request(b"ok", b"ok", b"\xff"), 0, 4, "field `key` of KeyValue is not valid UTF-8"),
    ];
    for (admitted, items, rejected, why) in cases {
        assert_eq!((admitted.items, admitted.rejected), (items, rejected), "{why}");
        assert_eq!(admitted.why.as_deref(), Some(why));
    }
}
