use proptest::prelude::*;

use super::super::series::{Exemplar, Sample};
use super::*;

const ROOM: RegistryLimits = RegistryLimits { series: 10, bytes: 8_000, page: 8_000 };

fn head(name: String, kind: Kind) -> Head {
    Head { name, kind, help: "what it is".into() }
}

fn series(buckets: usize, exemplars: usize, time: u64, updated: i64) -> Series {
    let value = match buckets {
        0 => Sample::Number(1.0),
        _ => Sample::Histogram { buckets: vec![(1.0, 1); buckets], sum: None, count: 1 },
    };
    let exemplar = || Exemplar { labels: vec![("k".into(), "v".into())], value: 1.0, time };
    Series { value, time, exemplars: (0..exemplars).map(|_| exemplar()).collect(), updated }
}

#[derive(Clone, Debug)]
enum Step {
    Put { name: u8, label: usize, buckets: usize, exemplars: usize, time: u64 },
    Remove { name: u8, label: usize },
    Expire { before: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    let put = (0..4_u8, 0..6_usize, 0..20_usize, 0..3_usize, 0..3_u64);
    prop_oneof![
        8 => put.prop_map(|(name, label, buckets, exemplars, time)| Step::Put { name, label, buckets, exemplars, time }),
        2 => (0..4_u8, 0..6_usize).prop_map(|(name, label)| Step::Remove { name, label }),
        1 => (0..60_i64).prop_map(|before| Step::Expire { before }),
    ]
}

fn labels_of(label: usize) -> Labels {
    vec![("größe".into(), "x\"".repeat(label * label * 10))]
}

proptest! {
    #[test]
    fn what_is_charged_is_what_is_there_and_never_more_than_may_be(steps in prop::collection::vec(step(), 1..60)) {
        let mut registry = Registry::default();
        for (now, step) in (0..).zip(steps) {
            let before = registry.changes;
            let refused = match step {
                Step::Put { name, label, buckets, exemplars, time } => {
                    let kind = if buckets == 0 { Kind::Gauge } else { Kind::Histogram };
                    let head = head(format!("m.{name}"), kind);
                    let put = registry.put(&head, labels_of(label), series(buckets, exemplars, time, now), &ROOM);
                    put.is_err()
                }
                Step::Remove { name, label } => {
                    registry.remove(&format!("m.{name}"), &labels_of(label));
                    false
                }
                Step::Expire { before } => {
                    registry.expire(before);
                    false
                }
            };
            let counted = Registry::of(registry.families.clone());
            prop_assert_eq!((counted.size, counted.series), (registry.size, registry.series));
            prop_assert!(registry.size.bytes <= ROOM.bytes && registry.size.page <= ROOM.page);
            prop_assert!(registry.series <= ROOM.series);
            prop_assert!(!refused || registry.changes - before <= 1);
        }
    }
}

#[test]
fn each_bound_is_told_by_its_name_and_leaves_no_empty_family_behind() {
    let put = |room: RegistryLimits| {
        let mut registry = Registry::default();
        let put = registry.put(&head("m".into(), Kind::Gauge), labels_of(1), series(0, 0, 0, 0), &room);
        assert!(put.is_ok() || registry == Registry::default(), "{registry:?}");
        put
    };
    assert_eq!(put(ROOM), Ok(()));
    assert_eq!(put(RegistryLimits { series: 0, ..ROOM }), Err(Refused::Full));
    assert_eq!(put(RegistryLimits { bytes: 100, ..ROOM }), Err(Refused::Bytes));
    assert_eq!(put(RegistryLimits { page: 100, ..ROOM }), Err(Refused::Page));
}

#[test]
fn what_is_there_takes_new_values_when_the_bounds_have_become_tighter() {
    let mut registry = Registry::default();
    let head = head("m".into(), Kind::Histogram);
    assert_eq!(registry.put(&head, labels_of(1), series(20, 0, 1, 0), &ROOM), Ok(()));
    let tight = RegistryLimits { bytes: 10, page: 10, ..ROOM };
    assert_eq!(registry.put(&head, labels_of(1), series(20, 0, 2, 0), &tight), Ok(()));
    assert_eq!(registry.put(&head, labels_of(1), series(21, 0, 3, 0), &tight), Err(Refused::Bytes));
}
