//! What is not taken in, and what its sender hears.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use throughline_component::port::SystemRandom;
use throughline_component::{ComponentId, Outcome, Settle, Ticket};
use throughline_queue::{Durability, Log, Overflow, Ports, Settings, Storage};
use throughline_testkit::{FakeClock, Fault, LossyDisk};

use crate::harness::{next, ready, record};

/// Bytes of a record besides its payload: the head of a frame, and the source's name with its length.
const BESIDES: usize = 44 + 4 + 4;

fn open(settings: Settings) -> (Log, u64) {
    open_on(&LossyDisk::default(), settings)
}

fn open_on(disk: &LossyDisk, settings: Settings) -> (Log, u64) {
    let (disk, clock) = (Arc::new(disk.clone()), Arc::<FakeClock>::default());
    let ports = Ports { disk, clock, random: Arc::new(SystemRandom::default()) };
    let quota = settings.quota.or(Some(1 << 30));
    let settings = Settings { create_directory: true, reserve_bytes: 0, quota, ..settings };
    let log = Log::open_still(ports, settings).expect("a sound disk");
    let stream = log.stream("traces").expect("the only one");
    log.subscribe(stream, "otlp").expect("a sound disk");
    (log, stream)
}

fn settings() -> Settings {
    Settings::new(PathBuf::from("/log"))
}

/// Appends a record of so many bytes.
fn put(log: &Log, stream: u64, size: usize) -> Ticket {
    let (settle, ticket) = Settle::ticket();
    log.append(stream, record(Bytes::from(vec![b'x'; size - BESIDES])), settle);
    ticket
}

fn why(outcome: Outcome) -> String {
    match outcome {
        Outcome::Retry { why, .. } => why.to_string(),
        other => panic!("{other:?} is no retry"),
    }
}

#[test]
fn no_more_waits_for_the_disk_than_may_but_one_record_always_does() {
    let (log, stream) = open(Settings { pending_bytes: 1000, ..settings() });
    let large = put(&log, stream, 5000);
    assert!(why(ready(put(&log, stream, 100))).contains("too slow"));
    assert_eq!(log.stats().refused, 1);
    log.flush_group();
    assert_eq!(ready(large), Outcome::DONE);
    for _ in 0..2 {
        let taken = [put(&log, stream, 600), put(&log, stream, 400)];
        assert!(why(ready(put(&log, stream, 100))).contains("too slow"), "a thousand bytes wait");
        log.flush_group();
        taken.into_iter().for_each(|ticket| assert_eq!(ready(ticket), Outcome::DONE));
    }
    assert_eq!((log.stats().refused, log.stats().committed, log.stats().groups), (3, 5, 3));
}

#[test]
fn no_more_is_stored_than_max_bytes_whether_it_is_written_yet_or_not() {
    let (log, stream) = open(Settings { max_bytes: 10_000, overflow: Overflow::Block, ..settings() });
    let name = 44 + 6;
    let taken = [put(&log, stream, 4000), put(&log, stream, 6000)];
    assert!(why(ready(put(&log, stream, 100))).contains("storage is full"));
    log.flush_group();
    taken.into_iter().for_each(|ticket| assert_eq!(ready(ticket), Outcome::DONE));
    assert_eq!(log.stats().stored_bytes, 10_000 + name, "the name comes on top");
    assert!(why(ready(put(&log, stream, 100))).contains("storage is full"));
    let stats = log.stats();
    assert_eq!((stats.refused, stats.stored_records, stats.stored_items, stats.disk_full), (2, 2, 2, false));
    assert_eq!(stats.max_bytes, 10_000);
    // Who is refused makes the room for those behind him.
    let mut reader = ready(log.reader(stream, "otlp")).expect("it has subscribed");
    while let Some(delivered) = next(&mut reader).expect("it comes to an end") {
        delivered.ack.done();
    }
    log.flush_group();
    let refused = put(&log, stream, 9000);
    log.flush_group();
    let again = put(&log, stream, 9000);
    log.flush_group();
    assert!(ready(again) == Outcome::DONE || ready(refused) == Outcome::DONE, "there is room again");
}

#[test]
fn a_stream_that_nobody_asked_for_takes_nothing_in() {
    let (log, stream) = open(settings());
    assert!(why(ready(put(&log, stream + 1, 100))).contains("no such stream"));
    assert!(log.subscribe(stream + 1, "otlp").is_err());
    assert!(ready(log.reader(stream + 1, "otlp")).is_err());
    assert!(ready(log.reader(stream, "nobody")).is_err(), "it has not subscribed");
}

#[test]
fn who_is_refused_has_no_position_and_who_is_not_has_the_next() {
    let (log, stream) = open(Settings { pending_bytes: 100, ..settings() });
    let append = || log.append(stream, record(Bytes::from_static(b"payload")), Settle::nobody());
    let first = append().expect("one always goes").sequence;
    assert_eq!(append(), None);
    log.flush_group();
    assert_eq!(append().map(|position| position.sequence), Some(first + 1));
}

#[test]
fn a_quota_is_filled_to_the_last_byte_over_many_groups() {
    // Each group has a segment of its own, since these are an eighth of the quota; names are written with the first record.
    let quota = 4 * (NAME + 600) + 600;
    let (log, stream) = open(Settings { quota: Some(quota as u64), overflow: Overflow::Block, ..settings() });
    let taken = |log: &Log| {
        let ticket = put(log, stream, 600);
        log.flush_group();
        ready(ticket) == Outcome::DONE
    };
    assert_eq!((0..10).filter(|_| taken(&log)).count(), 5);
}

/// Bytes of the frame with the stream's name.
const NAME: usize = 44 + 6;

#[test]
fn who_cannot_be_given_a_cursor_is_refused() {
    for fault in [Fault::DeadAfter(0), Fault::SyncFailsAfter(0)] {
        let disk = LossyDisk::default();
        let (log, stream) = open_on(&disk, settings());
        disk.fail(Some(fault));
        let error = log.subscribe(stream, "loki").expect_err("nothing can be written");
        assert!(error.to_string().contains("the cursor of loki cannot be written"), "{error}");
    }
}

#[test]
fn nothing_is_taken_in_until_a_new_cursor_is_on_a_disk_that_was_full() {
    let disk = LossyDisk::default();
    let (log, stream) = open_on(&disk, settings());
    disk.limit(Some(disk.files().values().sum()));
    assert_eq!(log.subscribe(stream, "loki").map_err(|error| error.to_string()), Ok(true));
    disk.limit(None);
    assert_eq!(why(ready(put(&log, stream, 100))), "the disk is full", "it would not be kept for loki");
    log.flush_group();
    let kept = put(&log, stream, 100);
    log.flush_group();
    assert_eq!(ready(kept), Outcome::DONE);
    drop(log);
    let (log, stream) = open_on(&disk, settings());
    let mut reader = ready(log.reader(stream, "loki")).expect("its cursor is there");
    assert!(next(&mut reader).expect("it can be read").is_some());
}

#[test]
fn a_storage_says_whether_all_of_its_new_settings_could_be_taken_over() {
    let (disk, clock) = (Arc::new(LossyDisk::default()), Arc::<FakeClock>::default());
    let ports = Ports { disk, clock, random: Arc::new(SystemRandom::default()) };
    let of = |durability, max_bytes| Settings { create_directory: true, durability, max_bytes, ..settings() };
    let storage = Storage::new(ports, of(Durability::Synced, 1000));
    assert!(storage.adjust(of(Durability::Memory, 2000)), "nobody has opened it");
    let log = storage.log().expect("a sound disk");
    assert_eq!((storage.settings().durability, log.stats().max_bytes), (Durability::Memory, 2000));
    assert!(storage.adjust(of(Durability::Memory, 3000)));
    assert!(!storage.adjust(of(Durability::Synced, 4000)), "it is open");
    assert_eq!((storage.settings().max_bytes, log.stats().max_bytes), (4000, 4000));
}

#[test]
fn a_journal_is_read_on_a_full_disk_and_none_is_begun_there() {
    let disk = LossyDisk::default();
    let (log, _) = open_on(&disk, settings());
    let opened = log.journal(&ComponentId::new("change")).expect("the first");
    // A name and the end of an empty snapshot; later an entry.
    assert_eq!(opened.journal.size(), 44 + 6 + 44);
    opened.journal.append(Bytes::from_static(b"one"), Settle::nobody());
    log.flush_group();
    assert_eq!(opened.journal.size(), 44 + 6 + 44 + 44 + 3);
    drop(opened);
    disk.fail(Some(Fault::FullAfter(0)));
    let again = log.journal(&ComponentId::new("change")).expect("it was there before");
    assert_eq!(again.entries, ["one"]);
    assert!(log.journal(&ComponentId::new("other")).is_err());
}

#[test]
fn a_journal_that_never_was_cannot_be_forgotten() {
    let (log, _) = open(settings());
    let forget = || log.forget_journal("change").map_err(|error| error.to_string());
    assert_eq!(forget(), Ok(false));
    drop(log.journal(&ComponentId::new("change")).expect("the first"));
    assert_eq!((forget(), forget()), (Ok(true), Ok(false)));
}
