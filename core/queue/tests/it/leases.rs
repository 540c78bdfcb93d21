//! Cursors: where a new one begins, that one reader has it at a time, and what becomes of one that nobody reads for.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use throughline_component::Settle;
use throughline_component::port::SystemRandom;
use throughline_queue::{Delivered, Log, Ports, Reader, Settings};
use throughline_testkit::{FakeClock, LossyDisk};

use crate::harness::record;

const DAY: Duration = Duration::from_hours(24);

fn open(disk: &LossyDisk, clock: &Arc<FakeClock>) -> (Log, u64) {
    let (disk, random) = (Arc::new(disk.clone()), Arc::new(SystemRandom::default()));
    let ports = Ports { disk, clock: Arc::<FakeClock>::clone(clock), random };
    let settings = Settings {
        create_directory: true,
        orphan_expiry: DAY * 7,
        ..Settings::new(PathBuf::from("/data/log"))
    };
    let log = Log::open_still(ports, settings).expect("the disk is sound");
    let stream = log.stream("traces").expect("the only one");
    (log, stream)
}

fn append(log: &Log, stream: u64, text: &'static str) {
    log.append(stream, record(Bytes::from_static(text.as_bytes())), Settle::nobody());
    assert!(log.flush_group());
}

fn next(reader: &mut Reader) -> Option<Delivered> {
    crate::harness::next(reader).expect("it comes to an end")
}

#[tokio::test]
async fn a_new_destination_begins_at_the_end_and_an_old_one_where_it_was() {
    let (disk, clock) = (LossyDisk::default(), Arc::<FakeClock>::default());
    {
        let (log, stream) = open(&disk, &clock);
        log.subscribe(stream, "old").expect("synced");
        append(&log, stream, "before");
        log.subscribe(stream, "new").expect("synced");
        append(&log, stream, "after");
    }
    let (log, stream) = open(&disk, &clock);
    for (destination, expected) in [("old", &["before", "after"][..]), ("new", &["after"])] {
        log.subscribe(stream, destination).expect("synced");
        let mut reader = log.reader(stream, destination).await.expect("it has subscribed");
        for text in expected {
            let delivered = next(&mut reader).expect("it is not delivered yet");
            assert_eq!(delivered.record.payload, *text, "for {destination}");
            delivered.ack.done();
        }
        assert!(next(&mut reader).is_none(), "{destination} has everything");
    }
}

#[tokio::test]
async fn a_second_reader_waits_for_the_first_and_reads_what_that_left_unsettled() {
    let (log, stream) = open(&LossyDisk::default(), &Arc::default());
    log.subscribe(stream, "only").expect("synced");
    append(&log, stream, "settled");
    append(&log, stream, "left");
    let mut first = log.reader(stream, "only").await.expect("it has subscribed");
    next(&mut first).expect("there are two").ack.done();
    let out = next(&mut first).expect("there is one more");
    let mut second = Box::pin(log.reader(stream, "only"));
    let waits = std::future::poll_fn(|cx| std::task::Poll::Ready(second.as_mut().poll(cx).is_pending()));
    assert!(waits.await, "the first has the lease");
    drop(first);
    let mut second = second.await.expect("the lease was given back");
    // What the first gave out is not its any more.
    let again = next(&mut second).expect("it was not settled");
    assert_eq!((&again.record.payload[..], again.position), (&b"left"[..], out.position));
}

#[tokio::test]
async fn the_cursor_of_a_destination_that_has_left_is_reported_kept_for_a_while_and_then_expires() {
    let (disk, clock) = (LossyDisk::default(), Arc::<FakeClock>::default());
    let (log, stream) = open(&disk, &clock);
    log.subscribe(stream, "stays").expect("synced");
    log.subscribe(stream, "leaves").expect("synced");
    let _stays = log.reader(stream, "stays").await.expect("it has subscribed");
    append(&log, stream, "for both");
    drop(log.reader(stream, "leaves").await.expect("it has subscribed"));
    let orphans: Vec<_> = log.orphans().into_iter().map(|orphan| orphan.destination).collect();
    assert_eq!(orphans, ["leaves"]);

    clock.advance(DAY * 6);
    append(&log, stream, "within the week");
    assert_eq!((log.orphans().len(), log.stats().expired), (1, 0));
    clock.advance(DAY * 2);
    append(&log, stream, "after it");
    assert_eq!((log.orphans().len(), log.stats().expired), (0, 1));
    assert!(log.reader(stream, "leaves").await.is_err(), "it has no place any more");
}

#[test]
fn no_more_than_a_window_of_records_is_out_at_once() {
    let (log, stream) = open(&LossyDisk::default(), &Arc::default());
    log.subscribe(stream, "only").expect("synced");
    for _ in 0..1100 {
        log.append(stream, record(Bytes::from_static(b"x")), Settle::nobody());
    }
    log.flush_group();
    let mut reader = crate::harness::ready(log.reader(stream, "only")).expect("it has subscribed");
    let mut out: Vec<Delivered> = std::iter::from_fn(|| next(&mut reader)).collect();
    assert_eq!(out.len(), 1024);
    // It does not matter which one makes room.
    out.swap_remove(500).ack.done();
    out.extend(std::iter::from_fn(|| next(&mut reader)));
    assert_eq!(out.len(), 1024);
    drop(out);
    let again: Vec<Delivered> = std::iter::from_fn(|| next(&mut reader)).collect();
    assert_eq!(again.len(), 1024, "what was given back is given out again, and no more than that");
}

#[test]
fn no_more_than_a_window_of_bytes_is_out_at_once() {
    let disk = LossyDisk::default();
    let ports = Ports {
        disk: Arc::new(disk),
        clock: Arc::new(FakeClock::default()),
        random: Arc::new(SystemRandom::default()),
    };
    let settings =
        Settings { create_directory: true, window_bytes: 1000, ..Settings::new(PathBuf::from("/log")) };
    let log = Log::open_still(ports, settings).expect("the disk is sound");
    let stream = log.stream("traces").expect("the only one");
    log.subscribe(stream, "only").expect("synced");
    for _ in 0..20 {
        append(&log, stream, "some text");
    }
    let mut reader = crate::harness::ready(log.reader(stream, "only")).expect("it has subscribed");
    let out: Vec<Delivered> = std::iter::from_fn(|| next(&mut reader)).collect();
    assert!(out.len() > 10 && out.len() < 20, "{} of 20 are out", out.len());
    let count = out.len();
    drop(out);
    let again: Vec<Delivered> = std::iter::from_fn(|| next(&mut reader)).collect();
    assert_eq!(again.len(), count, "what was given back is given out again, and no more");
    again.into_iter().for_each(|delivered| delivered.ack.done());
    let rest: Vec<Delivered> = std::iter::from_fn(|| next(&mut reader)).collect();
    assert_eq!(rest.len(), 20 - count, "what is settled makes room");
}

#[test]
fn what_an_earlier_reader_gives_back_late_is_not_given_out_twice() {
    let (log, stream) = open(&LossyDisk::default(), &Arc::default());
    log.subscribe(stream, "only").expect("synced");
    append(&log, stream, "a");
    let mut first = crate::harness::ready(log.reader(stream, "only")).expect("it has subscribed");
    let late = next(&mut first).expect("it waits");
    drop(first);
    let mut second = crate::harness::ready(log.reader(stream, "only")).expect("it has subscribed");
    let again = next(&mut second).expect("it was not settled");
    drop(late);
    assert!(next(&mut second).is_none(), "it is on its way");
    again.ack.done();
    assert!(next(&mut second).is_none(), "it is delivered");
}

#[tokio::test]
async fn what_no_snapshot_holds_yet_is_given_out_again_after_a_restart() {
    let (disk, clock) = (LossyDisk::default(), Arc::<FakeClock>::default());
    {
        let (log, stream) = open(&disk, &clock);
        log.subscribe(stream, "registry").expect("synced");
        ["one", "two", "three"].into_iter().for_each(|text| append(&log, stream, text));
        let mut reader = log.reader(stream, "registry").await.expect("it has subscribed");
        reader.pin();
        let mut positions = Vec::new();
        while let Some(delivered) = next(&mut reader) {
            positions.push(delivered.position.sequence);
            delivered.ack.done();
        }
        log.flush_group();
        assert_eq!(log.backlogs()[0].position, positions[0]);
        reader.advance_to(positions[1]);
        log.flush_group();
        assert_eq!(log.backlogs()[0].position, positions[2]);
    }
    let (log, stream) = open(&disk, &clock);
    log.subscribe(stream, "registry").expect("synced");
    let mut reader = log.reader(stream, "registry").await.expect("it has subscribed");
    assert_eq!(next(&mut reader).expect("no snapshot holds it").record.payload, "three");
}
