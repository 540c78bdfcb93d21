//! Acknowledged data outlives crashes (invariant 4), and every sync is needed for that.

use proptest::prelude::*;
use throughline_component::port::SyncSite;
use throughline_queue::sites;
use throughline_testkit::{Fault, Rng};

use crate::harness::{Action, Harness, Kind};
use crate::scale::of;

fn run(seed: u64, skip: Option<SyncSite>) -> Result<(), String> {
    let mut rng = Rng::new(seed);
    let actions: Vec<Action> = (0..150).map(|_| Action::random(&mut rng)).collect();
    Harness::new(skip).run(&actions)
}

#[test]
fn what_was_acknowledged_is_there_after_any_crash() {
    for seed in 0..of(600) {
        run(seed, None).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

#[test]
fn leaving_out_any_one_sync_loses_data() {
    for site in sites::ALL.into_iter().filter(|site| *site != sites::CURSOR_DATA) {
        let caught = (0..2000).find_map(|seed| run(seed, Some(site)).err().map(|error| (seed, error)));
        let (seed, error) =
            caught.unwrap_or_else(|| panic!("nothing is lost without {site:?}: why sync there?"));
        println!("{site:?} left out: seed {seed}: {error}");
    }
}

#[test]
fn leaving_out_the_sync_of_cursors_loses_nothing() {
    // It keeps deliveries from being repeated after a loss of power.
    for seed in 0..of(300) {
        run(seed, Some(sites::CURSOR_DATA)).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

#[test]
fn every_site_is_reached_in_a_sound_run() {
    let mut reached = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let harness = Harness::new(None);
        let disk = harness.disk.clone();
        let mut rng = Rng::new(seed);
        let actions: Vec<Action> = (0..150).map(|_| Action::random(&mut rng)).collect();
        harness.run(&actions).expect("see above");
        reached.extend(disk.syncs().into_keys());
    }
    assert_eq!(reached, sites::ALL.into_iter().collect());
}

fn action() -> impl Strategy<Value = Action> {
    let index = any::<u16>().prop_map(usize::from);
    prop_oneof![
        8 => (0..2_usize, 0..200_usize).prop_map(|(stream, size)| Action::Append { stream, size }),
        2 => Just(Action::Entry),
        1 => Just(Action::Compact),
        6 => Just(Action::Turn),
        4 => (0..2_usize, 0..2_usize).prop_map(|(stream, destination)| Action::Read { stream, destination }),
        4 => index.clone().prop_map(|which| Action::Ack { which }),
        1 => index.clone().prop_map(|which| Action::Return { which }),
        2 => index.clone().prop_map(|which| Action::SetAside { which }),
        1 => (0..2_usize, 0..2_usize).prop_map(|(stream, destination)| Action::LookAgain { stream, destination }),
        1 => (0..8_u32).prop_map(|at| Action::Fail(Fault::SyncFailsAfter(at))),
        1 => (0..8_u32).prop_map(|at| Action::Fail(Fault::FullAfter(at))),
        1 => (0..30_u32).prop_map(|at| Action::Fail(Fault::DeadAfter(at))),
        1 => Just(Action::Heal),
        1 => Just(Action::Crash(Kind::Kill, 0)),
        1 => Just(Action::Crash(Kind::Blackout, 0)),
        1 => any::<u64>().prop_map(|seed| Action::Crash(Kind::Torn, seed)),
    ]
}

fn flip() -> impl Strategy<Value = Action> {
    (any::<u16>(), any::<u16>(), 0..8_u8).prop_map(|(file, byte, bit)| Action::Flip {
        file: usize::from(file),
        byte: usize::from(byte),
        bit,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: u32::try_from(of(300)).unwrap_or(300), ..ProptestConfig::default() })]

    #[test]
    fn any_course_of_events_keeps_what_was_acknowledged(actions in prop::collection::vec(action(), 1..120)) {
        prop_assert_eq!(Harness::new(None).run(&actions), Ok(()));
    }

    #[test]
    fn a_flipped_bit_costs_one_record_at_most_and_stalls_nobody(
        actions in prop::collection::vec(prop_oneof![20 => action(), 1 => flip()], 1..120),
    ) {
        prop_assert_eq!(Harness::new(None).run(&actions), Ok(()));
    }
}
