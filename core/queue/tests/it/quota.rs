//! What may wait for a destination is bounded, and what one lets wait is not the others' trouble.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use throughline_component::port::SystemRandom;
use throughline_component::{Outcome, Settle};
use throughline_queue::{Dropped, Log, Overflow, Ports, Reader, Settings};
use throughline_testkit::{FakeClock, LossyDisk};

use crate::harness::{next, ready, record};

const DAY: Duration = Duration::from_hours(24);

#[derive(Default)]
struct Harness {
    disk: LossyDisk,
    clock: Arc<FakeClock>,
}

fn settings(overflow: Overflow) -> Settings {
    Settings {
        create_directory: true,
        max_bytes: 100_000,
        quota: Some(10_000),
        overflow,
        tail_bytes: 0,
        reserve_bytes: 100,
        ..Settings::new(PathBuf::from("/log"))
    }
}

impl Harness {
    fn open(&self, settings: Settings) -> (Log, u64) {
        let (disk, clock) = (Arc::new(self.disk.clone()), Arc::<FakeClock>::clone(&self.clock));
        let ports = Ports { disk, clock, random: Arc::new(SystemRandom::default()) };
        let log = Log::open_still(ports, settings).expect("a sound disk");
        let stream = log.stream("traces").expect("the only one");
        (log, stream)
    }
}

fn put(log: &Log, stream: u64, n: usize) -> bool {
    let (settle, ticket) = Settle::ticket();
    log.append(stream, record(Bytes::from(format!("{n}:{}", "x".repeat(100)))), settle);
    log.flush_group();
    ready(ticket) == Outcome::DONE
}

fn read(log: &Log, reader: &mut Reader) -> Vec<usize> {
    let mut read = Vec::new();
    while let Some(delivered) = next(reader).expect("it comes to an end") {
        let text = String::from_utf8_lossy(&delivered.record.payload).into_owned();
        read.push(text.split(':').next().and_then(|n| n.parse().ok()).expect("ours"));
        delivered.ack.done();
    }
    log.flush_group();
    read
}

fn reader(log: &Log, stream: u64, destination: &str) -> Reader {
    log.subscribe(stream, destination).expect("a sound disk");
    ready(log.reader(stream, destination)).expect("it has subscribed")
}

fn dropped(log: &Log, destination: &str, reason: &str) -> u64 {
    let of = |dropped: &&Dropped| dropped.destination == destination && dropped.reason == reason;
    log.dropped().iter().filter(of).map(|dropped| dropped.records).sum()
}

/// Two destinations, of which one reads nothing, and a thousand records; says which were taken, and what the other got.
fn one_is_dead(log: &Log, stream: u64) -> (Vec<usize>, Vec<usize>) {
    log.subscribe(stream, "dead").expect("a sound disk");
    let mut alive = reader(log, stream, "alive");
    let (mut taken, mut got) = (Vec::new(), Vec::new());
    for n in 0..1000 {
        if put(log, stream, n) {
            taken.push(n);
        }
        got.extend(read(log, &mut alive));
    }
    (taken, got)
}

#[test]
fn who_is_dead_misses_the_newest_and_the_others_get_everything() {
    let harness = Harness::default();
    let (log, stream) = harness.open(settings(Overflow::DropNewest));
    let (taken, got) = one_is_dead(&log, stream);
    assert_eq!((taken.len(), got.len()), (1000, 1000), "nobody waits for the dead one");
    assert!(log.stats().stored_bytes < 15_000, "{} bytes are kept for it", log.stats().stored_bytes);
    let counted = dropped(&log, "dead", "drop_newest");
    assert_eq!(log.dropped()[0].items, counted, "of one item each");
    let waits = |log: &Log| {
        log.list().into_iter().find(|of| of.destination == "dead").map(|of| (of.records, of.items))
    };
    assert_eq!(
        waits(&log),
        Some((1000 - counted, 1000 - counted)),
        "what it does not get does not wait for it"
    );
    drop(log);
    // What it does not get is not forgotten over a restart.
    let (log, stream) = harness.open(settings(Overflow::DropNewest));
    let kept = read(&log, &mut reader(&log, stream, "dead"));
    assert_eq!(kept, (0..kept.len()).collect::<Vec<_>>(), "the oldest, in order");
    assert_eq!(kept.len() as u64 + counted, 1000, "what is missing was counted");
    assert!(kept.len() > 40);
    assert!(put(&log, stream, 1000));
    assert_eq!(read(&log, &mut reader(&log, stream, "dead")), [1000]);
}

#[test]
fn who_is_dead_misses_the_oldest_where_that_was_asked_for() {
    let harness = Harness::default();
    let (log, stream) = harness.open(settings(Overflow::DropOldest));
    let (taken, got) = one_is_dead(&log, stream);
    assert_eq!((taken.len(), got.len()), (1000, 1000), "nobody waits for the dead one");
    assert!(log.stats().stored_bytes < 15_000, "{} bytes are kept for it", log.stats().stored_bytes);
    let kept = read(&log, &mut reader(&log, stream, "dead"));
    assert_eq!(kept, (1000 - kept.len()..1000).collect::<Vec<_>>(), "the newest, in order");
    assert_eq!(kept.len() as u64 + dropped(&log, "dead", "drop_oldest"), 1000, "what is missing was counted");
    assert!(kept.len() > 40);
}

#[test]
fn what_was_on_its_way_counts_as_dropped_only_if_it_does_not_arrive() {
    let harness = Harness::default();
    let (log, stream) = harness.open(settings(Overflow::DropOldest));
    let mut slow = reader(&log, stream, "slow");
    assert!((0..20).all(|n| put(&log, stream, n)));
    let mut out = Vec::new();
    while out.len() < 20 {
        out.push(next(&mut slow).expect("it comes to an end").expect("there are twenty").ack);
    }
    // Two were given back, and nobody has them when they are dropped.
    out.truncate(18);
    assert!((20..200).all(|n| put(&log, stream, n)));
    let before = dropped(&log, "slow", "drop_oldest");
    // Of the others, half arrive; what a reader says that has come to its end counts as well.
    let rest = read(&log, &mut slow);
    assert_eq!(18 + rest.len() as u64 + before, 200, "eighteen are still on their way");
    drop(slow);
    let arrived = out.split_off(9);
    drop(reader(&log, stream, "slow"));
    arrived.into_iter().for_each(throughline_queue::Ack::done);
    assert_eq!(dropped(&log, "slow", "drop_oldest"), before, "they are not lost");
    drop(out);
    assert_eq!(dropped(&log, "slow", "drop_oldest"), before + 9, "nobody will send them");
}

#[test]
fn the_oldest_that_was_settled_already_does_not_count_as_dropped() {
    let harness = Harness::default();
    let (log, stream) = harness.open(settings(Overflow::DropOldest));
    let mut slow = reader(&log, stream, "slow");
    assert!((0..20).all(|n| put(&log, stream, n)));
    // All but the first, which never settles.
    let mut first = None;
    for n in 0..20 {
        let delivered = next(&mut slow).expect("it comes to an end").expect("there are twenty");
        if n == 0 { first = Some(delivered) } else { delivered.ack.done() }
    }
    assert!((20..200).all(|n| put(&log, stream, n)));
    drop(first);
    let rest = read(&log, &mut slow);
    assert_eq!(19 + rest.len() as u64 + dropped(&log, "slow", "drop_oldest"), 200);
}

#[test]
fn all_wait_for_who_is_dead_where_that_was_asked_for() {
    let harness = Harness::default();
    let (log, stream) = harness.open(settings(Overflow::Block));
    let (taken, got) = one_is_dead(&log, stream);
    assert_eq!(taken, got);
    assert!(taken.len() > 40 && taken.len() < 100, "{}", taken.len());
    assert_eq!((log.dropped(), log.stats().refused), (vec![], 1000 - taken.len() as u64));
    assert_eq!(read(&log, &mut reader(&log, stream, "dead")), taken);
    assert!(put(&log, stream, 2000), "it goes on once there is room");
}

#[test]
fn what_nobody_has_room_for_is_refused_and_not_dropped() {
    let harness = Harness::default();
    let (log, stream) = harness.open(settings(Overflow::DropNewest));
    log.subscribe(stream, "one").expect("a sound disk");
    log.subscribe(stream, "two").expect("a sound disk");
    let taken: Vec<usize> = (0..200).filter(|n| put(&log, stream, *n)).collect();
    assert!(taken.len() > 40 && taken.len() < 100, "{}", taken.len());
    assert_eq!(log.dropped(), []);
    for destination in ["one", "two"] {
        assert_eq!(read(&log, &mut reader(&log, stream, destination)), taken);
    }
}

#[test]
fn a_stream_that_is_full_leaves_the_others_their_share() {
    let harness = Harness::default();
    let (log, full) = harness.open(Settings { quota: None, ..settings(Overflow::DropNewest) });
    let other = log.stream("logs").expect("another");
    log.subscribe(full, "dead").expect("a sound disk");
    let mut alive = reader(&log, other, "alive");
    let taken = (0..2000).filter(|n| put(&log, full, *n)).count();
    assert!(taken > 200, "{taken}");
    for n in 0..2000 {
        assert!(put(&log, other, n), "{n} of the other stream is refused");
        assert_eq!(read(&log, &mut alive), [n]);
    }
}

#[test]
fn limits_change_while_the_log_is_open() {
    let harness = Harness::default();
    let (log, stream) = harness.open(settings(Overflow::DropNewest));
    log.subscribe(stream, "dead").expect("a sound disk");
    let few = (0..300).filter(|n| put(&log, stream, *n)).count();
    log.adjust(&Settings { quota: Some(20_000), ..settings(Overflow::DropNewest) });
    let more = (0..300).filter(|n| put(&log, stream, *n)).count();
    assert!(few > 40 && more > 40, "{few} and {more}");
    log.adjust(&settings(Overflow::DropOldest));
    log.flush_group();
    assert!(log.stats().stored_bytes <= 12_000, "{}", log.stats().stored_bytes);
    assert!(put(&log, stream, 0));
}

#[test]
fn orphans_go_first_when_room_is_wanted_but_not_those_of_a_moment_ago() {
    let harness = Harness::default();
    let all = || Settings { max_bytes: 20_000, quota: Some(20_000), ..settings(Overflow::DropNewest) };
    let (log, stream) = harness.open(all());
    log.subscribe(stream, "left").expect("a sound disk");
    let other = log.stream("logs").expect("another");
    log.subscribe(other, "stays").expect("a sound disk");
    assert!((0..300).filter(|n| put(&log, stream, *n)).count() > 80);
    drop(log);
    let (log, _) = harness.open(all());
    let other = log.stream("logs").expect("another");
    let mut stays = reader(&log, other, "stays");
    assert!((0..10).all(|n| !put(&log, other, n)), "it may be configured, and not have subscribed yet");
    harness.clock.advance(Duration::from_secs(301));
    // The one who was refused makes the room for those behind him.
    put(&log, other, 0);
    let taken = (1..100).filter(|n| put(&log, other, *n)).count();
    assert!(taken > 80, "{taken}");
    assert!(read(&log, &mut stays).len() >= taken);
    assert!(dropped(&log, "left", "space") > 80);
    assert!(log.orphans().is_empty());
}

#[test]
fn an_orphan_ages_while_the_log_is_open_and_not_with_the_time_of_day() {
    let disk = LossyDisk::default();
    let harness = Harness { disk: disk.clone(), ..Harness::default() };
    let (log, stream) = harness.open(settings(Overflow::DropNewest));
    log.subscribe(stream, "left").expect("a sound disk");
    assert!(put(&log, stream, 0));
    drop(log);
    // Every opening has a clock of its own, as a process has; the time of day jumps about.
    for day in 0..7 {
        let harness = Harness { disk: disk.clone(), ..Harness::default() };
        harness.clock.jump(DAY * (1000 - 100 * day));
        let (log, _) = harness.open(settings(Overflow::DropNewest));
        assert_eq!((log.orphans().len(), log.stats().expired), (1, 0), "on day {day}");
        for _ in 0..24 {
            harness.clock.advance(Duration::from_hours(1));
            log.flush_group();
        }
        assert_eq!((log.orphans().len(), log.stats().expired), (1, 0), "on day {day}");
        harness.clock.advance(Duration::from_secs(1));
    }
    let harness = Harness { disk, ..Harness::default() };
    let (log, _) = harness.open(settings(Overflow::DropNewest));
    let age = log.orphans()[0].orphan.expect("it is one");
    assert!(age >= DAY * 7 - Duration::from_mins(10) && age <= DAY * 7, "{age:?}");
    harness.clock.advance(Duration::from_hours(2));
    log.flush_group();
    assert_eq!((log.orphans().len(), log.stats().expired, dropped(&log, "left", "expired")), (0, 1, 1));
}

#[test]
fn what_waits_is_listed_and_can_be_dropped() {
    let harness = Harness::default();
    let (log, stream) = harness.open(settings(Overflow::DropNewest));
    log.subscribe(stream, "left").expect("a sound disk");
    let mut reader = reader(&log, stream, "stays");
    assert!((0..30).all(|n| put(&log, stream, n)));
    for _ in 0..7 {
        next(&mut reader).expect("it comes to an end").expect("there are thirty").ack.done();
    }
    log.flush_group();
    let waits = |log: &Log| -> Vec<(String, u64, bool)> {
        log.list().into_iter().map(|b| (b.destination, b.records, b.orphan.is_some())).collect()
    };
    assert_eq!(waits(&log), [("left".into(), 30, false), ("stays".into(), 23, false)]);
    assert_eq!(log.drop_destination(None, "stays"), [], "somebody reads for it");
    let ports = || Ports {
        disk: Arc::new(harness.disk.clone()),
        clock: Arc::<FakeClock>::clone(&harness.clock),
        random: Arc::new(SystemRandom::default()),
    };
    let error = Log::open_to_look(ports(), "/log".into()).expect_err("somebody has it open");
    assert!(error.to_string().contains("in use"), "{error}");
    drop((reader, log));
    assert!(Log::open_to_look(ports(), "/elsewhere".into()).is_err());
    let log = Log::open_to_look(ports(), "/log".into()).expect("nobody has it open");
    assert_eq!(waits(&log), [("left".into(), 30, true), ("stays".into(), 23, true)]);
    assert_eq!(log.drop_destination(Some("other"), "left"), []);
    let lost = log.drop_destination(Some("traces"), "left");
    assert_eq!((lost.len(), lost[0].records, lost[0].reason), (1, 30, "asked"));
    log.flush_group();
    drop(log);
    let (log, _) = harness.open(settings(Overflow::DropNewest));
    assert_eq!(waits(&log), [("stays".into(), 23, true)]);
}

#[test]
fn no_more_waits_for_a_destination_than_its_quota_whether_it_is_written_yet_or_not() {
    // The name at the beginning of a segment comes on top.
    const NAME: u64 = 100;
    for overflow in [Overflow::Block, Overflow::DropNewest] {
        for group in [1, 20] {
            let harness = Harness::default();
            let (log, stream) = harness.open(settings(overflow));
            log.subscribe(stream, "dead").expect("a sound disk");
            let mut taken = 0_u64;
            for _ in 0..5 {
                for _ in 0..group {
                    let payload = Bytes::from(vec![b'x'; 900]);
                    taken += u64::from(log.append(stream, record(payload), Settle::nobody()).is_some());
                }
                log.flush_group();
                let waits = log.backlogs()[0].bytes;
                assert!(waits <= 10_000 + NAME, "{overflow:?}, {group}: {waits} bytes wait");
                assert_eq!(log.list()[0].records, taken, "what was taken is for it");
            }
            if group > 1 {
                assert!(taken >= 9, "{overflow:?}: the quota has room for ten, {taken} were taken");
            }
        }
    }
}

#[test]
fn what_a_destination_keeps_is_all_from_the_segment_on_in_which_its_first_unsettled_record_is() {
    let harness = Harness::default();
    let (log, stream) = harness.open(settings(Overflow::DropNewest));
    let mut fast = reader(&log, stream, "fast");
    log.subscribe(stream, "dead").expect("a sound disk");
    let segments = |harness: &Harness| -> Vec<u64> {
        let files = harness.disk.files().into_iter();
        files
            .filter(|(path, _)| path.to_string_lossy().contains("/stream-"))
            .map(|(_, size)| size as u64)
            .collect()
    };
    let mut first = 0;
    for n in 0.. {
        assert!(put(&log, stream, n));
        match segments(&harness).len() {
            1 => first += 1,
            3 => break,
            _ => {}
        }
    }
    let kept = |log: &Log| -> Vec<u64> { log.backlogs().iter().map(|backlog| backlog.bytes).collect() };
    // All of the first segment but its last record.
    for _ in 0..first - 1 {
        next(&mut fast).expect("it comes to an end").expect("it is there").ack.done();
    }
    log.flush_group();
    let all = log.stats().stored_bytes;
    assert_eq!(kept(&log), [all, all]);
    next(&mut fast).expect("it comes to an end").expect("it is there").ack.done();
    log.flush_group();
    let footer = 44 + 48;
    assert_eq!(kept(&log), [all, all - (segments(&harness)[0] - footer)]);
    drop(read(&log, &mut fast));
    assert!(put(&log, stream, 0));
    let newest = segments(&harness).last().copied().expect("there are segments");
    assert_eq!(kept(&log)[1], newest, "those that others keep are not counted for it");
}
