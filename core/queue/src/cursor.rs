//! How far a destination is in a stream. The fields of a [`Cursor`] are private: its invariants are kept here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::Record;
use crate::ranges::Ranges;

/// A destination's place in a stream: everything below `low` is settled, and below `high` all but what is out, set aside, or stands
/// in `holes`. So a record that never settles costs one number, however much is settled behind it.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    low: u64,
    /// Where what earlier readers were given ends.
    high: u64,
    /// Below `high`, not settled, and still to be read again.
    holes: BTreeSet<u64>,
    /// What is not for this destination.
    skips: Ranges,
    /// What the reader looks at next.
    next: u64,
    /// Given out and not settled, with sizes.
    out: BTreeMap<u64, usize>,
    out_bytes: usize,
    /// Dropped while a reader's lease had given it out, and not heard of since: it may still be delivered.
    undecided: BTreeSet<(u64, u64)>,
    /// Given back, to be given out again.
    returned: VecDeque<(u64, Arc<Record>)>,
    /// Given back, to be read again once the reader [looks again](Self::look_again): it takes no memory until then.
    aside: BTreeSet<u64>,
    /// Where the destination keeps what it takes in a registry: from here on nothing is in a synced snapshot, so `low`
    /// goes no further.
    limit: Option<u64>,
    attached: bool,
    /// How many readers it has had: what an earlier one gave out is not for this one to have back.
    lease: u64,
    /// Nobody reads for it.
    orphan: Option<Idle>,
    /// When its age was last written down.
    looked: u64,
    /// The segments it has passed and that are still there.
    passed: Passed,
    /// Whether it has moved since it was last written down.
    dirty: bool,
}

/// How long nobody has read for a cursor, in nanoseconds in which the log was open. The time of day says nothing of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Idle {
    /// At the monotonic moment `since`.
    age: u64,
    since: u64,
}

impl Idle {
    pub(crate) fn new(age: u64, since: u64) -> Self {
        Self { age, since }
    }

    pub(crate) fn age(&self, now: u64) -> u64 {
        self.age.saturating_add(now.saturating_sub(self.since))
    }
}

/// Segments that a cursor has passed: all that begin below a number, and how many bytes they have.
#[derive(Clone, Copy, Debug, Default)]
struct Passed {
    below: u64,
    bytes: u64,
}

impl Cursor {
    pub(crate) fn at(low: u64) -> Self {
        Self { low, next: low, ..Self::default() }
    }

    /// A cursor that was written down.
    pub(crate) fn from_position(place: CursorPosition) -> Self {
        let CursorPosition { low, high, skips, unsettled } = place;
        Self { high: high.max(low), holes: unsettled, skips, ..Self::at(low) }
    }

    /// A cursor that stands for destinations whose own were lost.
    pub(crate) fn orphaned(low: u64, now: u64) -> Self {
        Self { orphan: Some(Idle::new(0, now)), ..Self::at(low) }
    }

    /// All below is settled.
    pub(crate) fn low(&self) -> u64 {
        self.low
    }

    /// What the reader looks at next.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn is_attached(&self) -> bool {
        self.attached
    }

    /// For how long nobody has read for it, if nobody does.
    pub(crate) fn orphan(&self) -> Option<Idle> {
        self.orphan
    }

    /// Nobody reads for it yet, and nobody has for this long.
    pub(crate) fn set_idle(&mut self, age: u64, now: u64) {
        self.orphan = Some(Idle::new(age, now));
    }

    /// Its destination is configured.
    pub(crate) fn subscribed(&mut self) {
        self.orphan = None;
        self.dirty = true;
    }

    /// A reader begins, unless there is one; with the number of its lease.
    pub(crate) fn attach(&mut self) -> Option<u64> {
        if self.attached {
            return None;
        }
        self.rewind();
        (self.attached, self.orphan, self.dirty) = (true, None, true);
        self.lease += 1;
        Some(self.lease)
    }

    /// Its reader ends.
    pub(crate) fn detach(&mut self, now: u64) {
        self.rewind();
        (self.attached, self.orphan, self.dirty) = (false, Some(Idle::new(0, now)), true);
    }

    /// Whether it has moved since it was last written down.
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// It is written down, or what was written did not reach the disk.
    pub(crate) fn set_dirty(&mut self, dirty: bool) {
        self.dirty = dirty;
    }

    /// Has its age written down, if that was not done for `interval`, so that it goes on from there after a restart.
    pub(crate) fn note_age(&mut self, now: u64, interval: u64) {
        if now >= self.next_look(interval) {
            (self.looked, self.dirty) = (now, true);
        }
    }

    /// When its age is to be written down again.
    pub(crate) fn next_look(&self, interval: u64) -> u64 {
        self.looked.saturating_add(interval)
    }

    /// Whether as much is given out and not settled as may be.
    pub(crate) fn is_full(&self, bytes: usize, records: usize) -> bool {
        self.out_bytes >= bytes || self.out.len() >= records
    }

    /// A record that was given back, to be given out again.
    pub(crate) fn take_returned(&mut self) -> Option<(u64, Arc<Record>)> {
        self.returned.pop_front()
    }

    /// A record that was given out under this lease is delivered, or refused for good.
    pub(crate) fn acknowledge(&mut self, lease: u64, sequence: u64) {
        self.undecided.remove(&(lease, sequence));
        self.settle(sequence);
    }

    /// A record that was given out under this lease comes back undelivered. Says whether it has been dropped meanwhile.
    pub(crate) fn give_back(&mut self, lease: u64, sequence: u64, record: &Arc<Record>) -> bool {
        let dropped = self.undecided.remove(&(lease, sequence));
        // A reader that came later has been given it already.
        if self.lease == lease
            && let Some(bytes) = self.out.get_mut(&sequence)
        {
            // It stays in `out`, so that the cursor does not pass it, and takes no room in the window.
            self.out_bytes -= std::mem::take(bytes);
            self.returned.push_back((sequence, Arc::clone(record)));
        }
        dropped
    }

    /// A record is not for this destination.
    pub(crate) fn skip(&mut self, sequence: u64) {
        self.skips.add(sequence, sequence + 1);
        self.dirty = true;
    }

    /// Segments that begin below this are counted as passed.
    pub(crate) fn passed_below(&self) -> u64 {
        self.passed.below
    }

    /// Bytes of the segments that it has passed and that are still there.
    pub(crate) fn passed_bytes(&self) -> u64 {
        self.passed.bytes
    }

    /// It has passed the segment that begins with `first`.
    pub(crate) fn pass(&mut self, first: u64, bytes: u64) {
        self.passed.below = first + 1;
        self.passed.bytes += bytes;
    }

    /// The segment that begins with `first` is gone.
    pub(crate) fn forget(&mut self, first: u64, bytes: u64) {
        if first < self.passed.below {
            self.passed.bytes -= bytes;
        }
    }

    /// What is to be written down of it.
    pub(crate) fn place(&self) -> CursorPosition {
        let (low, skips) = (self.low, self.skips.clone());
        if self.limit.is_some() {
            // What no snapshot holds is settled only as long as we live.
            return CursorPosition { low, high: low, skips, unsettled: BTreeSet::new() };
        }
        let unsettled = self.out.keys().chain(&self.holes).chain(&self.aside).copied().collect();
        CursorPosition { low, high: self.high.max(self.next), skips, unsettled }
    }

    /// A reader begins, or ends: what is out is to be read again.
    fn rewind(&mut self) {
        let CursorPosition { high, unsettled, .. } = self.place();
        (self.high, self.holes, self.next) = (high, unsettled, self.low);
        self.out.clear();
        self.out_bytes = 0;
        self.returned.clear();
        self.aside.clear();
        self.limit = None;
    }

    /// A record that was given out under this lease comes back undelivered, and makes room for others. Says whether it has been
    /// dropped meanwhile.
    pub(crate) fn set_aside(&mut self, lease: u64, sequence: u64) -> bool {
        let dropped = self.undecided.remove(&(lease, sequence));
        if self.lease == lease
            && let Some(bytes) = self.out.remove(&sequence)
        {
            self.out_bytes -= bytes;
            self.aside.insert(sequence);
        }
        dropped
    }

    /// How many records are set aside.
    pub(crate) fn aside(&self) -> usize {
        self.aside.len()
    }

    /// Up to `most` records that are set aside, those from this one on first, are read again before what comes next. Says which.
    pub(crate) fn look_again(&mut self, from: u64, most: usize) -> BTreeSet<u64> {
        let behind = self.aside.range(from..).chain(self.aside.range(..from));
        let again: BTreeSet<u64> = behind.take(most).copied().collect();
        if let Some(first) = again.first() {
            self.aside.retain(|sequence| !again.contains(sequence));
            self.high = self.high.max(self.next);
            self.holes.extend(&again);
            self.next = self.next.min(*first);
        }
        again
    }

    /// Whether a record has still to be delivered.
    pub(crate) fn wants(&self, sequence: u64) -> bool {
        sequence >= self.next
            && (sequence >= self.high || self.holes.contains(&sequence))
            && !self.skips.contains(sequence)
    }

    /// Below this there is nothing that has still to be given out.
    pub(crate) fn wanted_from(&self) -> u64 {
        self.holes.first().copied().unwrap_or_else(|| self.skips.after(self.next.max(self.high)))
    }

    /// Whether nothing of a segment is of use to this destination any more.
    pub(crate) fn has_passed(&self, first: u64, last: u64) -> bool {
        let settled = || {
            let within = first..=last;
            self.limit.is_none()
                && last < self.high.max(self.next)
                && self.out.range(within.clone()).next().is_none()
                && self.holes.range(within.clone()).next().is_none()
                && self.aside.range(within).next().is_none()
        };
        last < self.low || self.skips.after(first) > last || settled()
    }

    pub(crate) fn give_out(&mut self, sequence: u64, bytes: usize) {
        self.look_past(sequence + 1);
        self.out_bytes += bytes;
        self.out.insert(sequence, bytes);
    }

    /// The reader has seen all below `next`; what it did not find there is gone.
    pub(crate) fn look_past(&mut self, next: u64) {
        self.next = self.next.max(next);
        while self.holes.first().is_some_and(|hole| *hole < self.next) {
            self.holes.pop_first();
        }
    }

    /// A record is delivered, or refused for good.
    fn settle(&mut self, sequence: u64) {
        let Some(bytes) = self.out.remove(&sequence) else { return };
        self.out_bytes -= bytes;
        self.advance();
    }

    /// What lies below `to` is dropped. What is out of it is not given out again; whether it is lost, its reader says.
    pub(crate) fn drop_below(&mut self, to: u64) {
        let kept = self.out.split_off(&to);
        let dropped = std::mem::replace(&mut self.out, kept).into_keys();
        // What was given back is with nobody.
        let with_reader = dropped.filter(|sequence| !self.returned.iter().any(|(back, _)| back == sequence));
        self.undecided.extend(with_reader.map(|sequence| (self.lease, sequence)));
        self.out_bytes = self.out.values().sum();
        self.returned.retain(|(sequence, _)| *sequence >= to);
        self.aside = self.aside.split_off(&to);
        self.limit = self.limit.map(|limit| limit.max(to));
        self.look_past(to);
        self.advance();
    }

    /// What is not settled and not out, to count it: also where no snapshot holds yet what the destination has.
    pub(crate) fn waiting(&self) -> CursorPosition {
        let mut unsettled = self.holes.clone();
        unsettled.extend(self.returned.iter().map(|(sequence, _)| *sequence));
        unsettled.extend(&self.aside);
        CursorPosition { low: self.low, high: self.high.max(self.next), skips: self.skips.clone(), unsettled }
    }

    /// From now on `low` waits for snapshots.
    pub(crate) fn pin(&mut self) {
        self.limit = Some(self.low);
        // The registry knows what it has; what went ahead of it is told again.
        self.high = self.low;
        self.holes.clear();
    }

    /// All up to `sequence` is in a synced snapshot.
    pub(crate) fn advance_to(&mut self, sequence: u64) {
        self.limit = self.limit.map(|limit| limit.max(sequence + 1));
        self.advance();
    }

    /// Moves `low` up to the first record that is not settled, as far as anything was read.
    pub(crate) fn advance(&mut self) {
        let out = self.out.first_key_value().map(|(sequence, _)| *sequence);
        let behind = self.holes.first().into_iter().chain(self.aside.first()).copied();
        let first = out.into_iter().chain(behind).min();
        let settled = self.skips.after(first.unwrap_or_else(|| self.next.max(self.high)));
        self.low = settled.min(self.limit.unwrap_or(u64::MAX)).max(self.low);
        self.next = self.next.max(self.low);
        self.skips.forget_below(self.low);
        self.dirty = true;
    }
}

/// What is written down of a cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CursorPosition {
    pub(crate) low: u64,
    pub(crate) high: u64,
    pub(crate) skips: Ranges,
    /// Below `high`, not settled.
    pub(crate) unsettled: BTreeSet<u64>,
}

impl CursorPosition {
    /// Whether a record has still to be delivered.
    pub(crate) fn wants(&self, sequence: u64) -> bool {
        sequence >= self.low
            && (sequence >= self.high || self.unsettled.contains(&sequence))
            && !self.skips.contains(sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_moves_only_over_what_is_settled() {
        let mut cursor = Cursor::at(10);
        assert!(cursor.wants(10) && !cursor.wants(9), "it begins there");
        (10..14).for_each(|sequence| cursor.give_out(sequence, 1));
        cursor.settle(12);
        assert_eq!((cursor.low, cursor.out.len()), (10, 3));
        cursor.settle(10);
        assert_eq!((cursor.low, cursor.out.len()), (11, 2));
        cursor.settle(11);
        assert_eq!((cursor.low, cursor.out.len()), (13, 1), "what was settled beyond is passed with it");
        cursor.settle(13);
        assert_eq!((cursor.low, cursor.out_bytes), (14, 0));
    }

    #[test]
    fn one_record_that_never_settles_costs_one_number() {
        let mut cursor = Cursor::at(0);
        (0..100_000).for_each(|sequence| cursor.give_out(sequence, 1));
        (1..100_000).for_each(|sequence| cursor.settle(sequence));
        assert_eq!((cursor.low, cursor.out.len(), cursor.holes.len()), (0, 1, 0));
        let place = cursor.place();
        assert_eq!((place.high, place.unsettled.len()), (100_000, 1));
        let mut again = Cursor::from_position(place);
        assert!(again.wants(0) && !again.wants(1) && !again.wants(99_999) && again.wants(100_000));
        again.give_out(0, 1);
        assert_eq!(again.wanted_from(), 100_000, "nothing in between is read again");
        again.settle(0);
        assert_eq!(again.low, 100_000);
    }

    #[test]
    fn what_is_set_aside_takes_no_room_and_is_read_again_before_the_cursor_passes_it() {
        let mut cursor = Cursor::at(10);
        let lease = cursor.attach().expect("nobody reads");
        (10..20).for_each(|sequence| cursor.give_out(sequence, 1));
        assert!(!cursor.set_aside(lease, 12) && !cursor.set_aside(lease, 15));
        assert_eq!((cursor.out.len(), cursor.out_bytes, cursor.aside()), (8, 8, 2));
        (10..20).for_each(|sequence| cursor.settle(sequence));
        let unsettled = BTreeSet::from([12, 15]);
        assert_eq!((cursor.low, cursor.place().unsettled), (12, unsettled.clone()));
        assert_eq!(cursor.waiting().unsettled, unsettled);
        assert_eq!([(10, 11), (12, 14), (16, 19)].map(|(f, l)| cursor.has_passed(f, l)), [true, false, true]);
        assert!(!cursor.wants(12), "not yet");
        assert_eq!(cursor.look_again(13, 1), BTreeSet::from([15]));
        assert_eq!((cursor.wanted_from(), cursor.wants(12)), (15, false));
        assert_eq!(cursor.look_again(16, 9), BTreeSet::from([12]));
        let wanted: Vec<u64> = (10..22).filter(|sequence| cursor.wants(*sequence)).collect();
        assert_eq!((wanted, cursor.wanted_from(), cursor.aside()), (vec![12, 15, 20, 21], 12, 0));
        cursor.give_out(12, 1);
        cursor.settle(12);
        assert_eq!((cursor.low, cursor.wanted_from()), (15, 15));
        // Another reader is given it again, and what was dropped is not.
        cursor.give_out(15, 1);
        cursor.set_aside(lease, 15);
        let mut again = Cursor::from_position(cursor.place());
        assert!(again.wants(15) && !again.wants(16) && again.wants(20));
        again.drop_below(16);
        cursor.drop_below(16);
        assert_eq!((cursor.aside(), cursor.low, again.low), (0, 20, 20));
        cursor.give_out(20, 1);
        cursor.drop_below(21);
        assert!(cursor.set_aside(lease, 20), "it was dropped meanwhile");
        assert_eq!(cursor.aside(), 0);
    }

    #[test]
    fn a_segment_is_passed_once_nothing_in_it_is_unsettled() {
        let mut cursor = Cursor::at(0);
        (0..30).for_each(|sequence| cursor.give_out(sequence, 1));
        (0..30).filter(|sequence| *sequence != 5).for_each(|sequence| cursor.settle(sequence));
        let passed =
            |cursor: &Cursor| [(0, 4), (5, 9), (10, 19), (20, 30)].map(|(f, l)| cursor.has_passed(f, l));
        assert_eq!(passed(&cursor), [true, false, true, false]);
        cursor.rewind();
        assert_eq!(passed(&cursor), [true, false, true, false]);
        cursor.look_past(6);
        cursor.advance();
        assert_eq!((cursor.low, passed(&cursor)), (30, [true, true, true, false]));
        cursor.pin();
        cursor.give_out(30, 1);
        cursor.settle(30);
        assert!(!cursor.has_passed(20, 30), "no snapshot holds it");
    }

    #[test]
    fn what_is_not_for_a_destination_is_passed_when_it_gets_there() {
        let mut cursor = Cursor::at(0);
        cursor.skips.add(2, 5);
        assert!(cursor.wants(1) && !cursor.wants(2) && !cursor.wants(4) && cursor.wants(5));
        assert!(cursor.has_passed(2, 4) && !cursor.has_passed(1, 4) && !cursor.has_passed(2, 5));
        assert!(!Cursor::from_position(cursor.place()).wants(2), "it is written down");
        (0..2).for_each(|sequence| cursor.give_out(sequence, 1));
        cursor.settle(1);
        assert_eq!(cursor.low, 0);
        cursor.settle(0);
        assert_eq!((cursor.low, cursor.next, cursor.wanted_from()), (5, 5, 5));
    }

    #[test]
    fn a_cursor_that_is_held_back_waits_for_the_snapshot() {
        let mut cursor = Cursor::at(10);
        cursor.pin();
        (10..14).for_each(|sequence| cursor.give_out(sequence, 1));
        (10..13).for_each(|sequence| cursor.settle(sequence));
        assert_eq!(
            (cursor.low, cursor.out.len(), cursor.out_bytes),
            (10, 1, 1),
            "it takes no room meanwhile"
        );
        assert_eq!(
            (cursor.place().high, cursor.place().unsettled.len()),
            (10, 0),
            "all of it is to be told again"
        );
        cursor.advance_to(11);
        assert_eq!(cursor.low, 12);
        cursor.advance_to(13);
        assert_eq!(cursor.low, 13, "what is out is not passed, whatever a snapshot says");
    }
}
