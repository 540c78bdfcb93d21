//! A record that never settles, and a hundred thousand behind it.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use throughline_component::Settle;
use throughline_component::port::SystemRandom;
use throughline_queue::{Delivered, Log, Ports, Reader, Settings};
use throughline_testkit::{FakeClock, LossyDisk};

use crate::harness::{ready, record};
use crate::scale::is_small;

const MANY: usize = 100_000;

fn open(disk: &LossyDisk) -> (Log, u64) {
    let (disk, clock) = (Arc::new(disk.clone()), Arc::new(FakeClock::default()));
    let ports = Ports { disk, clock, random: Arc::new(SystemRandom::default()) };
    let settings = Settings {
        create_directory: true,
        reserve_bytes: 100,
        segment_bytes: 64 << 10,
        tail_bytes: 64 << 10,
        ..Settings::new(PathBuf::from("/log"))
    };
    let log = Log::open_still(ports, settings).expect("the disk is sound");
    let stream = log.stream("traces").expect("the only one");
    log.subscribe(stream, "otlp").expect("the disk is sound");
    (log, stream)
}

fn next(reader: &mut Reader) -> Option<Delivered> {
    crate::harness::next(reader).expect("it comes to an end")
}

#[test]
fn a_record_that_never_settles_stops_none_of_a_hundred_thousand_behind_it() {
    if is_small() {
        return;
    }
    let disk = LossyDisk::default();
    let (log, stream) = open(&disk);
    for n in 0..=MANY {
        log.append(stream, record(Bytes::from(n.to_string())), Settle::nobody());
        if n % 1000 == 0 {
            log.flush_group();
        }
    }
    log.flush_group();
    let full = log.stats().stored_bytes;
    let mut reader = ready(log.reader(stream, "otlp")).expect("it has subscribed");
    let poison = next(&mut reader).expect("the first");
    for n in 1..=MANY {
        let delivered = next(&mut reader).unwrap_or_else(|| panic!("record {n} waits for the first"));
        assert_eq!(delivered.record.payload, n.to_string());
        delivered.ack.done();
        if n % 1000 == 0 {
            log.flush_group();
        }
    }
    assert!(next(&mut reader).is_none());
    let cursors: usize = disk
        .files()
        .iter()
        .filter(|(path, _)| path.to_string_lossy().contains("cursors"))
        .map(|(_, size)| size)
        .sum();
    assert!(cursors < 100_000, "{cursors} bytes of cursors for one unsettled record");
    let held = log.stats().stored_bytes;
    assert!(held * 20 < full, "of {full} bytes {held} are kept for one record");
    drop((poison, reader, log));

    let (log, stream) = open(&disk);
    log.append(stream, record(Bytes::from_static(b"new")), Settle::nobody());
    log.flush_group();
    let mut reader = ready(log.reader(stream, "otlp")).expect("it has subscribed");
    for expected in ["0", "new"] {
        let delivered = next(&mut reader).expect("it is not delivered yet");
        assert_eq!(delivered.record.payload, expected);
        delivered.ack.done();
    }
    assert!(next(&mut reader).is_none(), "the others were settled before the restart");
}
