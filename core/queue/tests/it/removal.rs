//! What everybody has had is removed, and nothing else is.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use throughline_component::port::SystemRandom;
use throughline_component::{ComponentId, Outcome, Settle};
use throughline_queue::{Durability, Log, Overflow, Ports, Settings, sites};
use throughline_testkit::{Damage, FakeClock, Fault, Keep, LossyDisk};

use crate::harness::{next, ready, record};

#[derive(Default)]
struct Harness {
    disk: LossyDisk,
    clock: Arc<FakeClock>,
}

impl Harness {
    fn open(&self) -> Log {
        self.open_with(|_| {})
    }

    fn open_with(&self, change: impl FnOnce(&mut Settings)) -> Log {
        let ports = Ports {
            disk: Arc::new(self.disk.clone()),
            clock: Arc::<FakeClock>::clone(&self.clock),
            random: Arc::new(SystemRandom::default()),
        };
        let mut settings = Settings {
            create_directory: true,
            max_bytes: 20_000,
            quota: Some(20_000),
            segment_bytes: 1000,
            overflow: Overflow::Block,
            reserve_bytes: 0,
            ..Settings::new(PathBuf::from("/log"))
        };
        change(&mut settings);
        Log::open_still(ports, settings).expect("a sound disk")
    }

    fn segments(&self) -> Vec<PathBuf> {
        self.disk.files().into_keys().filter(|path| path.to_string_lossy().contains("/stream-")).collect()
    }

    /// The disk takes no more than it has.
    fn fill_disk(&self) {
        self.disk.limit(Some(self.disk.files().values().sum()));
    }
}

fn put(log: &Log, stream: u64, count: usize) -> usize {
    let append = |_: &usize| {
        let position = log.append(stream, record(Bytes::from(vec![b'x'; 400])), Settle::nobody());
        log.flush_group();
        position.is_some()
    };
    (0..count).filter(append).count()
}

fn drain(log: &Log, stream: u64, destination: &str) -> usize {
    let mut reader = ready(log.reader(stream, destination)).expect("it has subscribed");
    let mut count = 0;
    while let Some(delivered) = next(&mut reader).expect("it comes to an end") {
        delivered.ack.done();
        count += 1;
    }
    log.flush_group();
    count
}

#[test]
fn a_segment_that_cannot_be_removed_counts_until_it_can() {
    let harness = Harness::default();
    let log = harness.open();
    let stream = log.stream("traces").expect("the only one");
    log.subscribe(stream, "otlp").expect("a sound disk");
    assert_eq!(put(&log, stream, 20), 20);
    let (files, stored) = (harness.segments().len(), log.stats().stored_bytes);
    harness.disk.fail(Some(Fault::RemovesFail));
    assert_eq!(drain(&log, stream, "otlp"), 20);
    assert_eq!((harness.segments().len(), log.stats().stored_bytes), (files, stored), "they are still there");
    harness.disk.fail(None);
    assert_eq!(put(&log, stream, 1), 1);
    assert_eq!(harness.segments().len(), 1, "{:?}", harness.segments());
    assert!(log.stats().stored_bytes < stored / 4);
}

#[test]
fn a_segment_that_was_removed_on_purpose_and_came_back_is_removed_again_and_missed_by_nobody() {
    let harness = Harness::default();
    let log = harness.open();
    let stream = log.stream("traces").expect("the only one");
    log.subscribe(stream, "otlp").expect("a sound disk");
    assert_eq!(put(&log, stream, 20), 20);
    let files = harness.segments().len();
    harness.disk.fail(Some(Fault::RemovesFail));
    assert_eq!(drain(&log, stream, "otlp"), 20);
    harness.disk.fail(Some(Fault::DeadAfter(0)));
    drop(log);
    harness.disk.crash(Keep::All);
    assert_eq!(harness.segments().len(), files);
    let log = harness.open();
    assert!(harness.segments().len() <= 1, "{:?}", harness.segments());
    let stats = log.stats();
    assert_eq!((stats.missing, stats.lost_cursors), (0, 0));
    log.subscribe(stream, "otlp").expect("a sound disk");
    assert!(drain(&log, log.stream("traces").expect("the only one"), "otlp") <= 20);
}

#[test]
fn a_segment_that_somebody_removed_after_everybody_had_it_is_no_trouble() {
    let harness = Harness::default();
    let log = harness.open();
    let stream = log.stream("traces").expect("the only one");
    log.subscribe(stream, "otlp").expect("a sound disk");
    assert_eq!(put(&log, stream, 20), 20);
    let mut reader = ready(log.reader(stream, "otlp")).expect("it has subscribed");
    while let Some(delivered) = next(&mut reader).expect("it comes to an end") {
        delivered.ack.done();
    }
    harness.segments().iter().for_each(|path| harness.disk.damage(path, Damage::Gone));
    log.flush_group();
    assert!(log.stats().stored_bytes < 2000, "{:?}", log.stats());
    assert_eq!(log.stats().missing, 0);
}

#[test]
fn of_those_who_left_the_longest_goes_first_and_no_more_than_must() {
    let harness = Harness::default();
    let log = harness.open();
    let names = ["first", "second", "third"];
    for name in names {
        let stream = log.stream(name).expect("one of three");
        log.subscribe(stream, "left").expect("a sound disk");
        assert_eq!(put(&log, stream, 8), 8);
    }
    // They are orphans from when somebody reads for the last time.
    for name in ["second", "first", "third"] {
        let stream = log.stream(name).expect("one of three");
        drop(ready(log.reader(stream, "left")).expect("it has subscribed"));
        harness.clock.advance(Duration::from_mins(4));
    }
    let orphans =
        |log: &Log| -> Vec<String> { log.orphans().into_iter().map(|orphan| orphan.stream).collect() };
    log.flush_group();
    assert_eq!(orphans(&log).len(), 3, "nobody needs the room");
    let new = log.stream("new").expect("the fourth");
    log.subscribe(new, "otlp").expect("a sound disk");
    let (mut taken, mut gone) = (0, Vec::new());
    for _ in 0..60 {
        taken += put(&log, new, 1);
        let left = orphans(&log);
        for name in names {
            if !left.contains(&name.to_owned()) && !gone.contains(&name) {
                gone.push(name);
            }
        }
    }
    assert_eq!(gone, ["second", "first"], "the third left four minutes ago; {taken} were taken");
    let dropped: Vec<(String, u64)> = log.dropped().into_iter().map(|d| (d.stream, d.records)).collect();
    assert_eq!(dropped, [("first".to_owned(), 8), ("second".to_owned(), 8)]);
}

/// Whether a record is kept.
fn is_kept(log: &Log, stream: u64) -> bool {
    let (settle, ticket) = Settle::ticket();
    log.append(stream, record(Bytes::from(vec![b'x'; 400])), settle);
    log.flush_group();
    ready(ticket) == Outcome::DONE
}

#[test]
fn a_record_that_finds_the_disk_full_makes_room_for_those_behind_it_from_who_left_long_ago() {
    let harness = Harness::default();
    let log = harness.open();
    let (left, new) = (log.stream("left").expect("one of two"), log.stream("new").expect("one of two"));
    log.subscribe(left, "otlp").expect("a sound disk");
    assert_eq!(put(&log, left, 8), 8);
    drop(ready(log.reader(left, "otlp")).expect("it has subscribed"));
    harness.clock.advance(Duration::from_mins(6));
    log.subscribe(new, "otlp").expect("a sound disk");
    harness.fill_disk();
    assert!(!is_kept(&log, new));
    let stats = log.stats();
    assert_eq!((stats.failed, stats.refused, stats.disk_full), (1, 0, true));
    assert_eq!(log.orphans(), []);
    assert!(is_kept(&log, new), "there is room now");
    assert_eq!((log.stats().failed, log.stats().disk_full), (1, false));
}

#[test]
fn a_record_that_finds_the_disk_full_makes_room_from_what_everybody_has_had() {
    let harness = Harness::default();
    let log = harness.open();
    let (quiet, busy) = (log.stream("quiet").expect("one of two"), log.stream("busy").expect("one of two"));
    for stream in [quiet, busy] {
        log.subscribe(stream, "otlp").expect("a sound disk");
    }
    // Its segment is written to, and so it stays although everybody has had it.
    assert_eq!((put(&log, quiet, 1), drain(&log, quiet, "otlp")), (1, 1));
    harness.fill_disk();
    assert_eq!(harness.segments().len(), 1);
    assert!(!is_kept(&log, busy));
    assert!(is_kept(&log, busy), "the other's segment went");
    assert_eq!(harness.segments().len(), 1);
}

#[test]
fn a_full_disk_gets_the_room_of_what_was_delivered_later_although_nothing_comes_in() {
    let harness = Harness::default();
    let log = harness.open();
    let (quiet, busy) = (log.stream("quiet").expect("one of two"), log.stream("busy").expect("one of two"));
    for stream in [quiet, busy] {
        log.subscribe(stream, "otlp").expect("a sound disk");
    }
    assert_eq!(put(&log, quiet, 1), 1);
    harness.fill_disk();
    assert!(!is_kept(&log, busy));
    // Its segment is written to, and so it would stay although everybody has had it.
    assert_eq!(drain(&log, quiet, "otlp"), 1);
    for _ in 0..3 {
        harness.clock.advance(Duration::from_secs(1));
        log.flush_group();
    }
    assert_eq!((log.stats().disk_full, harness.segments().len()), (false, 0));
    assert!(is_kept(&log, busy));
}

#[test]
fn cursors_are_synced_before_something_is_removed_and_cost_no_sync_otherwise() {
    let harness = Harness::default();
    let log = harness.open();
    let stream = log.stream("traces").expect("the only one");
    log.subscribe(stream, "otlp").expect("a sound disk");
    assert_eq!(put(&log, stream, 6), 6);
    let syncs = || harness.disk.syncs().get(&sites::CURSOR_DATA).copied().unwrap_or_default();
    let (before, segments) = (syncs(), harness.segments().len());
    let mut reader = ready(log.reader(stream, "otlp")).expect("it has subscribed");
    next(&mut reader).expect("it comes to an end").expect("the first").ack.done();
    log.flush_group();
    assert_eq!((syncs(), harness.segments().len()), (before, segments), "nothing can be removed yet");
    for _ in 0..2 {
        next(&mut reader).expect("it comes to an end").expect("there are six").ack.done();
    }
    log.flush_group();
    assert_eq!((syncs(), harness.segments().len()), (before + 1, segments - 1));
}

#[test]
fn cursors_that_were_written_before_are_synced_when_their_segment_is_removed_later() {
    let harness = Harness::default();
    let log = harness.open();
    let stream = log.stream("traces").expect("the only one");
    log.subscribe(stream, "otlp").expect("a sound disk");
    let syncs = || harness.disk.syncs().get(&sites::CURSOR_DATA).copied().unwrap_or_default();
    let before = syncs();
    // A whole segment; it is still the one that is written to.
    assert_eq!(put(&log, stream, 3), 3);
    let mut reader = ready(log.reader(stream, "otlp")).expect("it has subscribed");
    while let Some(delivered) = next(&mut reader).expect("it comes to an end") {
        delivered.ack.done();
    }
    log.flush_group();
    assert_eq!((syncs(), harness.segments().len()), (before, 1));
    assert_eq!(put(&log, stream, 1), 1);
    assert_eq!((syncs(), harness.segments().len()), (before + 1, 1), "the first went, and no cursor moved");
}

#[test]
fn the_file_of_cursors_stays_small_however_often_they_move() {
    let harness = Harness::default();
    let log = harness.open_with(|settings| settings.cursors_bytes = 2000);
    let stream = log.stream("traces").expect("the only one");
    log.subscribe(stream, "otlp").expect("a sound disk");
    let mut reader = ready(log.reader(stream, "otlp")).expect("it has subscribed");
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..300 {
        assert_eq!(put(&log, stream, 1), 1);
        next(&mut reader).expect("it comes to an end").expect("it was put").ack.done();
        log.flush_group();
        let files = harness.disk.files().into_iter();
        let cursors = files.filter(|(path, _)| path.to_string_lossy().contains("/cursors-"));
        let cursors: Vec<(PathBuf, usize)> = cursors.collect();
        assert_eq!(cursors.len(), 1);
        assert!(cursors[0].1 < 3000, "{} bytes", cursors[0].1);
        names.insert(cursors[0].0.clone());
    }
    assert!(names.len() > 5 && names.len() < 100, "it was written anew {} times", names.len());
}

#[test]
fn who_left_is_waited_for_as_long_as_was_set_and_not_a_moment_more() {
    let harness = Harness::default();
    let hours = Duration::from_hours(5);
    let log = harness.open_with(|settings| settings.orphan_expiry = hours);
    let stream = log.stream("traces").expect("the only one");
    log.subscribe(stream, "left").expect("a sound disk");
    assert_eq!(put(&log, stream, 4), 4);
    drop(ready(log.reader(stream, "left")).expect("it has subscribed"));
    let look = |after: Duration| {
        harness.clock.advance(after);
        log.flush_group();
        (log.orphans().len(), log.stats().expired, log.dropped().len())
    };
    assert_eq!(look(Duration::ZERO), (1, 0, 0));
    assert_eq!(look(hours), (1, 0, 0));
    assert_eq!(look(Duration::from_secs(60)), (0, 1, 1), "it is looked at once a minute");
    assert!(harness.segments().len() <= 1);
}

#[test]
fn a_segment_that_somebody_needs_is_written_to_although_others_are_refused() {
    let harness = Harness::default();
    let log = harness.open_with(|settings| {
        (settings.pending_bytes, settings.segment_bytes) = (500, 2000);
    });
    let stream = log.stream("traces").expect("the only one");
    log.subscribe(stream, "otlp").expect("a sound disk");
    for _ in 0..4 {
        let append = || log.append(stream, record(Bytes::from(vec![b'x'; 400])), Settle::nobody());
        assert!(append().is_some());
        assert!(append().is_none(), "as much waits for the disk as may");
        log.flush_group();
        assert_eq!(harness.segments().len(), 1);
    }
    assert_eq!(log.stats().refused, 4);
}

#[test]
fn cursors_that_could_not_be_written_are_written_with_what_comes_next() {
    let harness = Harness::default();
    let log = harness.open();
    let (stream, other) =
        (log.stream("traces").expect("one of two"), log.stream("logs").expect("one of two"));
    log.subscribe(stream, "otlp").expect("a sound disk");
    log.subscribe(other, "otlp").expect("a sound disk");
    assert_eq!(put(&log, stream, 2), 2);
    let mut reader = ready(log.reader(stream, "otlp")).expect("it has subscribed");
    log.flush_group();
    harness.disk.fail(Some(Fault::DeadAfter(0)));
    while let Some(delivered) = next(&mut reader).expect("it comes to an end") {
        delivered.ack.done();
    }
    log.flush_group();
    harness.disk.fail(None);
    assert_eq!(put(&log, other, 1), 1);
    harness.disk.fail(Some(Fault::DeadAfter(0)));
    drop((reader, log));
    harness.disk.crash(Keep::All);
    let log = harness.open();
    let stream = log.stream("traces").expect("one of two");
    assert_eq!(drain(&log, stream, "otlp"), 0, "they were delivered");
}

#[test]
fn cursors_that_could_not_be_written_at_an_opening_are_written_with_what_comes_next() {
    let harness = Harness::default();
    let log = harness.open();
    let stream = log.stream("traces").expect("the only one");
    log.subscribe(stream, "otlp").expect("a sound disk");
    assert_eq!(put(&log, stream, 2), 2);
    drop(log);
    let cursors = |harness: &Harness| -> Vec<PathBuf> {
        harness.disk.files().into_keys().filter(|path| path.to_string_lossy().contains("/cursors-")).collect()
    };
    cursors(&harness).iter().for_each(|path| harness.disk.damage(path, Damage::Gone));
    harness.fill_disk();
    let log = harness.open();
    assert_eq!((log.stats().lost_cursors, cursors(&harness).len()), (1, 0));
    harness.disk.limit(None);
    assert_eq!(put(&log, stream, 1), 1);
    assert_eq!(cursors(&harness).len(), 1);
    drop(log);
    let log = harness.open();
    assert_eq!(log.stats().lost_cursors, 0, "it was mended");
    log.subscribe(stream, "otlp").expect("a sound disk");
    assert_eq!(drain(&log, stream, "otlp"), 3, "whose cursor was lost begins with the oldest");
}

#[test]
fn a_disk_that_is_full_gets_back_what_cursors_take_up_for_nothing() {
    let harness = Harness::default();
    let log = harness.open_with(|settings| (settings.max_bytes, settings.reserve_bytes) = (200_000, 3000));
    let stream = log.stream("traces").expect("the only one");
    log.subscribe(stream, "otlp").expect("a sound disk");
    let mut reader = ready(log.reader(stream, "otlp")).expect("it has subscribed");
    let mut pass = |count: usize, puts: usize| {
        for _ in 0..count {
            assert_eq!(put(&log, stream, puts), puts);
            next(&mut reader).expect("it comes to an end").expect("it was put").ack.done();
            harness.clock.advance(Duration::from_secs(2));
            log.flush_group();
        }
    };
    pass(60, 1);
    let journal = log.journal(&ComponentId::new("change")).expect("the first").journal;
    let cursors = || -> Vec<(PathBuf, usize)> {
        let files = harness.disk.files().into_iter();
        files.filter(|(path, _)| path.to_string_lossy().contains("/cursors-")).collect()
    };
    assert!(cursors()[0].1 > 5000, "{:?}", cursors());
    harness.fill_disk();
    for _ in 0..3 {
        journal.append(Bytes::from(vec![7; 100]), Settle::hook(|outcome| assert_eq!(outcome, Outcome::DONE)));
        harness.clock.advance(Duration::from_secs(2));
        log.flush_group();
    }
    let small = cursors();
    assert!(small.len() == 1 && small[0].1 < 1000, "{small:?}");
    assert!(!log.stats().disk_full, "there is room for a reserve");
    harness.disk.limit(None);
    pass(1, 1);
    assert_eq!(cursors()[0].0, small[0].0, "and no need to write them anew again");
}

#[test]
fn a_manifest_that_is_gone_takes_the_room_of_the_reserve_where_the_disk_is_full() {
    let harness = Harness::default();
    let large = |settings: &mut Settings| (settings.max_bytes, settings.reserve_bytes) = (1 << 30, 200_000);
    let log = harness.open_with(large);
    let stream = log.stream("traces").expect("the only one");
    log.subscribe(stream, "otlp").expect("a sound disk");
    assert_eq!(put(&log, stream, 3), 3);
    drop(log);
    harness.disk.damage(&PathBuf::from("/log/MANIFEST"), Damage::Gone);
    harness.fill_disk();
    let log = harness.open_with(large);
    assert!(log.stats().disk_full, "there is no reserve now");
    assert_eq!(drain(&log, log.stream("traces").expect("the only one"), "otlp"), 3);
}

#[test]
fn streams_that_come_and_go_do_not_fill_the_manifest() {
    let harness = Harness::default();
    for round in 0..17 {
        let log = harness.open_with(|settings| settings.max_bytes = 1 << 20);
        log.flush_group();
        for number in 0..100 {
            let stream = log.stream(&format!("logs/{round}/{number}")).expect("no two names have one number");
            log.append(stream, record(Bytes::from("x")), Settle::nobody()).expect("there is room");
        }
        log.flush_group();
    }
    harness.open();
}

#[test]
fn in_memory_nothing_is_synced() {
    let harness = Harness::default();
    let log = harness.open_with(|settings| {
        settings.directory = PathBuf::from("/new/log");
        settings.durability = Durability::Memory;
    });
    let stream = log.stream("traces").expect("the only one");
    log.subscribe(stream, "otlp").expect("a sound disk");
    assert_eq!((put(&log, stream, 9), drain(&log, stream, "otlp")), (9, 9));
    assert_eq!(harness.disk.syncs().into_iter().collect::<Vec<_>>(), []);
}

#[test]
fn an_orphan_expires_when_its_time_is_over_and_not_a_minute_later() {
    let harness = Harness::default();
    let log = harness.open_with(|settings| settings.orphan_expiry = Duration::from_secs(3));
    let stream = log.stream("traces").expect("the only one");
    log.subscribe(stream, "otlp").expect("a sound disk");
    drop(ready(log.reader(stream, "otlp")).expect("it has subscribed"));
    while log.flush_group() {}
    let expired = |seconds: u64| {
        harness.clock.advance(Duration::from_secs(seconds));
        while log.flush_group() {}
        log.stats().expired
    };
    assert_eq!((expired(2), expired(2)), (0, 1));
}
