//! Counting, joining and splitting.

use bytes::Bytes;
use proptest::prelude::*;
use throughline_otlp::{Limits, Signal, admit, batch};

use crate::generate::{self, Dice, LEGAL};
use crate::groups::items;
use crate::reference::Decoded;
use crate::{entropy, signals};

/// All items with resource, scope and the like, in an order of their own.
fn multiset(signal: Signal, requests: &[Bytes]) -> Vec<String> {
    let mut all: Vec<String> = requests
        .iter()
        .flat_map(|bytes| items(&Decoded::decode(signal, bytes).expect("it is legal")))
        .collect();
    all.sort();
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn splitting_and_joining_keep_every_item_with_what_it_belongs_to(
        signal in signals(),
        entropy in entropy(),
        max_items in 1u32..6,
    ) {
        let input = Bytes::from(generate::request(&mut Dice(&entropy), signal, LEGAL));
        let admitted = admit(signal, input, &Limits::default()).expect("it is legal");
        let whole = multiset(signal, std::slice::from_ref(&admitted.bytes));
        prop_assert_eq!(whole.len(), admitted.items as usize);

        let parts = batch::split(signal, &admitted.bytes, max_items);
        for (part, items) in &parts {
            prop_assert!(*items <= max_items);
            let again = admit(signal, part.clone(), &Limits::default()).expect("parts are legal");
            prop_assert!(!again.rewritten, "parts are canonical");
            prop_assert_eq!(again.items, *items);
        }
        if admitted.items <= max_items {
            prop_assert_eq!(parts.len(), 1);
            prop_assert_eq!(parts[0].0.as_ptr(), admitted.bytes.as_ptr());
        }
        let parts: Vec<Bytes> = parts.into_iter().map(|(part, _)| part).collect();
        prop_assert_eq!(&multiset(signal, &parts), &whole);
        prop_assert_eq!(&multiset(signal, &[batch::concat(parts)]), &whole);
    }
}
