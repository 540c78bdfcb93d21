//! One stream: its segments, its newest records in memory, and the cursors of its destinations. Its fields are private: its invariants are
//! kept here.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use throughline_component::port::Clock;
use tokio::sync::Notify;

use crate::Record;
use crate::cursor::{Cursor, CursorPosition};
use crate::entry::Entry;
use crate::limits::{Dropped, GRACE, Reason, Sum};
use crate::segment::Segment;
use crate::settings::Overflow;

/// The bits of a sequence number below its epoch. Each opening of the log begins an epoch, so that numbers of records
/// that a crash took are not given to others.
pub(crate) const EPOCH_SHIFT: u32 = 40;

/// Stands for destinations whose cursors were lost: what they may not have got is kept, and whoever subscribes next begins
/// there.
pub(crate) const UNKNOWN: &str = "(unknown)";

#[derive(Default)]
pub(crate) struct Stream {
    name: String,
    /// The next sequence number to give away.
    next: u64,
    /// By first sequence number.
    segments: BTreeMap<u64, Segment>,
    /// Bytes of these, and of what is on its way to them.
    bytes: u64,
    pending: u64,
    tail: Tail,
    cursors: BTreeMap<String, Cursor>,
    /// The newest record that was committed, and what was last written down of that.
    committed: u64,
    marked: u64,
    /// Cursors were lost, and there is no telling whose.
    lost: bool,
    /// Told when a record is committed, a delivery settled, a lease given back.
    changed: Arc<Notify>,
}

/// The newest records of a stream; all that were committed from [`from`](Self::from) on are in it.
#[derive(Default)]
pub(crate) struct Tail {
    records: VecDeque<(u64, Arc<Record>)>,
    from: u64,
    bytes: usize,
}

impl Tail {
    pub(crate) fn from(&self) -> u64 {
        self.from
    }

    /// The first record with this number or a later one.
    pub(crate) fn at(&self, next: u64) -> Option<&(u64, Arc<Record>)> {
        self.records.get(self.records.partition_point(|(sequence, _)| *sequence < next))
    }

    /// Makes committed records known to readers.
    fn publish(&mut self, records: impl Iterator<Item = (u64, Arc<Record>)>, bound: usize) {
        for (sequence, record) in records {
            self.bytes += record.size();
            self.records.push_back((sequence, record));
        }
        while self.bytes > bound
            && let Some((sequence, record)) = self.records.pop_front()
        {
            self.bytes -= record.size();
            self.from = sequence + 1;
        }
    }
}

impl Stream {
    pub(crate) fn new(name: &str, epoch: u64) -> Self {
        let next = epoch << EPOCH_SHIFT;
        let tail = Tail { from: next, ..Tail::default() };
        Self { name: name.to_owned(), next, tail, ..Self::default() }
    }

    /// A stream that was on the disk. `lost`: there is no telling whose cursors it had.
    pub(crate) fn recovered(name: &str, epoch: u64, segments: BTreeMap<u64, Segment>, lost: bool) -> Self {
        let bytes = segments.values().map(|segment| segment.end).sum::<u64>();
        let committed = segments.values().filter_map(|segment| segment.sure).max().unwrap_or_default();
        Self { segments, bytes, committed, lost, ..Self::new(name, epoch) }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// By first sequence number.
    pub(crate) fn segments(&self) -> &BTreeMap<u64, Segment> {
        &self.segments
    }

    /// By destination.
    pub(crate) fn cursors(&self) -> &BTreeMap<String, Cursor> {
        &self.cursors
    }

    pub(crate) fn cursors_mut(&mut self) -> impl Iterator<Item = (&String, &mut Cursor)> {
        self.cursors.iter_mut()
    }

    pub(crate) fn cursor_mut(&mut self, destination: &str) -> Option<&mut Cursor> {
        self.cursors.get_mut(destination)
    }

    /// A cursor, and what its reader looks at.
    pub(crate) fn reading(
        &mut self,
        destination: &str,
    ) -> Option<(&mut Cursor, &Tail, &BTreeMap<u64, Segment>)> {
        Some((self.cursors.get_mut(destination)?, &self.tail, &self.segments))
    }

    /// A cursor that was on the disk.
    pub(crate) fn restore_cursor(&mut self, destination: String, cursor: Cursor) {
        self.cursors.insert(destination, cursor);
    }

    pub(crate) fn remove_cursor(&mut self, destination: &str) -> Option<Cursor> {
        let cursor = self.cursors.remove(destination)?;
        self.notify();
        Some(cursor)
    }

    /// Sees to it that a destination has a cursor. Says whether it is new, and whether it begins before the end.
    pub(crate) fn subscribe(&mut self, destination: &str) -> (bool, bool) {
        let (beginning, is_new) = (self.beginning(), !self.cursors.contains_key(destination));
        self.cursors.entry(destination.to_owned()).or_insert_with(|| Cursor::at(beginning)).subscribed();
        (is_new, is_new && beginning < self.next)
    }

    /// A stream whose name was damaged gets it from who asks for it.
    pub(crate) fn adopt_name(&mut self, name: &str, now: u64) {
        if self.name.is_empty() {
            name.clone_into(&mut self.name);
            if self.lost {
                self.lose_cursors(now);
            }
        }
    }

    /// The newest record that was committed.
    pub(crate) fn committed(&self) -> u64 {
        self.committed
    }

    pub(crate) fn changed(&self) -> Arc<Notify> {
        Arc::clone(&self.changed)
    }

    pub(crate) fn notify(&self) {
        self.changed.notify_waiters();
    }

    /// Gives a number to a record of this size, which is on its way.
    pub(crate) fn accept(&mut self, size: u64) -> u64 {
        let sequence = self.next;
        self.next += 1;
        self.pending += size;
        sequence
    }

    /// How many bytes are on their way.
    pub(crate) fn set_pending(&mut self, bytes: u64) {
        self.pending = bytes;
    }

    /// Records of so many bytes are no longer on their way.
    pub(crate) fn arrived(&mut self, bytes: u64) {
        self.pending -= bytes;
    }

    /// Records were committed to a segment, which is written to from now on. Says by how many bytes the stream has grown.
    pub(crate) fn commit(
        &mut self,
        first: u64,
        segment: Segment,
        records: impl Iterator<Item = (u64, Arc<Record>)>,
        tail_bytes: usize,
    ) -> u64 {
        if let Some(segment) = self.segments.values_mut().next_back() {
            segment.active = false;
        }
        let (end, last) = (segment.end, segment.last);
        let before = self.segments.insert(first, segment);
        self.committed = last;
        let grown = end - before.map_or(0, |segment| segment.end);
        self.tail.publish(records, tail_bytes);
        self.notify();
        self.bytes += grown;
        grown
    }

    /// No segment is written to any more.
    pub(crate) fn close_segments(&mut self) {
        self.segments.values_mut().for_each(|segment| segment.active = false);
    }

    /// Closes the newest segment if everybody has passed it. Says whether it did.
    pub(crate) fn close_if_passed(&mut self) -> bool {
        let newest = self.segments.last_key_value().map(|(first, segment)| (*first, segment));
        let close = newest.is_some_and(|(first, segment)| segment.active && self.has_passed(first, segment));
        if close {
            self.close_segments();
        }
        close
    }

    /// The file of a segment was found to be gone. Says whether that is new.
    pub(crate) fn miss(&mut self, first: u64) -> bool {
        self.notify();
        let segment = self.segments.get_mut(&first);
        segment.is_some_and(|segment| !std::mem::replace(&mut segment.missed, true))
    }

    /// What is to be written down of its cursors: those that have moved, or all of them.
    pub(crate) fn entries(&mut self, all: bool, now: u64, into: &mut Vec<Entry>) {
        let name = &self.name;
        if name.is_empty() {
            // There is no cursor, since cursors know the name.
            return;
        }
        // Written along, never on its own account.
        let is_dirty = all || self.cursors.values().any(Cursor::is_dirty);
        if self.committed != 0 && is_dirty && (all || self.committed != self.marked) {
            self.marked = self.committed;
            into.push(Entry::Committed { stream: name.clone(), last: self.committed });
        }
        for (destination, cursor) in self.cursors.iter_mut().filter(|(_, cursor)| all || cursor.is_dirty()) {
            cursor.set_dirty(false);
            into.push(Entry::of(name, destination, cursor, now));
        }
    }

    /// What was written down did not reach the disk.
    pub(crate) fn all_dirty(&mut self) {
        self.marked = 0;
        self.cursors.values_mut().for_each(|cursor| cursor.set_dirty(true));
    }

    /// Drops the oldest that waits for a destination, as far as it is more than the quota.
    pub(crate) fn drop_oldest(
        &mut self,
        destination: &str,
        quota: u64,
    ) -> Option<(CursorPosition, Vec<Part>)> {
        let cursor = self.cursors.get(destination).filter(|cursor| cursor.orphan().is_none())?;
        let (position, mut held) = (cursor.waiting(), self.held(destination));
        let mut over = Vec::new();
        for part in self.parts(cursor.passed_below()) {
            if held <= quota || part.segment.active {
                break;
            }
            held -= part.segment.end;
            over.push(part);
        }
        let to = over.last().map(Part::end)?;
        self.cursors.get_mut(destination)?.drop_below(to);
        Some((position, over))
    }

    /// Cursors were lost: what is there is kept for whoever subscribes next.
    pub(crate) fn lose_cursors(&mut self, now: u64) {
        let Some(oldest) = self.segments.keys().next().copied().filter(|_| !self.name.is_empty()) else {
            return;
        };
        self.lost = false;
        self.cursors.entry(UNKNOWN.to_owned()).or_insert_with(|| Cursor::orphaned(oldest, now));
    }

    /// Where a destination that has no cursor begins: at the end, unless it may have had one that was lost.
    fn beginning(&self) -> u64 {
        self.cursors.get(UNKNOWN).map_or(self.next, Cursor::low)
    }

    /// Whether every destination is done with a segment.
    pub(crate) fn has_passed(&self, first: u64, segment: &Segment) -> bool {
        // Without a name there is no telling who has passed it.
        !self.name.is_empty() && self.cursors.values().all(|cursor| cursor.has_passed(first, segment.last))
    }

    /// Whether somebody may have more than the quota: a look at one number, at every turn.
    pub(crate) fn may_be_over(&self, quota: u64) -> bool {
        self.bytes > quota
    }

    /// Bytes of the segments that a cursor holds.
    pub(crate) fn held(&self, destination: &str) -> u64 {
        self.cursors.get(destination).map_or(0, |cursor| self.bytes - cursor.passed_bytes().min(self.bytes))
    }

    /// Counts segments that cursors have passed since this was done last.
    pub(crate) fn count_passed(&mut self) {
        for cursor in self.cursors.values_mut() {
            while let Some((first, segment)) = self
                .segments
                .range(cursor.passed_below()..)
                .next()
                .filter(|(_, segment)| segment.last < cursor.low())
            {
                if segment.active {
                    break;
                }
                cursor.pass(*first, segment.end);
            }
        }
    }

    /// A segment is gone.
    pub(crate) fn forget(&mut self, first: u64) -> Option<Segment> {
        let segment = self.segments.remove(&first)?;
        self.bytes -= segment.end;
        self.cursors.values_mut().for_each(|cursor| cursor.forget(first, segment.end));
        Some(segment)
    }

    /// Whether a record can be taken in, and for whom it is not. Nobody is left out unless somebody is not.
    pub(crate) fn admits(
        &mut self,
        record: &Record,
        overflow: Overflow,
        quota: u64,
        dropped: &mut Dropped,
        clock: &dyn Clock,
    ) -> bool {
        let sequence = self.next;
        let coming = self.pending + record.size() as u64;
        let bytes = self.bytes + coming;
        if bytes <= quota {
            return true;
        }
        let bound = Bound { bytes, overflow, quota, now: clock.monotonic_nanos() };
        if self.is_blocked(&bound) {
            return false;
        }
        for (destination, cursor) in self.cursors.iter_mut().filter(|(_, cursor)| bound.leaves_out(cursor)) {
            cursor.skip(sequence);
            let key = (self.name.clone(), destination.clone(), Reason::DropNewest);
            *dropped.entry(key).or_default() += Sum { records: 1, items: u64::from(record.items) };
        }
        true
    }

    /// Whether a record of this size can be taken in.
    pub(crate) fn is_open(&self, size: u64, overflow: Overflow, quota: u64, clock: &dyn Clock) -> bool {
        let bytes = self.bytes + self.pending + size;
        bytes <= quota || !self.is_blocked(&Bound { bytes, overflow, quota, now: clock.monotonic_nanos() })
    }

    fn is_blocked(&self, bound: &Bound) -> bool {
        self.cursors.values().any(|cursor| bound.blocks(cursor))
            || (!self.cursors.is_empty() && self.cursors.values().all(|cursor| bound.leaves_out(cursor)))
    }

    /// The segments in which something waits for a destination.
    pub(crate) fn waiting(&self, destination: &str) -> Vec<Part> {
        let Some(cursor) = self.cursors.get(destination) else { return Vec::new() };
        self.parts(0).filter(|part| !cursor.has_passed(part.first, part.segment.last)).collect()
    }

    /// The segments that begin with a number or behind it.
    fn parts(&self, from: u64) -> impl Iterator<Item = Part> {
        let limits = self.segments.range(from..).skip(1).map(|(first, _)| *first).chain([u64::MAX]);
        let parts = self.segments.range(from..).zip(limits);
        parts.map(|((first, segment), limit)| Part { first: *first, limit, segment: segment.clone() })
    }
}

/// How much would be there, and how much may wait for one destination.
struct Bound {
    bytes: u64,
    overflow: Overflow,
    quota: u64,
    now: u64,
}

impl Bound {
    fn is_over(&self, cursor: &Cursor) -> bool {
        self.bytes - cursor.passed_bytes().min(self.bytes) > self.quota
    }

    /// Whoever is not configured keeps nobody waiting, and nothing is dropped for what comes in for him.
    fn is_orphan(&self, cursor: &Cursor) -> bool {
        cursor.orphan().is_some_and(|idle| idle.age(self.now) >= GRACE)
    }

    fn leaves_out(&self, cursor: &Cursor) -> bool {
        self.is_over(cursor) && (self.overflow == Overflow::DropNewest || self.is_orphan(cursor))
    }

    fn blocks(&self, cursor: &Cursor) -> bool {
        self.overflow == Overflow::Block && self.is_over(cursor) && !self.is_orphan(cursor)
    }
}

/// A segment and where the next one begins: what it holds from there on a failed sync has left behind.
pub(crate) struct Part {
    pub(crate) first: u64,
    pub(crate) limit: u64,
    pub(crate) segment: Segment,
}

impl Part {
    /// All of its records are below this.
    fn end(&self) -> u64 {
        self.limit.min(self.segment.last + 1)
    }
}
