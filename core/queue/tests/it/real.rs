//! The same on a real disk, with the log's thread.

use std::sync::Arc;

use bytes::Bytes;
use throughline_component::port::{Journals, SystemClock, SystemDisk, SystemRandom};
use throughline_component::{ComponentId, Outcome, Settle};
use throughline_queue::{Log, Ports, Settings, Storage};

use crate::harness::record;

fn ports() -> Ports {
    Ports {
        disk: Arc::new(SystemDisk),
        clock: Arc::new(SystemClock::default()),
        random: Arc::new(SystemRandom::default()),
    }
}

#[tokio::test]
async fn a_reopened_log_goes_on_where_each_destination_was() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings =
        Settings { segment_bytes: 4096, tail_bytes: 2048, ..Settings::new(folder.path().to_owned()) };
    {
        let log = Log::open(ports(), settings.clone()).expect("an empty folder");
        let stream = log.stream("traces").expect("the only one");
        log.subscribe(stream, "fast").expect("synced");
        log.subscribe(stream, "dead").expect("synced");
        for n in 0..200 {
            let (settle, ticket) = Settle::ticket();
            log.append(stream, record(Bytes::from(format!("record {n}"))), settle);
            assert_eq!(ticket.await, Outcome::DONE);
        }
        let mut fast = log.reader(stream, "fast").await.expect("it has subscribed");
        for n in 0..150 {
            let delivered = fast.next().await.expect("the disk is sound");
            assert_eq!(delivered.record.payload, format!("record {n}"));
            delivered.ack.done();
        }
    }
    let log = Log::open(ports(), settings).expect("it was closed");
    let stream = log.stream("traces").expect("the only one");
    assert_eq!(log.orphans().len(), 2, "nobody has subscribed yet");
    log.subscribe(stream, "fast").expect("synced");
    log.subscribe(stream, "dead").expect("synced");
    assert_eq!(log.orphans(), []);
    for (destination, from) in [("fast", 150), ("dead", 0)] {
        let mut reader = log.reader(stream, destination).await.expect("it has subscribed");
        for n in from..200 {
            let delivered = reader.next().await.expect("the disk is sound");
            assert_eq!(delivered.record.payload, format!("record {n}"), "for {destination}");
            delivered.ack.done();
        }
    }
}

#[tokio::test]
async fn what_everybody_has_passed_makes_room_for_what_is_new() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = Settings { max_bytes: 8192, ..Settings::new(folder.path().to_owned()) };
    let log = Log::open(ports(), settings).expect("an empty folder");
    let stream = log.stream("traces").expect("the only one");
    log.subscribe(stream, "otlp").expect("synced");
    let put = async || {
        let (settle, ticket) = Settle::ticket();
        log.append(stream, record(Bytes::from(vec![7; 500])), settle);
        ticket.await
    };
    let mut kept = 0;
    while put().await == Outcome::DONE {
        kept += 1;
    }
    assert!((10..=16).contains(&kept), "8 KiB hold {kept} records of half a kibibyte");
    let mut reader = log.reader(stream, "otlp").await.expect("it has subscribed");
    for _ in 0..kept {
        reader.next().await.expect("the disk is sound").ack.done();
    }
    // Room is made by the log's own thread.
    while put().await != Outcome::DONE {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_second_opening_of_a_directory_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = Settings::new(folder.path().to_owned());
    let first = Storage::new(ports(), settings.clone());
    first.log().expect("an empty folder");
    let error = Log::open(ports(), settings).expect_err("it is open");
    assert!(error.to_string().contains("in use by another process"), "{error}");
}

#[test]
fn no_file_that_is_removed_lets_a_second_one_in() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = Settings::new(folder.path().to_owned());
    std::fs::write(folder.path().join("LOCK"), "").expect("a writable folder");
    let _first = Log::open(ports(), settings.clone()).expect("nobody has it");
    std::fs::remove_file(folder.path().join("LOCK")).expect("it is there");
    assert!(Log::open(ports(), settings).is_err());
}

#[test]
fn errors_name_the_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = Settings::new(folder.path().to_owned());
    drop(Log::open(ports(), settings.clone()).expect("an empty folder"));
    // Not even an administrator reads a folder as a file.
    let segment = "stream-0000000000000001-0000010000000000-00-00000001.log";
    std::fs::create_dir(folder.path().join(segment)).expect("a writable folder");
    let error = Log::open(ports(), settings).expect_err("it cannot be read");
    assert!(error.to_string().contains(segment), "{error}");
}

#[test]
fn a_missing_directory_is_created_only_if_that_was_asked_for() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = Settings::new(folder.path().join("a/b"));
    assert!(Log::open(ports(), settings.clone()).is_err());
    assert!(Log::open(ports(), Settings { create_directory: true, ..settings }).is_ok());
}

#[tokio::test]
async fn a_journal_is_open_once_and_replays_from_its_snapshot() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let storage = Storage::new(ports(), Settings::new(folder.path().to_owned()));
    let id = ComponentId::new("change");
    {
        let opened = storage.open(&id).expect("the first");
        assert_eq!(opened.entries, Vec::<Bytes>::new());
        assert!(storage.open(&id).is_err(), "two writers would mix");
        let (settle, ticket) = Settle::ticket();
        opened.journal.append(Bytes::from_static(b"a"), Settle::nobody());
        opened.journal.compact(Bytes::from_static(b"A"), Settle::nobody());
        opened.journal.append(Bytes::from_static(b"b"), settle);
        assert_eq!(ticket.await, Outcome::DONE);
    }
    assert_eq!(storage.open(&id).expect("it was closed").entries, ["A", "b"]);
}

#[tokio::test]
async fn a_journal_that_was_cut_after_the_log_was_closed_is_an_error_even_where_an_entry_ends() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let id = ComponentId::new("processor change");
    let log = Log::open(ports(), Settings::new(folder.path().to_owned())).expect("the folder");
    let opened = log.journal(&id).expect("the first");
    for entry in ["one", "two", "three"] {
        let (settle, ticket) = Settle::ticket();
        opened.journal.append(Bytes::from(entry), settle);
        assert_eq!(ticket.await, Outcome::DONE);
    }
    drop((opened, log));
    let files = std::fs::read_dir(folder.path()).expect("the folder").flatten().map(|entry| entry.path());
    let path = files.filter(|path| path.to_string_lossy().contains("journal-")).max().expect("there is one");
    let file = std::fs::OpenOptions::new().write(true).open(&path).expect("it can be written");
    let size = file.metadata().expect("its size").len();
    file.set_len(size - 44 - 5).expect("it is cut behind the second entry");
    let log = Log::open(ports(), Settings::new(folder.path().to_owned())).expect("the folder");
    let error = log.journal(&id).err().expect("the third entry is missed").to_string();
    assert!(error.contains("it is shorter than it was"), "{error}");
}

#[tokio::test]
async fn a_journal_that_was_cut_after_the_agent_was_killed_is_an_error() {
    let (folder, killed) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("another"));
    let id = ComponentId::new("processor change");
    let log = Log::open(ports(), Settings::new(folder.path().to_owned())).expect("the folder");
    let opened = log.journal(&id).expect("the first");
    let append = async |entry: &'static str| {
        let (settle, ticket) = Settle::ticket();
        opened.journal.append(Bytes::from(entry), settle);
        assert_eq!(ticket.await, Outcome::DONE);
        // What is noted, is noted behind the entry.
        log.flush_group();
    };
    append("one").await;
    append("two").await;
    append("three").await;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    // It is noted by now, or here.
    log.flush_group();
    // What the process leaves behind, if it ends here.
    for file in std::fs::read_dir(folder.path()).expect("the folder").flatten() {
        std::fs::copy(file.path(), killed.path().join(file.file_name())).expect("it can be read");
    }
    let entries = |folder: &std::path::Path| {
        let log = Log::open(ports(), Settings::new(folder.to_owned())).expect("the folder");
        log.journal(&id).map(|opened| opened.entries).map_err(|error| error.to_string())
    };
    let files = std::fs::read_dir(killed.path()).expect("the folder").flatten().map(|entry| entry.path());
    let path = files.filter(|path| path.to_string_lossy().contains("journal-")).max().expect("there is one");
    let whole = std::fs::read(&path).expect("it can be read");
    std::fs::write(&path, &whole[..whole.len() - 44 - 5]).expect("it is cut behind the second entry");
    let error = entries(killed.path()).expect_err("the third entry is missed");
    assert!(error.contains("it is shorter than it was"), "{error}");
    std::fs::write(&path, &whole).expect("it is put back");
    assert_eq!(entries(killed.path()).expect("it is whole"), ["one", "two", "three"]);
}

#[tokio::test]
async fn a_reader_that_has_read_everything_keeps_no_file_open_and_so_no_space_taken() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = Settings { tail_bytes: 100, ..Settings::new(folder.path().to_owned()) };
    {
        let log = Log::open(ports(), settings.clone()).expect("an empty folder");
        let stream = log.stream("traces").expect("the only one");
        log.subscribe(stream, "only").expect("synced");
        for n in 0..50 {
            let (settle, ticket) = Settle::ticket();
            log.append(stream, record(Bytes::from(format!("record {n}"))), settle);
            assert_eq!(ticket.await, Outcome::DONE);
        }
    }
    let log = Log::open(ports(), settings).expect("the folder");
    let stream = log.stream("traces").expect("the only one");
    log.subscribe(stream, "only").expect("synced");
    let mut reader = log.reader(stream, "only").await.expect("it has subscribed");
    for _ in 0..50 {
        reader.next().await.expect("the disk is sound").ack.done();
    }
    let next = tokio::time::timeout(std::time::Duration::from_millis(50), reader.next()).await;
    assert!(next.is_err(), "there is no more");
    let open = std::fs::read_dir("/proc/self/fd").expect("Linux").flatten();
    let open: Vec<_> = open.filter_map(|entry| std::fs::read_link(entry.path()).ok()).collect();
    let streams: Vec<_> = open.iter().filter(|path| path.starts_with(folder.path())).collect();
    assert!(!streams.iter().any(|path| path.to_string_lossy().contains("stream-")), "{streams:?}");
}
