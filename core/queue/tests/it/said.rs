//! Every kind of loss speaks, once a minute, with a count.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use throughline_component::Settle;
use throughline_component::port::SystemRandom;
use throughline_queue::{Log, Overflow, Ports, Settings};
use throughline_testkit::{FakeClock, Fault, LossyDisk};
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

use crate::world::record;

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
    for _ in 0..count {
        log.append(stream, record(Bytes::from(vec![b'x'; 400])), Settle::nobody());
        log.turn();
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
        disk.damage(&PathBuf::from("/log/RESERVE"), throughline_testkit::Damage::Gone);
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
