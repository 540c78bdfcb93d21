//! Long histories: streams and destinations that come and go, quotas, full disks, damage to any file, clocks that jump.

mod harness;
mod oracle;

use std::collections::BTreeMap;

use throughline_testkit::Rng;

use crate::scale::{is_small, of};
use harness::Harness;

#[test]
fn any_history_keeps_what_was_promised_or_says_that_it_did_not() {
    let mut reached: BTreeMap<&str, usize> = BTreeMap::new();
    // A soak has more time: `HISTORIES=100000 HISTORIES_FROM=400 cargo test -p throughline-queue history`.
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse().ok());
    let from: u64 = number("HISTORIES_FROM").unwrap_or(0);
    for seed in from..from + number("HISTORIES").unwrap_or(of(400)) {
        let mut harness = Harness::new(seed);
        let mut rng = Rng::new(seed);
        let steps = 60 + rng.below(200);
        let lived = (0..steps).try_for_each(|_| harness.step(&mut rng)).and_then(|()| harness.end());
        lived.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        for (state, times) in harness.reached {
            *reached.entry(state).or_default() += times;
        }
    }
    println!("{reached:?}");
    for state in STATES.iter().filter(|_| !is_small()) {
        assert!(
            reached.get(*state).is_some_and(|times| *times >= 10),
            "{state} is hardly reached: {reached:?}"
        );
    }
}

/// What histories must come through.
const STATES: [&str; 24] = [
    "a record was dropped",
    "adjusted",
    "an orphan expired",
    "appended",
    "crashed",
    "cursors compacted",
    "cursors lost",
    "cursors of before put back",
    "delivered",
    "destination left",
    "destination renamed",
    "disk full",
    "given back",
    "journal forgotten",
    "looked again",
    "set aside",
    "segment cut, zeroed or removed",
    "segment missing",
    "manifest damaged",
    "opened on a full disk",
    "refused",
    "segment removed while a cursor is behind it",
    "started without a stream",
    "sync failed",
];
