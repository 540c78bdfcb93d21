//! A backlog is read from the disk: in pieces, once, and over what is damaged.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use throughline_component::Settle;
use throughline_component::port::{StoreError, SystemRandom};
use throughline_queue::{Log, Polled, Ports, Settings};
use throughline_testkit::{Damage, FakeClock, Fault, Keep, LossyDisk};

use crate::harness::{next, ready, record};

/// A log that keeps nothing in memory, and its stream.
fn open(disk: &LossyDisk) -> (Log, u64) {
    open_with(disk, Log::open_still)
}

fn open_with(disk: &LossyDisk, open: impl FnOnce(Ports, Settings) -> Result<Log, StoreError>) -> (Log, u64) {
    let (disk, clock) = (Arc::new(disk.clone()), Arc::new(FakeClock::default()));
    let ports = Ports { disk, clock, random: Arc::new(SystemRandom::default()) };
    let settings = Settings {
        create_directory: true,
        reserve_bytes: 0,
        tail_bytes: 0,
        ..Settings::new(PathBuf::from("/log"))
    };
    let log = open(ports, settings).expect("damage is no reason not to open");
    let stream = log.stream("traces").expect("the only one");
    log.subscribe(stream, "otlp").expect("the disk is sound");
    (log, stream)
}

fn append(log: &Log, stream: u64, payload: impl Into<Bytes>) {
    log.append(stream, record(payload.into()), Settle::nobody());
    log.flush_group();
}

fn segment(disk: &LossyDisk) -> PathBuf {
    let mut files = disk.files().into_keys().filter(|path| path.to_string_lossy().contains("/stream-"));
    files.next_back().expect("there is one")
}

fn read(log: &Log, stream: u64) -> Vec<Bytes> {
    let mut reader = ready(log.reader(stream, "otlp")).expect("it has subscribed");
    let mut read = Vec::new();
    while let Some(delivered) = next(&mut reader).expect("it comes to an end") {
        read.push(delivered.record.payload.clone());
        delivered.ack.done();
    }
    read
}

#[test]
fn a_long_backlog_is_read_in_pieces_and_each_piece_once() {
    const RECORD: usize = 20_000;
    let disk = LossyDisk::default();
    let (log, stream) = open(&disk);
    for n in 0..240_u8 {
        append(&log, stream, vec![n; RECORD]);
    }
    let mut reader = ready(log.reader(stream, "otlp")).expect("it has subscribed");
    let (mut loads, mut came, before) = (0, 0, disk.read());
    loop {
        match reader.poll() {
            Polled::Record(delivered) => {
                assert_eq!(delivered.record.payload[0], came);
                came += 1;
                delivered.ack.done();
            }
            Polled::Load => {
                let before = disk.read();
                reader.load().expect("a sound disk");
                loads += 1;
                assert!(disk.read() - before < 2 << 20, "{} bytes at once", disk.read() - before);
            }
            Polled::Wait => break,
        }
    }
    let (size, read) = (240 * RECORD as u64, disk.read() - before);
    assert_eq!(came, 240);
    assert!((4..=8).contains(&loads), "{loads} loads of a mebibyte for {size} bytes");
    // A record across the end of a block is read again from its beginning.
    assert!(read < size + size / 4, "{read} bytes were read of {size}");
}

#[test]
fn each_damaged_place_is_counted_once_and_stops_nobody() {
    let disk = LossyDisk::default();
    let (log, stream) = open(&disk);
    let mut ends = vec![disk.files().get(&segment_or_none(&disk)).copied().unwrap_or_default()];
    for n in 0..6 {
        append(&log, stream, format!("record {n}"));
        ends.push(disk.files()[&segment(&disk)]);
    }
    disk.flip(&segment(&disk), ends[2] - 3, 1);
    disk.flip(&segment(&disk), ends[4] - 3, 1);
    assert_eq!(read(&log, stream), ["record 0", "record 2", "record 4", "record 5"]);
    assert_eq!(log.stats().damaged, 2);
}

fn segment_or_none(disk: &LossyDisk) -> PathBuf {
    disk.files().into_keys().find(|path| path.to_string_lossy().contains("/stream-")).unwrap_or_default()
}

#[test]
fn a_sound_backlog_counts_no_damage() {
    let disk = LossyDisk::default();
    let (log, stream) = open(&disk);
    (0..6).for_each(|n| append(&log, stream, format!("record {n}")));
    assert_eq!(read(&log, stream).len(), 6);
    assert_eq!(log.stats().damaged, 0);
}

#[test]
fn what_is_cut_from_a_segment_while_it_is_open_is_counted_and_stops_nobody() {
    let disk = LossyDisk::default();
    let (log, stream) = open(&disk);
    append(&log, stream, "record 0");
    let end = disk.files()[&segment(&disk)];
    (1..4).for_each(|n| append(&log, stream, format!("record {n}")));
    disk.damage(&segment(&disk), Damage::Cut(end + 10));
    assert_eq!(read(&log, stream), ["record 0"]);
    assert_eq!(log.stats().damaged, 1);
}

/// Head of a frame, as `docs/log-format.md` says.
const HEAD: usize = 44;

#[test]
fn a_sound_frame_that_is_no_record_of_ours_is_passed_over_and_counted() {
    let disk = LossyDisk::default();
    let (log, stream) = open(&disk);
    append(&log, stream, "record 0");
    let path = segment(&disk);
    let from = disk.files()[&path];
    (1..3).for_each(|n| append(&log, stream, format!("record {n}")));
    // The second record is of a signal that nobody knows.
    let mut bytes = disk.contents(&path).expect("it is there");
    let name = path.file_stem().expect("it has a name").to_string_lossy().into_owned();
    let salt = u32::from_str_radix(name.rsplit('-').next().expect("a salt"), 16).expect("hexadecimal");
    let head = &mut bytes[from..from + HEAD];
    head[37] = 9;
    let mut crc = crc32fast::Hasher::new_with_initial(salt);
    crc.update(&head[..40]);
    head[40..].copy_from_slice(&crc.finalize().to_le_bytes());
    disk.put(&path, &bytes);
    assert_eq!(read(&log, stream), ["record 0", "record 2"]);
    assert_eq!(log.stats().damaged, 1);
}

#[test]
fn records_that_a_failed_sync_made_to_be_written_twice_are_counted_once() {
    let disk = LossyDisk::default();
    let (log, stream) = open(&disk);
    let group = |log: &Log, numbers: std::ops::Range<usize>| {
        for n in numbers {
            log.append(stream, record(Bytes::from(format!("record {n}"))), Settle::nobody());
        }
        log.flush_group();
    };
    group(&log, 0..3);
    disk.fail(Some(Fault::SyncFailsAfter(0)));
    group(&log, 3..6);
    assert_eq!(disk.files().keys().filter(|path| path.to_string_lossy().contains("/stream-")).count(), 2);
    let waits = |log: &Log| log.list()[0].records;
    assert_eq!((waits(&log), log.stats().stored_records), (6, 6));
    let mut reader = ready(log.reader(stream, "otlp")).expect("it has subscribed");
    next(&mut reader).expect("it comes to an end").expect("there are six").ack.done();
    log.flush_group();
    assert_eq!(waits(&log), 5);
    drop((reader, log));
    disk.crash(Keep::All);
    let (log, stream) = open(&disk);
    assert_eq!(waits(&log), 5);
    assert_eq!(read(&log, stream).len(), 5);
    assert_eq!((waits(&log), log.stats().damaged), (0, 0));
}

#[test]
fn records_that_wait_are_counted_once_after_a_failed_sync_and_a_restart() {
    for failed in 1..4_usize {
        let disk = LossyDisk::default();
        let (log, stream) = open(&disk);
        append(&log, stream, "record 0");
        disk.fail(Some(Fault::SyncFailsAfter(0)));
        for n in 0..failed {
            log.append(stream, record(Bytes::from(format!("record {n}"))), Settle::nobody());
        }
        log.flush_group();
        drop(log);
        disk.crash(Keep::All);
        let (log, stream) = open(&disk);
        assert_eq!((log.list()[0].records, read(&log, stream).len()), (1 + failed as u64, 1 + failed));
    }
}

#[test]
fn a_log_that_was_closed_in_good_order_is_opened_without_reading_its_records() {
    let disk = LossyDisk::default();
    let (log, stream) = open_with(&disk, Log::open);
    for _ in 0..200 {
        log.append(stream, record(Bytes::from(vec![b'x'; 20_000])), Settle::nobody());
    }
    drop(log);
    let before = disk.read();
    let (log, stream) = open(&disk);
    assert!(disk.read() - before < 1 << 20, "{} bytes were read", disk.read() - before);
    let stats = log.stats();
    assert_eq!((stats.stored_records, stats.stored_items, stats.torn), (200, 200, 0));
    assert_eq!(stats.stored_bytes, 44 + 6 + 200 * (44 + 4 + 4 + 20_000));
    assert_eq!((read(&log, stream).len(), log.stats().damaged), (200, 0));
}

#[test]
fn the_newest_records_are_read_from_memory_as_many_as_were_asked_for_and_no_more() {
    const SIZE: usize = 200;
    let disk = LossyDisk::default();
    let (log, stream) = open_with(&disk, |ports, settings| {
        Log::open_still(ports, Settings { tail_bytes: 10 * SIZE, ..settings })
    });
    for n in 0..60 {
        match n {
            49 => assert!(log.subscribe(stream, "eleven").expect("a sound disk")),
            50 => assert!(log.subscribe(stream, "ten").expect("a sound disk")),
            _ => {}
        }
        // A frame's head, and the source with its length.
        append(&log, stream, vec![b'x'; SIZE - 44 - 4 - 4]);
    }
    for (destination, behind, from_disk) in [("ten", 10, false), ("eleven", 11, true)] {
        let mut reader = ready(log.reader(stream, destination)).expect("it has subscribed");
        let before = disk.read();
        let mut came = 0;
        while let Some(delivered) = next(&mut reader).expect("it comes to an end") {
            delivered.ack.done();
            came += 1;
        }
        assert_eq!((came, disk.read() > before), (behind, from_disk), "{destination}");
    }
}

#[test]
fn a_reader_passes_what_is_damaged_at_the_end_and_costs_nothing_once_it_has_all() {
    let disk = LossyDisk::default();
    let (log, stream) = open(&disk);
    for n in 0..3_u8 {
        append(&log, stream, vec![n; 100]);
    }
    let path = segment(&disk);
    disk.flip(&path, disk.files()[&path] - 1, 1);
    let first = log.backlogs()[0].position;
    assert_eq!(read(&log, stream).len(), 2);
    log.flush_group();
    assert_eq!(log.backlogs()[0].position, first + 3, "the damaged one does not come back");
    let mut reader = ready(log.reader(stream, "otlp")).expect("the first was dropped");
    let other = log.stream("logs").expect("another number");
    let cursors = |disk: &LossyDisk| {
        let files = disk.files().into_iter();
        files
            .filter(|(path, _)| path.to_string_lossy().contains("/cursors-"))
            .map(|(_, size)| size)
            .sum::<usize>()
    };
    log.flush_group();
    append(&log, other, "record");
    let before = cursors(&disk);
    for _ in 0..5 {
        assert!(matches!(reader.poll(), Polled::Wait));
        append(&log, other, "record");
    }
    assert_eq!(cursors(&disk), before, "it has not moved");
}
