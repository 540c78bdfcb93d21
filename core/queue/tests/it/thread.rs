//! The log's thread outlives whoever is told of something.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use throughline_component::port::{Clock, SystemClock, SystemDisk, SystemRandom};
use throughline_component::{ComponentId, Outcome, Settle};
use throughline_queue::{Log, Ports, Settings};
use throughline_testkit::LossyDisk;

use crate::harness::record;

fn open(folder: &tempfile::TempDir) -> Result<Log, String> {
    let ports = Ports {
        disk: Arc::new(SystemDisk),
        clock: Arc::new(SystemClock::default()),
        random: Arc::new(SystemRandom::default()),
    };
    let settings = Settings {
        lock_timeout: std::time::Duration::from_secs(60),
        ..Settings::new(folder.path().to_owned())
    };
    Log::open(ports, settings).map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_hook_that_panics_ends_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = open(&folder).expect("an empty folder");
    let stream = log.stream("traces").expect("the only one");
    log.subscribe(stream, "otlp").expect("synced");
    let journal = log.journal(&ComponentId::new("change")).expect("the first").journal;
    for n in 0..5 {
        log.append(stream, record(Bytes::from(vec![7; 100])), Settle::hook(|_| panic!("on purpose")));
        journal.append(Bytes::from_static(b"a"), Settle::hook(|_| panic!("on purpose")));
        let (settle, ticket) = Settle::ticket();
        log.append(stream, record(Bytes::from(vec![8; 100])), settle);
        assert_eq!(ticket.await, Outcome::DONE, "after {n}");
    }
    assert_eq!(log.stats().committed, 10);
}

#[test]
fn the_last_handle_can_be_dropped_by_who_is_told_of_a_record() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = Arc::new(open(&folder).expect("an empty folder"));
    let stream = log.stream("traces").expect("the only one");
    log.subscribe(stream, "otlp").expect("synced");
    let journal = log.journal(&ComponentId::new("change")).expect("the first").journal;
    let (told, hears) = channel();
    let held = Arc::clone(&log);
    let hook = Settle::hook(move |outcome| {
        drop((journal, held));
        told.send(outcome).expect("the test listens");
    });
    let (go, gone) = channel::<()>();
    // The thread is kept busy until the test has let go of its own handle.
    let wait = Mutex::new(gone);
    log.append(
        stream,
        record(Bytes::from_static(b"1")),
        Settle::hook(move |_| wait.lock().expect("only here").recv().expect("the test goes on")),
    );
    log.append(stream, record(Bytes::from_static(b"2")), hook);
    drop(log);
    go.send(()).expect("the hook listens");
    assert_eq!(hears.recv(), Ok(Outcome::DONE));
    let log = open(&folder).expect("the thread ends and gives the directory back");
    assert_eq!(log.stats().stored_records, 2);
}

/// Stands still, and panics once where that was asked for.
#[derive(Default)]
struct Panics(AtomicBool);

impl Clock for Panics {
    fn unix_nanos(&self) -> u64 {
        0
    }
    fn monotonic_nanos(&self) -> u64 {
        assert!(!self.0.swap(false, Ordering::Relaxed), "on purpose");
        0
    }
}

#[tokio::test]
async fn a_turn_that_panics_costs_its_records_and_leaves_no_trace_of_them() {
    let clock = Arc::<Panics>::default();
    let ports = Ports {
        disk: Arc::new(LossyDisk::default()),
        clock: Arc::<Panics>::clone(&clock),
        random: Arc::new(SystemRandom::default()),
    };
    let settings =
        Settings { create_directory: true, pending_bytes: 2000, ..Settings::new(PathBuf::from("/log")) };
    let log = Arc::new(Log::open(ports, settings).expect("a sound disk"));
    let mut streams = ["traces", "logs"].map(|name| log.stream(name).expect("another number"));
    // In this order they are written.
    streams.sort_unstable();
    let put = |stream: usize| {
        let (settle, ticket) = Settle::ticket();
        log.append(streams[stream], record(Bytes::from(vec![b'x'; 1000])), settle);
        ticket
    };
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let busy = Settle::hook(move |_| wait.lock().expect("only here").recv().expect("the test goes on"));
    log.append(streams[0], record(Bytes::from_static(b"busy")), busy);
    let (told, hears) = channel();
    let (own, to) = (Arc::clone(&log), streams[1]);
    let panics = Settle::hook(move |_| {
        let (settle, ticket) = Settle::ticket();
        own.append(to, record(Bytes::from(vec![b'y'; 500])), settle);
        clock.0.store(true, Ordering::Relaxed);
        told.send(ticket).expect("the test listens");
    });
    log.append(streams[0], record(Bytes::from_static(b"panics")), panics);
    let lost = put(1);
    go.send(()).expect("the hook listens");
    assert!(matches!(lost.await, Outcome::Retry { .. }), "the turn panicked before it was told");
    assert_eq!(hears.recv().expect("it was told").await, Outcome::DONE, "what came in meanwhile is kept");
    assert_eq!((put(1).await, put(0).await), (Outcome::DONE, Outcome::DONE), "no more waits than there is");
}
