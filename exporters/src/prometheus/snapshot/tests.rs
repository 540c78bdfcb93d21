use throughline_component::port::SystemClock;

use super::super::registry::{Head, RegistryLimits};
use super::*;

const ROOM: RegistryLimits = RegistryLimits { series: 10, bytes: 1 << 20, page: 1 << 20 };

/// A clock whose two hands are set by hand.
#[derive(Debug)]
struct Hands {
    monotonic: u64,
    unix: u64,
}

impl Clock for Hands {
    fn monotonic_nanos(&self) -> u64 {
        self.monotonic
    }
    fn unix_nanos(&self) -> u64 {
        self.unix
    }
}

fn state(monotonic: u64, unix: u64) -> State {
    State::new(Arc::new(Hands { monotonic, unix }))
}

fn full() -> State {
    let mut state = state(1_000, 1_000_000);
    let label = |value: &str| vec![("größe.k".to_owned(), value.to_owned())];
    let samples = [
        (Kind::Counter, Sample::Number(f64::INFINITY)),
        (Kind::Gauge, Sample::Number(-0.5)),
        (Kind::Age, Sample::Since(77)),
        (Kind::Info, Sample::Number(1.0)),
        (
            Kind::Histogram,
            Sample::Histogram { buckets: vec![(0.5, 1), (f64::INFINITY, 3)], sum: None, count: 3 },
        ),
        (Kind::Summary, Sample::Summary { quantiles: vec![(0.99, 2.5)], sum: 4.0, count: 2 }),
    ];
    for (at, (kind, value)) in samples.into_iter().enumerate() {
        let exemplar = Exemplar { labels: label("é"), value: 2.0, time: 9 };
        let series = Series { value, time: at as u64, exemplars: vec![exemplar], updated: 900 };
        let head = Head { name: format!("m.ü {at}"), kind, help: "what it is".into() };
        let put = state.registry.put(&head, label("1"), series, &ROOM);
        assert_eq!(put, Ok(()));
    }
    state.taken.insert(1, 5);
    state
}

#[test]
fn a_registry_is_read_as_it_was_written() {
    let (before, mut after) = (full(), state(1_000, 1_000_000));
    after.replay(&before.snapshot()).expect("our own");
    assert_eq!(after.registry.families, before.registry.families);
    assert_eq!(after.registry.size, before.registry.size, "what was read is charged as what was taken");
    assert_eq!(after.taken, BTreeMap::from([(1, 5)]));
    assert_eq!(after.synced, after.taken, "what was read is on the disk");
}

#[test]
fn a_series_is_as_old_after_a_restart_as_the_time_of_day_says() {
    // A new process, whose monotonic clock has only just begun, 50 ns later.
    let (before, mut after) = (full(), state(10, 1_000_050));
    after.replay(&before.snapshot()).expect("our own");
    let updated: Vec<_> =
        after.registry.families.values().flat_map(|f| f.series.values()).map(|s| s.updated).collect();
    assert_eq!(updated, [10 - 150; 6], "100 ns old then, 150 now");
}

#[test]
fn what_was_taken_is_not_taken_again() {
    let state = full();
    let has = |stream, sequence| state.has(Position { stream, sequence });
    assert!(has(1, 5) && has(1, 4));
    assert!(!has(1, 6));
    assert!(!has(2, 1), "each stream has its own numbers");
}

#[test]
fn a_snapshot_that_is_cut_off_anywhere_is_not_believed() {
    let whole = full().snapshot();
    for end in 0..whole.len() {
        let mut state = State::new(Arc::new(SystemClock::default()));
        assert!(state.replay(&whole[..end]).is_err(), "cut at {end}");
        assert_eq!((state.registry, state.taken), (Registry::default(), BTreeMap::new()), "cut at {end}");
    }
}
