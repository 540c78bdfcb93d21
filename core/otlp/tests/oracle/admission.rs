//! Admission against the reference.

use crate::generate::{self, Dice, LEGAL, Wildness};
use crate::reference::{Decoded, canonical};
use crate::{entropy, signals};
use bytes::Bytes;
use proptest::prelude::*;
use throughline_otlp::{Limits, Signal, admit, batch};

fn same(signal: Signal, left: &[u8], right: &[u8]) -> Result<(), TestCaseError> {
    let decoded = |bytes| format!("{:?}", Decoded::decode(signal, bytes).expect("legal protobuf"));
    prop_assert_eq!(decoded(left), decoded(right));
    prop_assert_eq!(canonical(signal, left), canonical(signal, right), "unknown fields differ");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_is_legal_is_admitted_and_means_the_same(signal in signals(), entropy in entropy()) {
        let input = Bytes::from(generate::request(&mut Dice(&entropy), signal, LEGAL));
        let admitted = admit(signal, input.clone(), &Limits::default()).expect("it is legal");
        prop_assert_eq!(admitted.rejected, 0);
        prop_assert_eq!(admitted.items, batch::count(signal, &admitted.bytes));
        same(signal, &input, &admitted.bytes)?;
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
        let ours = admit(signal, input.clone().into(), &Limits::default());
        match (Decoded::decode(signal, &input), ours) {
            (Ok(_), Ok(admitted)) => same(signal, &input, &admitted.bytes)?,
            (Err(_), Err(malformed)) => prop_assert!(malformed.at <= input.len()),
            // Where prost refuses a request for its text, we cut out what the text is in.
            (Err(refused), Ok(_)) => prop_assert!(refused.to_string().contains("UTF-8"), "{refused}"),
            (Ok(_), Err(malformed)) => prop_assert!(false, "{malformed}"),
        }
    }
}
