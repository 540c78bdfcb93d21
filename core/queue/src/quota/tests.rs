use std::collections::BTreeMap;

use throughline_component::port::Clock;

use super::*;
use crate::Record;
use crate::cursor::Cursor;
use crate::limits::Limits;
use crate::limits::{Dropped, GRACE};
use crate::segment::Segment;
use crate::settings::{Overflow, Settings};
use crate::state::State;
use crate::stream::Stream;

#[test]
fn streams_have_equal_shares_of_seven_eighths_unless_a_quota_is_set() {
    let settings = Settings { max_bytes: 8000, ..Settings::new("/log".into()) };
    let limits = Limits::of(&settings);
    assert_eq!([0, 1, 2, 7].map(|streams| limits.quota(streams)), [7000, 7000, 3500, 1000]);
    let set = Limits::of(&Settings { quota: Some(9), ..settings });
    assert_eq!([0, 1, 2].map(|streams| set.quota(streams)), [9, 9, 9]);
}

/// A clock that stands.
struct At(u64);

impl Clock for At {
    fn unix_nanos(&self) -> u64 {
        self.0
    }
    fn monotonic_nanos(&self) -> u64 {
        self.0
    }
}

fn record() -> Record {
    Record {
        signal: throughline_otlp::Signal::Logs,
        items: 3,
        received_at: 0,
        source: throughline_component::ComponentId::new("otlp"),
        metadata: throughline_component::Metadata::default(),
        payload: bytes::Bytes::from_static(b"payload"),
    }
}

fn segment(end: u64) -> Segment {
    let path = std::path::PathBuf::new();
    Segment {
        path,
        salt: 0,
        end,
        last: 9,
        counts: Default::default(),
        active: true,
        sure: None,
        missed: false,
    }
}

fn stream_of(bytes: u64) -> Stream {
    Stream::recovered("traces", 1, BTreeMap::from([(0, segment(bytes))]), false)
}

/// A stream of 1,000 bytes; the first destination has passed 600 of them, the second none.
fn stream() -> Stream {
    let mut stream = stream_of(1000);
    for (destination, bytes) in [("ahead", 600), ("behind", 0)] {
        let mut cursor = Cursor::at(0);
        cursor.pass(0, bytes);
        stream.restore_cursor(destination.to_owned(), cursor);
    }
    stream
}

fn admitted(stream: &mut Stream, overflow: Overflow, quota: u64, now: u64) -> (bool, Vec<(String, Sum)>) {
    let mut dropped = Dropped::new();
    let admitted = stream.admits(&record(), overflow, quota, &mut dropped, &At(now));
    (admitted, dropped.into_iter().map(|((_, destination, _), sum)| (destination, sum)).collect())
}

#[test]
fn a_destination_may_have_exactly_its_quota() {
    let size = record().size() as u64;
    let one = |destination: &str| vec![(destination.to_owned(), Sum { records: 1, items: 3 })];
    let newest = |quota| admitted(&mut stream(), Overflow::DropNewest, quota, 0);
    assert_eq!(newest(1000 + size), (true, vec![]));
    assert_eq!(newest(1000 + size - 1), (true, one("behind")));
    assert_eq!(newest(400 + size), (true, one("behind")));
    assert_eq!(newest(400 + size - 1), (false, vec![]), "there is nobody whom it is for");
    let block = |quota| admitted(&mut stream(), Overflow::Block, quota, 0).0;
    assert_eq!([1000 + size, 1000 + size - 1].map(block), [true, false]);
    let oldest = |quota| admitted(&mut stream(), Overflow::DropOldest, quota, 0);
    assert_eq!(oldest(1), (true, vec![]), "the oldest goes, later");
}

#[test]
fn who_left_long_ago_keeps_nobody_waiting() {
    let mut stream = stream();
    stream.cursor_mut("behind").expect("it is there").set_idle(5, 0);
    let (quota, left_out) = (600, vec![("behind".to_owned(), Sum { records: 1, items: 3 })]);
    for overflow in [Overflow::Block, Overflow::DropOldest] {
        let early = admitted(&mut stream, overflow, quota, GRACE - 6);
        assert_eq!(early, (overflow != Overflow::Block, vec![]), "{overflow:?}: it may come back");
        assert_eq!(
            admitted(&mut stream, overflow, quota, GRACE - 5),
            (true, left_out.clone()),
            "{overflow:?}"
        );
    }
}

/// A log with a stream of segments of ten records and 100 bytes each, the last of which is written to.
fn state(segments: u64, overflow: Overflow, quota: Option<u64>) -> State {
    let settings = Settings { max_bytes: 8000, overflow, quota, ..Settings::new("/log".into()) };
    let mut state = State::new(Limits::of(&settings));
    let all = (0..segments).map(|n| {
        let active = n + 1 == segments;
        (10 * n, Segment { last: 10 * n + 9, counts: [(10, 30), (0, 0), (0, 0)], active, ..segment(100) })
    });
    let mut stream = Stream::recovered("traces", 0, all.collect(), false);
    stream.restore_cursor("otlp".into(), Cursor::at(0));
    state.restore_stream(1, stream);
    state.share();
    state
}

#[test]
fn no_more_of_the_oldest_goes_than_must() {
    let dropped = |quota| {
        let mut state = state(5, Overflow::DropOldest, Some(quota));
        let losses = state.drop_oldest();
        let cursor = &state.streams()[&1].cursors()["otlp"];
        (losses.iter().flat_map(|loss| &loss.parts).count(), cursor.low())
    };
    assert_eq!(
        [500, 499, 400, 399, 100, 99, 1].map(dropped),
        [(0, 0), (1, 10), (1, 10), (2, 20), (4, 40), (4, 40), (4, 40)]
    );
}

#[test]
fn streams_that_nobody_reads_take_no_share() {
    let mut state = state(1, Overflow::Block, None);
    state.restore_stream(2, Stream::new("logs", 0));
    state.restore_stream(3, Stream::new("metrics", 0));
    state.share();
    assert_eq!(state.quota(), 7000);
}

#[test]
fn a_stream_without_destinations_takes_in_what_comes() {
    let mut stream = stream_of(1000);
    assert_eq!(admitted(&mut stream, Overflow::DropNewest, 10, 0), (true, vec![]));
}
