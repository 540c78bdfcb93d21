//! A disk that is full.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use throughline_component::port::SystemRandom;
use throughline_component::{ComponentId, Outcome, Settle};
use throughline_queue::{Log, Ports, Settings};
use throughline_testkit::{Damage, FakeClock, Keep, LossyDisk, Rng};

use crate::harness::{next, ready, record};
use crate::scale::of;

const RESERVE: usize = 1500;

struct Harness {
    disk: LossyDisk,
    clock: Arc<FakeClock>,
}

impl Harness {
    fn of(bytes: usize) -> Self {
        let disk = LossyDisk::default();
        disk.limit(Some((128 << 10) + bytes));
        Self { disk, clock: Arc::default() }
    }

    fn open(&self) -> (Log, u64) {
        self.open_with(|_| {})
    }

    fn open_with(&self, change: impl FnOnce(&mut Settings)) -> (Log, u64) {
        let (disk, clock) = (Arc::new(self.disk.clone()), Arc::<FakeClock>::clone(&self.clock));
        let ports = Ports { disk, clock, random: Arc::new(SystemRandom::default()) };
        let mut settings = Settings {
            create_directory: true,
            segment_bytes: 1000,
            tail_bytes: 0,
            reserve_bytes: RESERVE as u64,
            ..Settings::new(PathBuf::from("/log"))
        };
        change(&mut settings);
        let log = Log::open_still(ports, settings).expect("a full disk is no reason not to open");
        let stream = log.stream("traces").expect("the only one");
        (log, stream)
    }

    fn put(&self, log: &Log, stream: u64, n: usize) -> bool {
        let (settle, ticket) = Settle::ticket();
        log.append(stream, record(Bytes::from(format!("{n}:{}", "x".repeat(100)))), settle);
        log.flush_group();
        self.clock.advance(Duration::from_millis(100));
        ready(ticket) == Outcome::DONE
    }

    /// Puts records until the disk is full, and long after. Says which were taken.
    fn fill(&self, log: &Log, stream: u64, from: usize) -> Vec<usize> {
        (from..from + 300).filter(|n| self.put(log, stream, *n)).collect()
    }

    fn used(&self) -> usize {
        self.disk.files().values().sum()
    }
}

fn drain(log: &Log, stream: u64) -> Vec<usize> {
    log.subscribe(stream, "otlp").expect("cursors have room that is theirs");
    let mut reader = ready(log.reader(stream, "otlp")).expect("it has subscribed");
    let mut read = Vec::new();
    while let Some(delivered) = next(&mut reader).expect("it comes to an end") {
        let text = String::from_utf8_lossy(&delivered.record.payload).into_owned();
        read.push(text.split(':').next().and_then(|n| n.parse().ok()).expect("ours"));
        delivered.ack.done();
        log.flush_group();
    }
    read
}

#[test]
fn a_disk_that_records_have_filled_takes_more_once_they_are_delivered() {
    let harness = Harness::of(20_000);
    let (log, stream) = harness.open();
    log.subscribe(stream, "otlp").expect("a sound disk");
    for round in 0..20 {
        let kept = harness.fill(&log, stream, round * 1000);
        assert!(kept.len() > 50 && kept.len() < 200, "round {round}: {} of 300 were taken", kept.len());
        assert_eq!(drain(&log, stream), kept, "round {round}");
        harness.clock.advance(Duration::from_secs(2));
        log.flush_group();
    }
    assert_eq!(log.stats().missing, 0);
}

#[test]
fn a_full_disk_heals_although_no_sender_comes_to_try() {
    for somebody_else in [false, true] {
        let harness = Harness::of(20_000);
        let (log, stream) = harness.open();
        log.subscribe(stream, "otlp").expect("a sound disk");
        let kept = harness.fill(&log, stream, 0);
        assert!(log.stats().disk_full, "{} were taken", kept.len());
        let told = Arc::new(AtomicUsize::new(0));
        for panics in [true, false] {
            let told = Arc::clone(&told);
            log.when_open(stream, 100, move || {
                told.fetch_add(1, Ordering::Relaxed);
                assert!(!panics, "on purpose");
            });
        }
        for _ in 0..5 {
            harness.clock.advance(Duration::from_secs(1));
            assert!(log.flush_group(), "it looks by itself");
            assert!(!log.flush_group(), "once a second");
        }
        assert_eq!((log.stats().disk_full, told.load(Ordering::Relaxed)), (true, 0));
        if somebody_else {
            harness.disk.limit(None);
        } else {
            assert_eq!(drain(&log, stream), kept);
        }
        for _ in 0..3 {
            harness.clock.advance(Duration::from_secs(1));
            log.flush_group();
        }
        assert_eq!((log.stats().disk_full, told.load(Ordering::Relaxed)), (false, 2));
        harness.clock.advance(Duration::from_secs(3));
        assert!(!log.flush_group(), "there is nothing more to look for");
        assert!(!harness.disk.files().keys().any(|path| path.to_string_lossy().contains("probe")));
        assert!(harness.put(&log, stream, 1));
    }
}

#[test]
fn who_was_refused_for_the_quota_hears_when_there_is_room_again() {
    let harness = Harness::of(1 << 20);
    let (log, stream) = harness.open_with(|settings| settings.quota = Some(8000));
    log.subscribe(stream, "otlp").expect("a sound disk");
    let kept = harness.fill(&log, stream, 0);
    assert!(kept.len() < 100);
    let told = Arc::new(AtomicUsize::new(0));
    let tells = Arc::clone(&told);
    log.when_open(stream, 100, move || {
        tells.fetch_add(1, Ordering::Relaxed);
    });
    harness.clock.advance(Duration::from_secs(2));
    log.flush_group();
    assert_eq!(told.load(Ordering::Relaxed), 0, "nothing was delivered yet");
    assert_eq!(drain(&log, stream), kept);
    harness.clock.advance(Duration::from_secs(1));
    log.flush_group();
    assert_eq!(told.load(Ordering::Relaxed), 1);
}

#[test]
fn senders_hear_that_the_disk_is_full_once_there_is_no_reserve() {
    let harness = Harness::of(RESERVE);
    let (log, stream) = harness.open();
    let (settle, ticket) = Settle::ticket();
    log.append(stream, record(Bytes::from("record")), settle);
    let Outcome::Retry { why, .. } = ready(ticket) else { panic!("it is not taken in") };
    assert_eq!((&*why, log.stats().disk_full), ("the disk is full", true));
    let files = || harness.disk.files().into_keys().collect::<Vec<_>>();
    let before = files();
    log.flush_group();
    assert_eq!(files(), before, "cursors that are as short as they can be are not written anew");
}

#[test]
fn a_log_is_opened_on_a_full_disk_and_heals_after_any_end() {
    for seed in 0..of(60) {
        let mut rng = Rng::new(seed);
        let harness = Harness::of(12_000);
        let (log, stream) = harness.open();
        log.subscribe(stream, "otlp").expect("a sound disk");
        let mut all = harness.fill(&log, stream, 0);
        let keep = match seed % 3 {
            0 => Keep::All,
            1 => Keep::Nothing,
            _ => Keep::Some(rng.clone()),
        };
        // Somebody else takes what is left, and at times even what was kept free.
        if rng.once_in(2) {
            harness.disk.damage(&PathBuf::from("/log/RESERVE"), Damage::Gone);
        }
        harness.disk.limit(Some(harness.used()));
        drop(log);
        harness.disk.crash(keep);
        let (log, stream) = harness.open();
        assert_eq!((log.stats().missing, log.stats().lost_cursors), (0, 0), "seed {seed}");
        let read = drain(&log, stream);
        assert!(
            all.iter().all(|n| read.contains(n)),
            "seed {seed}: {all:?} were acknowledged, {read:?} came"
        );
        for _ in 0..3 {
            harness.clock.advance(Duration::from_secs(2));
            harness.put(&log, stream, 9999);
        }
        all = harness.fill(&log, stream, 10_000);
        assert!(all.len() > 20, "seed {seed}: only {} were taken", all.len());
    }
}

#[test]
fn what_everybody_had_is_removed_from_a_disk_that_takes_no_byte_more() {
    let harness = Harness::of(20_000);
    let (log, stream) = harness.open();
    log.subscribe(stream, "otlp").expect("a sound disk");
    let kept = harness.fill(&log, stream, 0);
    harness.disk.damage(&PathBuf::from("/log/RESERVE"), Damage::Gone);
    harness.disk.limit(Some(0));
    let before = harness.used();
    assert_eq!(drain(&log, stream), kept);
    assert!(harness.used() < before / 2 + (64 << 10), "{} of {before} bytes are still there", harness.used());
    // The cursors on the disk are old, and still nothing counts as missing.
    drop(log);
    harness.disk.crash(Keep::Nothing);
    let (log, stream) = harness.open();
    assert_eq!((log.stats().missing, log.stats().lost_cursors), (0, 0));
    let again = drain(&log, stream);
    assert!(again.len() < kept.len() / 2, "{} of {} came again", again.len(), kept.len());
}

#[test]
fn a_journal_has_room_on_a_disk_that_records_have_filled() {
    let harness = Harness::of(20_000);
    let (log, stream) = harness.open();
    log.subscribe(stream, "otlp").expect("a sound disk");
    let opened = log.journal(&ComponentId::new("change")).expect("a sound disk");
    harness.fill(&log, stream, 0);
    let kept = Arc::new(AtomicUsize::new(0));
    for _ in 0..5 {
        let kept = Arc::clone(&kept);
        let count = move |outcome| {
            kept.fetch_add(usize::from(outcome == Outcome::DONE), Ordering::Relaxed);
        };
        opened.journal.append(Bytes::from(vec![7; 100]), Settle::hook(count));
        log.flush_group();
    }
    assert_eq!(kept.load(Ordering::Relaxed), 5);
    assert!(!harness.put(&log, stream, 0), "what is left is not for records");
}

#[test]
fn a_reserve_is_as_large_as_was_asked_for_and_nothing_in_it_comes_twice() {
    let disk = LossyDisk::default();
    let (clock, random) = (Arc::<FakeClock>::default(), Arc::new(SystemRandom::default()));
    let ports = Ports { disk: Arc::new(disk.clone()), clock, random };
    let settings =
        Settings { create_directory: true, reserve_bytes: 200_000, ..Settings::new(PathBuf::from("/log")) };
    let log = Log::open_still(ports, settings).expect("a sound disk");
    let reserve = disk.contents(&PathBuf::from("/log/RESERVE")).expect("there is room");
    let words: std::collections::BTreeSet<&[u8]> = reserve.chunks(8).collect();
    assert_eq!(
        (reserve.len(), words.len()),
        (200_000, 25_000),
        "a disk that compresses keeps room for all of it"
    );
    assert!(!log.stats().disk_full);
}
