//! Files that somebody else removed, cut or wrote over: what they held is missed, nothing else is lost, and it is said.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use throughline_component::port::SystemRandom;
use throughline_component::{ComponentId, Outcome, Settle};
use throughline_queue::{Log, Ports, Settings, Stats, sites};
use throughline_testkit::{Damage, FakeClock, Fault, Keep, LossyDisk, Rng};

use crate::harness::{next, ready, record};

const DESTINATIONS: [&str; 2] = ["otlp", "loki"];

fn try_open(disk: &LossyDisk) -> Result<Log, String> {
    try_open_at(disk, &Arc::default())
}

fn open_at(disk: &LossyDisk, clock: &Arc<FakeClock>) -> Log {
    try_open_at(disk, clock).expect("a sound disk")
}

fn try_open_at(disk: &LossyDisk, clock: &Arc<FakeClock>) -> Result<Log, String> {
    let (ports, settings) = world_of(disk, clock);
    Log::open_still(ports, settings).map_err(|error| error.to_string())
}

fn world_of(disk: &LossyDisk, clock: &Arc<FakeClock>) -> (Ports, Settings) {
    let (disk, clock) = (Arc::new(disk.clone()), Arc::<FakeClock>::clone(clock));
    let ports = Ports { disk, clock, random: Arc::new(SystemRandom::default()) };
    let settings = Settings {
        create_directory: true,
        reserve_bytes: 100,
        segment_bytes: 200,
        tail_bytes: 0,
        ..Settings::new(PathBuf::from("/log"))
    };
    (ports, settings)
}

fn open(disk: &LossyDisk) -> (Log, u64) {
    let log = try_open(disk).expect("damage is no reason not to open");
    let stream = log.stream("traces").expect("the only one");
    (log, stream)
}

fn read(log: &Log, stream: u64, destination: &str) -> Vec<Bytes> {
    log.subscribe(stream, destination).expect("the disk is sound");
    let mut reader = ready(log.reader(stream, destination)).expect("it has subscribed");
    let mut read = Vec::new();
    while let Some(delivered) = next(&mut reader).expect("it comes to an end") {
        read.push(delivered.record.payload.clone());
        delivered.ack.done();
    }
    read
}

fn payloads(numbers: std::ops::Range<usize>) -> Vec<Bytes> {
    numbers.map(|n| Bytes::from(format!("record {n:03}"))).collect()
}

fn append(log: &Log, stream: u64, numbers: std::ops::Range<usize>) {
    for payload in payloads(numbers) {
        log.append(stream, record(payload), Settle::nobody());
        log.flush_group();
    }
}

/// Twelve records in several segments, for two destinations.
fn twelve() -> (LossyDisk, usize) {
    let disk = LossyDisk::default();
    let (log, stream) = open(&disk);
    for destination in DESTINATIONS {
        log.subscribe(stream, destination).expect("a sound disk");
    }
    append(&log, stream, 0..12);
    drop(log);
    let segments = files(&disk, "stream-").len();
    assert!(segments >= 4, "{segments} segments");
    (disk, segments)
}

fn files(disk: &LossyDisk, what: &str) -> Vec<PathBuf> {
    disk.files().into_keys().filter(|path| path.to_string_lossy().contains(what)).collect()
}

fn missed(stats: Stats) -> (u64, u64) {
    (stats.missing, stats.lost_cursors)
}

#[test]
fn destinations_whose_cursors_are_gone_zeroed_or_cut_begin_with_the_oldest_record() {
    for damage in [Damage::Gone, Damage::Zeros, Damage::Cut(0), Damage::Cut(100)] {
        let (disk, _) = twelve();
        disk.damage(&files(&disk, "cursors-")[0], damage);
        let (log, stream) = open(&disk);
        assert_eq!(missed(log.stats()), (0, 1), "{damage:?}");
        let unknown =
            |log: &Log| log.orphans().iter().filter(|orphan| orphan.destination == "(unknown)").count();
        assert_eq!(unknown(&log), 1, "it ages, as one does for whom nobody reads");
        // Somebody who is not affected is quick, and removes nothing that others have not had.
        append(&log, stream, 12..20);
        for destination in DESTINATIONS {
            assert_eq!(read(&log, stream, destination), payloads(0..20), "{damage:?}");
            log.flush_group();
        }
        drop(log);
        let (log, stream) = open(&disk);
        assert_eq!(missed(log.stats()), (0, 0), "it is said once");
        append(&log, stream, 20..21);
        DESTINATIONS.iter().for_each(|d| assert_eq!(read(&log, stream, d), payloads(20..21), "{damage:?}"));
    }
}

#[test]
fn old_cursors_that_were_put_back_cost_no_record() {
    let disk = LossyDisk::default();
    let (log, stream) = open(&disk);
    log.subscribe(stream, "otlp").expect("a sound disk");
    append(&log, stream, 0..3);
    drop(log);
    let old = files(&disk, "cursors-").pop().expect("there is one");
    let copy = disk.contents(&old).expect("it is there");
    let (log, stream) = open(&disk);
    log.subscribe(stream, "loki").expect("a sound disk");
    append(&log, stream, 3..6);
    drop(log);
    for path in files(&disk, "cursors-") {
        disk.damage(&path, Damage::Gone);
    }
    disk.put(&old, &copy);
    let (log, stream) = open(&disk);
    assert_eq!(missed(log.stats()), (0, 1));
    assert_eq!(read(&log, stream, "otlp"), payloads(0..6));
    // It is not in the old file, and may be given more than it has to.
    assert_eq!(read(&log, stream, "loki"), payloads(0..6));
}

#[test]
fn a_segment_that_is_gone_cut_or_zeroed_is_noticed_once_and_the_others_are_read() {
    let (_, count) = twelve();
    for which in 0..count {
        for damage in [Damage::Gone, Damage::Zeros, Damage::Cut(100), Damage::Cut(0)] {
            let (disk, _) = twelve();
            let segment = files(&disk, "stream-").remove(which);
            disk.damage(&segment, damage);
            let (log, stream) = open(&disk);
            assert_eq!(missed(log.stats()), (1, 0), "{damage:?} of segment {which}");
            append(&log, stream, 12..14);
            let all = payloads(0..14);
            let read = read(&log, stream, "loki");
            assert!(read.iter().all(|payload| all.contains(payload)) && read.len() >= 14 - 4, "{read:?}");
            assert_eq!(read[read.len() - 2..], all[12..], "{damage:?} of segment {which}");
            drop(log);
            if damage == Damage::Gone {
                let (log, _) = open(&disk);
                assert_eq!(missed(log.stats()), (0, 0), "it is said once");
            }
        }
    }
}

#[test]
fn the_newest_records_are_missed_after_a_kill_if_they_were_there_for_a_second() {
    for whole_second in [true, false] {
        for damage in [true, false] {
            let (disk, clock) = (LossyDisk::default(), Arc::new(FakeClock::default()));
            let log = open_at(&disk, &clock);
            let stream = log.stream("traces").expect("the only one");
            log.subscribe(stream, "otlp").expect("a sound disk");
            append(&log, stream, 0..1);
            let segment = files(&disk, "stream-").remove(0);
            let first = disk.files()[&segment];
            let before = disk.syncs();
            append(&log, stream, 1..2);
            clock.advance(Duration::from_secs(u64::from(whole_second)));
            append(&log, stream, 2..3);
            assert_eq!(segments(&disk), 1);
            let syncs = |site| disk.syncs()[&site] - before[&site];
            assert_eq!((syncs(sites::MANIFEST_DATA), syncs(sites::SEGMENT_DATA)), (0, 2), "it costs no sync");
            disk.fail(Some(Fault::DeadAfter(0)));
            drop(log);
            disk.crash(Keep::All);
            if damage {
                disk.damage(&segment, Damage::Cut(first));
            }
            let (log, stream) = open(&disk);
            assert_eq!(missed(log.stats()), (u64::from(damage && whole_second), 0));
            assert_eq!(read(&log, stream, "otlp"), payloads(0..if damage { 1 } else { 3 }));
            drop(log);
            assert_eq!(missed(open(&disk).0.stats()), (0, 0), "it is said once");
        }
    }
}

#[test]
fn the_last_burst_before_a_pause_is_noted_by_itself() {
    for idle in [Duration::ZERO, Duration::from_secs(2)] {
        let (disk, clock) = (LossyDisk::default(), Arc::new(FakeClock::default()));
        let log = open_at(&disk, &clock);
        let stream = log.stream("traces").expect("the only one");
        log.subscribe(stream, "otlp").expect("a sound disk");
        let opened = log.journal(&ComponentId::new("change")).expect("the first");
        append(&log, stream, 0..1);
        let segment = files(&disk, "stream-").remove(0);
        let first = disk.files()[&segment];
        append(&log, stream, 1..2);
        opened.journal.append(Bytes::from_static(b"entry"), Settle::nobody());
        log.flush_group();
        let turns = if idle.is_zero() { 0 } else { 1 };
        clock.advance(idle);
        assert_eq!((log.flush_group(), log.flush_group()), (turns > 0, false), "one look, after a second");
        disk.fail(Some(Fault::DeadAfter(0)));
        drop((opened, log));
        disk.crash(Keep::All);
        disk.damage(&segment, Damage::Cut(first));
        let path = files(&disk, "journal-").remove(0);
        disk.damage(&path, Damage::Cut(disk.files()[&path] - 49));
        let (log, _) = open(&disk);
        assert_eq!(missed(log.stats()), (turns, 0));
        let journal = log.journal(&ComponentId::new("change"));
        assert_eq!(journal.is_err(), turns > 0, "noted after {idle:?}");
    }
}

#[test]
fn what_is_cut_from_a_segment_is_missed_also_after_restarts_in_which_nothing_was_appended() {
    for restarts in 0..3 {
        let (disk, clock) = (LossyDisk::default(), Arc::<FakeClock>::default());
        let with_thread = || {
            let (ports, settings) = world_of(&disk, &clock);
            let log = Log::open(ports, settings).expect("a sound disk");
            let stream = log.stream("traces").expect("the only one");
            (log, stream)
        };
        let (log, stream) = with_thread();
        log.subscribe(stream, "otlp").expect("a sound disk");
        append(&log, stream, 0..1);
        let segment = files(&disk, "stream-").remove(0);
        let first = disk.files()[&segment];
        append(&log, stream, 1..3);
        drop(log);
        (0..restarts).for_each(|_| drop(with_thread()));
        assert_eq!(segments(&disk), 1);
        disk.damage(&segment, Damage::Cut(first));
        let (log, stream) = open(&disk);
        assert_eq!(missed(log.stats()), (1, 0), "after {restarts} restarts");
        assert_eq!(read(&log, stream, "otlp"), payloads(0..1));
    }
}

fn segments(disk: &LossyDisk) -> usize {
    files(disk, "stream-").len()
}

#[test]
fn the_newest_records_are_missed_where_cursors_were_written_since() {
    let disk = LossyDisk::default();
    let (log, stream) = open(&disk);
    log.subscribe(stream, "otlp").expect("a sound disk");
    append(&log, stream, 0..1);
    let segment = files(&disk, "stream-").remove(0);
    let first = disk.files()[&segment];
    append(&log, stream, 1..2);
    assert_eq!(read(&log, stream, "otlp").len(), 2);
    log.flush_group();
    drop(log);
    disk.damage(&segment, Damage::Cut(first));
    let (log, stream) = open(&disk);
    assert_eq!(missed(log.stats()), (1, 0));
    append(&log, stream, 2..3);
    assert_eq!(read(&log, stream, "otlp"), payloads(2..3));
}

#[test]
fn a_segment_that_goes_while_it_is_read_stops_nobody() {
    let (disk, _) = twelve();
    let (log, stream) = open(&disk);
    disk.damage(&files(&disk, "stream-")[1], Damage::Gone);
    let read = read(&log, stream, "loki");
    assert!(read.len() >= 8 && read.len() < 12 && read.last() == payloads(11..12).first(), "{read:?}");
    assert_eq!(missed(log.stats()), (1, 0));
}

#[test]
fn a_damaged_name_is_taken_from_the_cursors() {
    let (disk, _) = twelve();
    for segment in files(&disk, "stream-") {
        disk.flip(&segment, 46, 1);
    }
    let log = try_open(&disk).expect("damage is no reason not to open");
    let orphans = log.orphans();
    assert!(orphans.iter().all(|orphan| orphan.stream == "traces") && orphans.len() == 2, "{orphans:?}");
    let stream = log.stream("traces").expect("it has its name");
    assert_eq!(read(&log, stream, "loki"), payloads(0..12));
}

#[test]
fn a_stream_without_name_and_cursors_is_kept_until_it_is_asked_for() {
    let (disk, count) = twelve();
    for segment in files(&disk, "stream-") {
        disk.flip(&segment, 46, 1);
    }
    disk.damage(&files(&disk, "cursors-")[0], Damage::Gone);
    for _ in 0..2 {
        let log = try_open(&disk).expect("damage is no reason not to open");
        let other = log.stream("logs").expect("another");
        log.subscribe(other, "otlp").expect("the disk is sound");
        append(&log, other, 0..1);
        assert_eq!(read(&log, other, "otlp"), payloads(0..1));
        log.flush_group();
        assert!(log.orphans().iter().all(|orphan| !orphan.stream.is_empty()));
        assert!(files(&disk, "stream-").len() >= count);
    }
    let (log, stream) = open(&disk);
    DESTINATIONS.iter().for_each(|d| assert_eq!(read(&log, stream, d), payloads(0..12)));
}

#[test]
fn a_crash_while_lost_cursors_are_mended_loses_nothing() {
    for calls in 0..60 {
        let (disk, _) = twelve();
        disk.damage(&files(&disk, "cursors-")[0], Damage::Cut(70));
        disk.fail(Some(Fault::DeadAfter(calls)));
        drop(try_open(&disk));
        disk.crash(Keep::Some(Rng::new(u64::from(calls))));
        let (log, stream) = open(&disk);
        DESTINATIONS
            .iter()
            .for_each(|d| assert_eq!(read(&log, stream, d), payloads(0..12), "after {calls} calls"));
    }
}

#[test]
fn a_manifest_that_is_gone_or_zeroed_is_said_and_costs_nothing() {
    for damage in [Damage::Gone, Damage::Zeros] {
        let (disk, _) = twelve();
        disk.damage(&files(&disk, "MANIFEST")[0], damage);
        let (log, stream) = open(&disk);
        assert_eq!(missed(log.stats()), (0, 0), "nothing is missing: {damage:?}");
        DESTINATIONS.iter().for_each(|d| assert_eq!(read(&log, stream, d), payloads(0..12)));
        log.flush_group();
        append(&log, stream, 12..14);
        drop(log);
        let (log, stream) = open(&disk);
        assert_eq!(missed(log.stats()), (0, 0), "{damage:?}");
        DESTINATIONS.iter().for_each(|d| assert_eq!(read(&log, stream, d), payloads(12..14)));
    }
}

#[test]
fn the_newest_segment_is_not_missed_if_it_was_removed_on_purpose() {
    for manifest in [true, false] {
        let (disk, count) = twelve();
        if !manifest {
            disk.damage(&files(&disk, "MANIFEST")[0], Damage::Gone);
        }
        let (log, stream) = open(&disk);
        let mut readers: Vec<_> = DESTINATIONS
            .iter()
            .map(|destination| {
                log.subscribe(stream, destination).expect("a sound disk");
                ready(log.reader(stream, destination)).expect("it has subscribed")
            })
            .collect();
        // The first is settled by nobody, and everything behind it by all.
        let mut first = Vec::new();
        for reader in &mut readers {
            first.extend(next(reader).expect("it comes to an end"));
            while let Some(delivered) = next(reader).expect("it comes to an end") {
                delivered.ack.done();
            }
        }
        log.flush_group();
        assert_eq!((segments(&disk), count > 2), (1, true));
        disk.fail(Some(Fault::DeadAfter(0)));
        drop((first, readers, log));
        disk.crash(Keep::All);
        let (log, stream) = open(&disk);
        assert_eq!(missed(log.stats()), (0, 0), "with its manifest: {manifest}");
        DESTINATIONS.iter().for_each(|d| assert_eq!(read(&log, stream, d), payloads(0..1)));
    }
}

#[test]
fn everything_at_once_is_survived() {
    let (disk, _) = twelve();
    disk.damage(&files(&disk, "MANIFEST")[0], Damage::Gone);
    disk.damage(&files(&disk, "cursors-")[0], Damage::Gone);
    let (log, stream) = open(&disk);
    assert_eq!(missed(log.stats()), (0, 1));
    DESTINATIONS.iter().for_each(|d| assert_eq!(read(&log, stream, d), payloads(0..12)));
}

fn journal(disk: &LossyDisk) -> Result<Vec<Bytes>, String> {
    let log = try_open(disk)?;
    let opened = log.journal(&ComponentId::new("change")).map_err(|error| error.to_string())?;
    Ok(opened.entries)
}

#[test]
fn a_journal_that_is_damaged_cut_or_gone_is_an_error_and_stays_as_it_is() {
    let make = || {
        let disk = LossyDisk::default();
        let log = try_open(&disk).expect("a sound disk");
        let opened = log.journal(&ComponentId::new("change")).expect("the first");
        let settle = || Settle::hook(|outcome| assert_eq!(outcome, Outcome::DONE));
        opened.journal.compact(Bytes::from_static(b"snapshot"), settle());
        log.flush_group();
        for entry in ["one", "two", "three"] {
            opened.journal.append(Bytes::from(entry), settle());
            log.flush_group();
        }
        drop((opened, log));
        let path = files(&disk, "journal-").pop().expect("there is one");
        (disk, path)
    };
    let (disk, path) = make();
    let size = disk.files()[&path];
    assert_eq!(journal(&disk), Ok(["snapshot", "one", "two", "three"].map(Bytes::from).to_vec()));
    for damage in [Damage::Gone, Damage::Zeros, Damage::Cut(0), Damage::Cut(60)] {
        let (disk, path) = make();
        disk.damage(&path, damage);
        for _ in 0..2 {
            let error = journal(&disk).expect_err("it is never replaced by nothing");
            assert!(error.contains("journal-") && error.contains("change"), "{error}");
        }
        let log = try_open(&disk).expect("only the journal is damaged");
        assert_eq!(log.forget_journal("change").map_err(|error| error.to_string()), Ok(true));
        drop(log);
        assert_eq!(journal(&disk), Ok(Vec::new()), "somebody decided that it begins anew");
    }
    // Any bit before the last entry. That one might as well have been torn when the end came.
    let last = 44 + 5;
    for byte in 0..size - last {
        let (disk, path) = make();
        disk.flip(&path, byte, 3);
        let read = journal(&disk);
        let name = (44..44 + 6).contains(&byte) || byte < 44;
        assert!(
            read.is_err()
                || (name && read == Ok(["snapshot", "one", "two", "three"].map(Bytes::from).to_vec())),
            "{byte}: {read:?}"
        );
    }
}

#[test]
fn how_long_a_journal_was_is_forgotten_with_it() {
    let disk = LossyDisk::default();
    let log = try_open(&disk).expect("a sound disk");
    let opened = log.journal(&ComponentId::new("change")).expect("the first");
    opened.journal.append(Bytes::from(vec![7; 1000]), Settle::nobody());
    log.flush_group();
    drop(opened);
    log.flush_group();
    assert_eq!(log.forget_journal("change").map_err(|error| error.to_string()), Ok(true));
    drop(log.journal(&ComponentId::new("change")).expect("it begins with nothing").entries);
    disk.fail(Some(Fault::DeadAfter(0)));
    drop(log);
    disk.crash(Keep::All);
    assert_eq!(journal(&disk), Ok(Vec::new()), "it is not shorter than it was");
}

#[test]
fn a_journal_to_which_nothing_was_added_is_missed_too() {
    let disk = LossyDisk::default();
    assert_eq!(journal(&disk), Ok(Vec::new()));
    disk.damage(&files(&disk, "journal-")[0], Damage::Gone);
    assert!(journal(&disk).is_err());
}

#[test]
fn a_journal_that_is_damaged_is_an_error_even_long_after_the_manifest_was_lost() {
    let disk = LossyDisk::default();
    drop(journal(&disk));
    disk.damage(&files(&disk, "MANIFEST")[0], Damage::Gone);
    // The journal is not opened, so that the new manifest does not hear of it.
    drop(try_open(&disk));
    drop(try_open(&disk));
    disk.damage(&files(&disk, "journal-")[0], Damage::Zeros);
    assert!(journal(&disk).is_err());
}

#[test]
fn files_of_another_version_are_an_error_and_stay_as_they_are() {
    for what in ["stream-", "cursors-", "MANIFEST", "journal-"] {
        let (disk, _) = twelve();
        drop(journal(&disk));
        let path = files(&disk, what).remove(0);
        let mut bytes = disk.contents(&path).expect("it is there");
        for at in 0..bytes.len() - 3 {
            if bytes[at..].starts_with(b"TLR2") {
                bytes[at + 3] = b'3';
                bytes[at + 40] ^= 1;
            }
        }
        disk.put(&path, &bytes);
        let (before, reserve) = (disk.contents(&path), files(&disk, "RESERVE"));
        let error = journal(&disk).expect_err("it cannot be read");
        assert!(error.contains("another version") && error.contains(what), "{error}");
        assert_eq!(disk.contents(&path), before);
        assert_eq!((files(&disk, "RESERVE"), reserve.len()), (reserve, 1), "more room would not help");
    }
}

#[test]
fn no_number_is_given_away_twice_although_everything_but_the_cursors_is_gone() {
    let disk = LossyDisk::default();
    let mut last = 0;
    for _ in 0..4 {
        let (log, stream) = open(&disk);
        let position = log.append(stream, record(Bytes::from("record")), Settle::nobody());
        let sequence = position.expect("there is room").sequence;
        assert!(sequence > last, "{sequence} after {last}");
        last = sequence;
        log.flush_group();
        drop(log);
        for path in ["MANIFEST", "stream-"].iter().flat_map(|what| files(&disk, what)) {
            disk.damage(&path, Damage::Gone);
        }
    }
}

#[test]
fn junk_in_the_directory_is_left_alone() {
    let (disk, _) = twelve();
    let junk = [
        "notes.txt",
        "stream-.log",
        "cursors.log",
        "journal-1.log",
        "stream-00-00-00-00.log",
        "stream-CE07D5AD70EC2C26-0000000000000000-00-00000000.log",
        "stream-ce07d5ad70ec2c26-ffffffffffffffff-00-00000000.log",
        "cursors-ffffffffffffffff-0000000000000000.log",
        "cursors-ffffffffffffffff-00000000.log",
        "cursors-1-0.log",
        "journal-0-0-0.log",
    ]
    .map(|name| PathBuf::from("/log").join(name));
    junk.iter().for_each(|path| disk.put(path, b"TLR9 whatever"));
    let (log, stream) = open(&disk);
    assert_eq!(missed(log.stats()), (0, 0));
    assert_eq!(read(&log, stream, "loki"), payloads(0..12));
    junk.iter().for_each(|path| assert_eq!(disk.contents(path).as_deref(), Some(&b"TLR9 whatever"[..])));
}
