//! The log's thread outlives whoever is told of something.

use std::sync::Arc;
use std::sync::mpsc::channel;

use bytes::Bytes;
use throughline_component::port::{SystemClock, SystemDisk, SystemRandom};
use throughline_component::{ComponentId, Outcome, Settle};
use throughline_queue::{Log, Ports, Settings};

use crate::world::record;

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
    let wait = std::sync::Mutex::new(gone);
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
