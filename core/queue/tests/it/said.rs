//! Every kind of loss speaks, once a minute, with a count.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use throughline_component::Settle;
use throughline_component::port::SystemRandom;
use throughline_queue::{Log, Overflow, Ports, Settings};
use throughline_testkit::{Damage, FakeClock, Fault, LossyDisk};
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

use crate::harness::record;

/// What was said, a line each.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    fn lines(&self, what: &str) -> Vec<String> {
        let lines = self.0.lock().expect("no panic");
        lines.iter().filter(|line| line.contains(what)).cloned().collect()
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push_str(&format!("{}={value:?} ", field.name()));
    }
}

impl Subscriber for Heard {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().expect("no panic").push(line.0);
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

fn open(disk: &LossyDisk, clock: &Arc<FakeClock>) -> (Log, u64) {
    let ports = Ports {
        disk: Arc::new(disk.clone()),
        clock: Arc::<FakeClock>::clone(clock),
        random: Arc::new(SystemRandom::default()),
    };
    let settings = Settings {
        create_directory: true,
        quota: Some(10_000),
        overflow: Overflow::DropOldest,
        reserve_bytes: 100,
        ..Settings::new(PathBuf::from("/log"))
    };
    let log = Log::open_still(ports, settings).expect("a sound disk");
    let stream = log.stream("traces").expect("the only one");
    log.subscribe(stream, "dead").expect("a sound disk");
    (log, stream)
}

fn put(log: &Log, stream: u64, count: usize) {
    // Another test may have been the first to say the same just when this one began to listen, and then nobody would hear it.
    tracing::callsite::rebuild_interest_cache();
    for _ in 0..count {
        log.append(stream, record(Bytes::from(vec![b'x'; 400])), Settle::nobody());
        log.flush_group();
    }
}

/// The number in a line behind a name.
fn number(line: &str, name: &str) -> u64 {
    let value = line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {line}"))
}

#[test]
fn what_is_dropped_is_said_once_a_minute_with_a_count() {
    let (disk, clock, heard) = (LossyDisk::default(), Arc::<FakeClock>::default(), Heard::default());
    tracing::subscriber::with_default(heard.clone(), || {
        let (log, stream) = open(&disk, &clock);
        for _ in 0..3 {
            put(&log, stream, 200);
            clock.advance(Duration::from_mins(1));
        }
        put(&log, stream, 1);
        let lines = heard.lines("component=dead in traces");
        assert!((4..=6).contains(&lines.len()), "one a minute and one for what came in between: {lines:#?}");
        assert!(lines.iter().all(|line| line.contains("oldest")), "{lines:#?}");
        let said: u64 = lines.iter().map(|line| number(line, "items")).sum();
        let dropped = log.dropped()[0].items;
        assert!(said <= dropped && said + 40 > dropped, "{said} of {dropped} were said: {lines:#?}");
    });
}

#[test]
fn a_disk_that_fails_is_said_once_a_minute_with_its_words() {
    let (disk, clock, heard) = (LossyDisk::default(), Arc::<FakeClock>::default(), Heard::default());
    tracing::subscriber::with_default(heard.clone(), || {
        let (log, stream) = open(&disk, &clock);
        disk.fail(Some(Fault::DeadAfter(0)));
        put(&log, stream, 50);
        let lines = heard.lines("component=stream traces");
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert!(lines[0].contains("going down") && number(&lines[0], "items") == 1, "{lines:#?}");
        clock.advance(Duration::from_mins(1));
        put(&log, stream, 1);
        let lines = heard.lines("component=stream traces");
        assert!(lines.iter().map(|line| number(line, "items")).sum::<u64>() >= 50, "{lines:#?}");
        assert!(heard.0.lock().expect("no panic").len() < 20, "{heard:#?}", heard = heard.0.lock());
    });
}

#[test]
fn a_disk_that_has_room_again_is_said_once() {
    let (disk, clock, heard) = (LossyDisk::default(), Arc::<FakeClock>::default(), Heard::default());
    tracing::subscriber::with_default(heard.clone(), || {
        disk.limit(Some(132_000));
        let (log, stream) = open(&disk, &clock);
        assert!(!log.stats().disk_full);
        for _ in 0..20 {
            put(&log, stream, 1);
        }
        disk.damage(&PathBuf::from("/log/RESERVE"), Damage::Gone);
        drop(log);
        disk.crash(throughline_testkit::Keep::All);
        disk.limit(Some(0));
        let (log, stream) = open(&disk, &clock);
        assert!(log.stats().disk_full);
        for _ in 0..5 {
            clock.advance(Duration::from_secs(2));
            put(&log, stream, 1);
        }
        assert!(log.stats().disk_full);
        assert_eq!((heard.lines("room again").len(), heard.lines("the disk is full").len()), (0, 1));
        disk.limit(None);
        for _ in 0..5 {
            clock.advance(Duration::from_secs(2));
            put(&log, stream, 1);
        }
        assert!(!log.stats().disk_full);
        assert_eq!(heard.lines("room again").len(), 1, "{:#?}", heard.lines("disk"));
    });
}

#[test]
fn who_lost_nothing_more_is_not_named_again() {
    let (disk, clock, heard) = (LossyDisk::default(), Arc::<FakeClock>::default(), Heard::default());
    tracing::subscriber::with_default(heard.clone(), || {
        let (log, stream) = open(&disk, &clock);
        log.subscribe(stream, "other").expect("a sound disk");
        put(&log, stream, 3);
        for destination in ["dead", "other"] {
            assert!(log.drop_destination(None, destination)[0].records >= 3);
            put(&log, stream, 1);
            clock.advance(Duration::from_mins(1));
            put(&log, stream, 1);
        }
        let lines = |what: &str| heard.lines(&format!("component={what} in traces")).len();
        assert_eq!((lines("dead"), lines("other")), (1, 1), "{:#?}", heard.lines("traces"));
    });
}

#[test]
fn a_sound_storage_is_opened_without_a_word_and_junk_in_it_is_said_once() {
    let (disk, clock, heard) = (LossyDisk::default(), Arc::<FakeClock>::default(), Heard::default());
    tracing::subscriber::with_default(heard.clone(), || {
        let (log, stream) = open(&disk, &clock);
        put(&log, stream, 30);
        let journal = log.journal(&throughline_component::ComponentId::new("change"));
        drop(journal.expect("the first"));
        drop(log);
        drop(open(&disk, &clock));
        disk.crash(throughline_testkit::Keep::All);
        drop(open(&disk, &clock));
        assert_eq!(
            heard.lines("").into_iter().filter(|line| !line.contains("dead")).collect::<Vec<_>>(),
            [""; 0]
        );
        ["/log/a.txt", "/log/b.txt"].iter().for_each(|junk| disk.put(&PathBuf::from(junk), b"junk"));
        drop(open(&disk, &clock));
        let junk = heard.lines("no file of the storage");
        assert_eq!(junk.len(), 1, "{junk:#?}");
        assert!(junk[0].contains("a.txt") && number(&junk[0], "more") == 1, "{junk:#?}");
    });
}

#[test]
fn a_torn_end_is_said_and_so_is_a_name_that_nobody_knows() {
    let (disk, clock, heard) = (LossyDisk::default(), Arc::<FakeClock>::default(), Heard::default());
    tracing::subscriber::with_default(heard.clone(), || {
        let (log, stream) = open(&disk, &clock);
        put(&log, stream, 3);
        disk.fail(Some(Fault::DeadAfter(0)));
        drop(log);
        disk.crash(throughline_testkit::Keep::All);
        let files = |what: &str| -> Vec<PathBuf> {
            disk.files().into_keys().filter(|path| path.to_string_lossy().contains(what)).collect()
        };
        let segment = files("/stream-").remove(0);
        let mut bytes = disk.contents(&segment).expect("it is there");
        bytes.extend_from_slice(&bytes.clone()[50..80]);
        disk.put(&segment, &bytes);
        assert_eq!(heard.lines("in the middle of a record").len(), 0);
        let (log, _) = open(&disk, &clock);
        assert_eq!((heard.lines("in the middle of a record").len(), log.stats().torn), (1, 1));
        assert_eq!(heard.lines("the name of a stream is damaged").len(), 0);
        drop(log);
        disk.flip(&segment, 46, 1);
        files("/cursors-").iter().for_each(|path| disk.damage(path, Damage::Gone));
        let ports = Ports {
            disk: Arc::new(disk.clone()),
            clock: Arc::<FakeClock>::clone(&clock),
            random: Arc::new(SystemRandom::default()),
        };
        let log =
            Log::open_still(ports, Settings::new(PathBuf::from("/log"))).expect("its segments are kept");
        assert_eq!(heard.lines("the name of a stream is damaged").len(), 1);
        assert_eq!(log.stats().torn, 0);
    });
}

#[test]
fn who_begins_with_the_oldest_record_since_cursors_were_lost_is_named() {
    let (disk, clock, heard) = (LossyDisk::default(), Arc::<FakeClock>::default(), Heard::default());
    tracing::subscriber::with_default(heard.clone(), || {
        tracing::callsite::rebuild_interest_cache();
        let (log, stream) = open(&disk, &clock);
        put(&log, stream, 3);
        log.subscribe(stream, "late").expect("a sound disk");
        drop(log);
        assert_eq!(heard.lines("may have been lost"), Vec::<String>::new(), "a new one begins at the end");
        let cursors = disk.files().into_keys().find(|path| path.to_string_lossy().contains("cursors-"));
        disk.damage(&cursors.expect("they were written"), Damage::Gone);
        drop(open(&disk, &clock));
        let lines = heard.lines("may have been lost");
        assert!(lines.len() == 1 && lines[0].contains("destination=dead"), "{lines:#?}");
    });
}

#[test]
fn what_is_gone_is_named_also_where_nothing_tells_its_name() {
    let (disk, clock, heard) = (LossyDisk::default(), Arc::<FakeClock>::default(), Heard::default());
    tracing::subscriber::with_default(heard.clone(), || {
        tracing::callsite::rebuild_interest_cache();
        let (log, stream) = open(&disk, &clock);
        put(&log, stream, 3);
        drop(log);
        for path in disk.files().into_keys() {
            let name = path.to_string_lossy();
            if name.contains("/stream-") || name.contains("/cursors-") {
                disk.damage(&path, Damage::Gone);
            }
        }
        drop(open(&disk, &clock));
        let number = format!("{stream:016x}");
        let (segment, cursors) = (heard.lines("a segment is missing"), heard.lines("the cursors are lost"));
        assert!(segment.len() == 1 && segment[0].contains(&format!("stream={number} ")), "{segment:#?}");
        assert!(cursors.len() == 1 && cursors[0].contains(&format!("streams={number} ")), "{cursors:#?}");
    });
}

#[test]
fn a_journal_and_a_manifest_that_are_both_gone_are_said() {
    let (disk, clock, heard) = (LossyDisk::default(), Arc::<FakeClock>::default(), Heard::default());
    tracing::subscriber::with_default(heard.clone(), || {
        tracing::callsite::rebuild_interest_cache();
        let id = throughline_component::ComponentId::new("processor change");
        for gone in [false, true] {
            let (log, _) = open(&disk, &clock);
            drop(log.journal(&id).expect("it begins with nothing"));
            drop(log);
            assert_eq!(heard.lines("whether there was one is not known").len(), usize::from(gone));
            let files = disk.files().into_keys().filter(|path| {
                ["/journal-", "MANIFEST"].iter().any(|what| path.to_string_lossy().contains(what))
            });
            files.for_each(|path| disk.damage(&path, Damage::Gone));
        }
        let lines = heard.lines("the manifest is gone or damaged");
        assert!(lines.len() == 1 && lines[0].contains("a segment or a journal"), "{lines:#?}");
        assert!(heard.lines("whether there was one")[0].contains("processor change"));
    });
}

/// A storage that was used and whose process was killed.
fn killed(clock: &Arc<FakeClock>, pause: bool) -> LossyDisk {
    let disk = LossyDisk::default();
    let (log, stream) = open(&disk, clock);
    let journal = log.journal(&throughline_component::ComponentId::new("change")).expect("the first").journal;
    for n in 0..4 {
        put(&log, stream, 1);
        log.subscribe(stream, &format!("destination {n}")).expect("a sound disk");
        journal.append(Bytes::from(vec![n; 50]), Settle::nobody());
        log.flush_group();
    }
    let mut reader = crate::harness::ready(log.reader(stream, "destination 0")).expect("it has subscribed");
    while let Some(delivered) = crate::harness::next(&mut reader).expect("it comes to an end") {
        delivered.ack.done();
        log.flush_group();
    }
    if pause {
        clock.advance(Duration::from_secs(2));
        log.flush_group();
    }
    disk.fail(Some(Fault::DeadAfter(0)));
    drop((reader, journal, log));
    disk.crash(throughline_testkit::Keep::All);
    disk
}

fn file(disk: &LossyDisk, what: &str) -> (PathBuf, usize) {
    disk.files().into_iter().find(|(path, _)| path.to_string_lossy().contains(what)).expect("there is one")
}

#[test]
fn a_journal_that_is_torn_at_its_end_is_counted_and_named() {
    let (clock, heard) = (Arc::<FakeClock>::default(), Heard::default());
    tracing::subscriber::with_default(heard.clone(), || {
        tracing::callsite::rebuild_interest_cache();
        for (round, flip) in [false, true].into_iter().enumerate() {
            let disk = killed(&clock, false);
            let (path, size) = file(&disk, "/journal-");
            if flip {
                disk.flip(&path, size - 12, 3);
            } else {
                disk.damage(&path, Damage::Cut(size - 20));
            }
            let (log, _) = open(&disk, &clock);
            let torn = log.stats().torn;
            let opened = log.journal(&throughline_component::ComponentId::new("change"));
            assert_eq!(opened.expect("it is as after a crash").entries.len(), 3);
            assert_eq!(log.stats().torn, torn + 1);
            let lines = heard.lines("in the middle of an entry");
            assert!(lines.len() == round + 1 && lines[round].contains("journal-"), "{lines:#?}");
        }
    });
}

#[test]
fn a_journal_whose_first_frame_is_damaged_is_used_and_named() {
    let (clock, heard) = (Arc::<FakeClock>::default(), Heard::default());
    tracing::subscriber::with_default(heard.clone(), || {
        tracing::callsite::rebuild_interest_cache();
        let disk = killed(&clock, true);
        let (path, _) = file(&disk, "/journal-");
        let mut bytes = disk.contents(&path).expect("it is there");
        bytes[..4].copy_from_slice(b"TLR9");
        disk.put(&path, &bytes);
        let (log, _) = open(&disk, &clock);
        let before = log.stats().damaged;
        let opened = log.journal(&throughline_component::ComponentId::new("change"));
        assert_eq!(opened.expect("all entries are there").entries.len(), 4);
        assert_eq!(log.stats().damaged, before + 1);
        let lines = heard.lines("the first frame");
        assert!(lines.len() == 1 && lines[0].contains("journal-"), "{lines:#?}");
        // With a checksum that fits it, it was another version that wrote it.
        let disk = killed(&clock, true);
        let (path, _) = file(&disk, "/journal-");
        let mut bytes = disk.contents(&path).expect("it is there");
        bytes[3] = b'9';
        bytes[40] ^= 1;
        disk.put(&path, &bytes);
        let (log, _) = open(&disk, &clock);
        let opened = log.journal(&throughline_component::ComponentId::new("change"));
        let error = opened.map(drop).expect_err("it stops its component").to_string();
        assert!(error.contains("another version") && error.contains("journal-"), "{error}");
    });
}

#[test]
fn cursors_that_were_cut_are_said_and_what_they_had_passed_is_delivered_again() {
    let (clock, heard) = (Arc::<FakeClock>::default(), Heard::default());
    tracing::subscriber::with_default(heard.clone(), || {
        tracing::callsite::rebuild_interest_cache();
        let disk = killed(&clock, true);
        drop(open(&disk, &clock));
        assert_eq!(heard.lines("shorter than they were"), [""; 0], "they were not");
        let disk = killed(&clock, true);
        let (path, _) = file(&disk, "/cursors-");
        let bytes = disk.contents(&path).expect("it is there");
        // The last entry, and its copy, at the boundary of a frame.
        let starts: Vec<usize> =
            (0..bytes.len() - 3).filter(|at| bytes[*at..].starts_with(b"TLR2")).collect();
        disk.damage(&path, Damage::Cut(starts[starts.len() - 2]));
        let (log, _) = open(&disk, &clock);
        let lines = heard.lines("shorter than they were");
        assert!(lines.len() == 1 && lines[0].contains("cursors-"), "{lines:#?}");
        assert_eq!((log.stats().torn, log.stats().lost_cursors), (1, 0));
    });
}
