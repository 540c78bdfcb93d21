//! A file that ends anywhere.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use throughline_component::Settle;
use throughline_component::port::{Random, SystemRandom};
use throughline_queue::{Log, Ports, Settings};
use throughline_testkit::{Damage, FakeClock, Fault, Keep, LossyDisk};

use crate::harness::{next, ready, record};

fn open(disk: &LossyDisk) -> (Log, u64) {
    let disk = Arc::new(disk.clone());
    let ports =
        Ports { disk, clock: Arc::new(FakeClock::default()), random: Arc::new(SystemRandom::default()) };
    let settings =
        Settings { create_directory: true, reserve_bytes: 0, ..Settings::new(PathBuf::from("/log")) };
    let log = Log::open_still(ports, settings).expect("a torn end is no reason not to open");
    let stream = log.stream("traces").expect("the only one");
    log.subscribe(stream, "otlp").expect("the disk is sound");
    (log, stream)
}

fn read(log: &Log, stream: u64) -> Vec<Bytes> {
    let mut reader = ready(log.reader(stream, "otlp")).expect("it has subscribed");
    let mut read = Vec::new();
    while let Some(delivered) = next(&mut reader).expect("it comes to an end") {
        read.push((delivered.record.payload.clone(), delivered.ack));
    }
    read.into_iter().map(|(payload, _)| payload).collect()
}

#[test]
fn a_file_torn_at_any_byte_yields_the_records_before_it_and_takes_new_ones() {
    let payloads: Vec<Bytes> = (0..3).map(|n| Bytes::from(format!("record {n}"))).collect();
    let write = || {
        let disk = LossyDisk::default();
        let (log, stream) = open(&disk);
        let mut ends = Vec::new();
        for payload in &payloads {
            log.append(stream, record(payload.clone()), Settle::nobody());
            log.flush_group();
            let segment =
                disk.files().into_iter().rfind(|(path, _)| path.to_string_lossy().contains("stream-"));
            ends.push(segment.expect("a segment"));
        }
        disk.fail(Some(Fault::DeadAfter(0)));
        drop(log);
        disk.crash(Keep::All);
        (disk, ends)
    };
    let (_, ends) = write();
    let size = ends.last().expect("three").1;
    for cut in 0..=size {
        let (disk, ends) = write();
        disk.damage(&ends[0].0, Damage::Cut(cut));
        let whole = ends.iter().filter(|(_, end)| *end <= cut).count();
        let (log, stream) = open(&disk);
        assert_eq!(read(&log, stream), payloads[..whole], "cut at byte {cut}");
        let torn = whole > 0 && !ends.iter().any(|(_, end)| *end == cut);
        assert_eq!(log.stats().torn, u64::from(torn), "cut at byte {cut}");
        // That the first record was acknowledged is known beside the segment.
        assert_eq!(log.stats().missing, u64::from(whole == 0), "cut at byte {cut}");
        log.append(stream, record(Bytes::from_static(b"new")), Settle::nobody());
        log.flush_group();
        let mut expected = payloads[..whole].to_vec();
        expected.push(Bytes::from_static(b"new"));
        assert_eq!(read(&log, stream), expected, "cut at byte {cut}");
    }
}

/// Always the same.
struct Fixed;

impl Random for Fixed {
    fn bits(&self) -> u64 {
        0x1234_abcd_9876_5432
    }
}

#[test]
fn checksums_start_from_what_no_sender_can_guess() {
    let disk = LossyDisk::default();
    let ports = Ports {
        disk: Arc::new(disk.clone()),
        clock: Arc::new(FakeClock::default()),
        random: Arc::new(Fixed),
    };
    let settings = Settings { create_directory: true, ..Settings::new(PathBuf::from("/log")) };
    let log = Log::open_still(ports, settings).expect("a sound disk");
    let stream = log.stream("traces").expect("the only one");
    log.append(stream, record(Bytes::from("record")), Settle::nobody());
    log.flush_group();
    let names: Vec<PathBuf> = disk.files().into_keys().collect();
    for sort in ["stream-", "cursors-"] {
        let own = names.iter().map(|path| path.to_string_lossy()).find(|path| path.contains(sort));
        assert!(own.is_some_and(|path| path.ends_with("-1234abcd.log")), "{names:?}");
    }
}
