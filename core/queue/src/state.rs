//! What callers, readers and the writing thread share. Held for moments, never over a call to the disk. The fields are private: its
//! invariants are kept here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use throughline_component::Settle;
use throughline_component::port::Clock;

use crate::Record;
use crate::entry::Entry;
use crate::limits::{Dropped, GRACE, Limits, Reason, Sum};
use crate::name::number;
use crate::quota::Loss;
use crate::segment::Segment;
use crate::settings::Overflow;
use crate::stream::Stream;

mod room;

/// How often the age of an orphan is written down, in nanoseconds.
const LOOK: u64 = 60_000_000_000;

pub(crate) struct State {
    limits: Limits,
    /// How much may wait for a destination.
    quota: u64,
    /// What waits for the writing thread: the group that forms.
    group: Vec<Task>,
    pending_bytes: usize,
    /// Bytes of all segments.
    stored_bytes: u64,
    streams: BTreeMap<u64, Stream>,
    epoch: u64,
    /// Cursors that expired and are not yet written down.
    gone: Vec<Entry>,
    /// Somebody was refused for want of room.
    pressed: bool,
    /// There was none left on the disk, or of what the storage may take up.
    wants_room: bool,
    /// There is no reserve: the disk is full.
    short: bool,
    /// The last records found no space on the disk.
    no_space: bool,
    /// They could not be written, for whatever reason; how large they were, and when it is tried again whether they could be.
    failing: bool,
    tried: u64,
    next_probe: u64,
    /// The disk was full at the end of the last turn.
    was_full: bool,
    /// Who was refused, and is to hear when that is over.
    waiters: Vec<Waiter>,
    /// There is a new cursor that is not on the disk: what comes in would not be kept for it over a crash.
    unwritten: bool,
    /// A cursor has moved.
    moved: bool,
    closing: bool,
    /// The writing thread has ended; whoever still has something to write does it himself.
    ended: bool,
    /// The writing thread waits to be woken.
    asleep: bool,
    journals: BTreeSet<String>,
    stats: Stats,
    dropped: Dropped,
    /// What of that was said.
    told: Dropped,
    /// When there is something to do even if nothing else happens: orphans age, room is looked for, records are noted.
    next_look: u64,
}

/// Somebody who was refused.
pub(crate) struct Waiter {
    pub(crate) stream: u64,
    pub(crate) size: u64,
    pub(crate) tell: Box<dyn FnOnce() + Send>,
}

/// One thing for the writing thread to do.
pub(crate) enum Task {
    Append { stream: u64, sequence: u64, record: Arc<Record>, settle: Settle },
    Entry { journal: u64, entry: Bytes, settle: Settle },
    Compact { journal: u64, snapshot: Bytes, settle: Settle },
    Close { journal: u64, name: String },
}

/// How a log does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of all streams.
    pub stored_bytes: u64,
    /// How many they may be.
    pub max_bytes: u64,
    /// Whether nothing is taken in since the disk is full.
    pub disk_full: bool,
    /// Records in all segments, delivered ones of a segment that is not removed yet included.
    pub stored_records: u64,
    /// Items in them.
    pub stored_items: u64,
    /// Records committed since the log was opened.
    pub committed: u64,
    /// Groups they were committed in.
    pub groups: u64,
    /// Records refused for want of room.
    pub refused: u64,
    /// Records answered with Retry since the disk failed.
    pub failed: u64,
    /// Files whose end was torn when the log was opened.
    pub torn: u64,
    /// Places that readers passed over since what stood there was damaged.
    pub damaged: u64,
    /// Cursors that expired since nobody read for them.
    pub expired: u64,
    /// Segments of which something was missing that had been there: removed, cut or overwritten by somebody else.
    pub missing: u64,
    /// Streams whose cursors were lost, so that destinations begin with the oldest record.
    pub lost_cursors: u64,
}

impl State {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            quota: limits.max_bytes,
            group: Vec::new(),
            pending_bytes: 0,
            stored_bytes: 0,
            streams: BTreeMap::new(),
            epoch: 0,
            gone: Vec::new(),
            pressed: false,
            wants_room: false,
            short: false,
            no_space: false,
            failing: false,
            tried: 0,
            next_probe: 0,
            was_full: false,
            waiters: Vec::new(),
            unwritten: false,
            moved: false,
            closing: false,
            ended: false,
            asleep: false,
            journals: BTreeSet::new(),
            stats: Stats::default(),
            dropped: Dropped::new(),
            told: Dropped::new(),
            next_look: 0,
        }
    }

    /// What is to be written down of cursors: those that have moved, or all of them.
    pub(crate) fn cursor_entries(&mut self, all: bool, now: u64) -> Vec<Entry> {
        let mut entries = std::mem::take(&mut self.gone);
        if all {
            entries = vec![Entry::Epoch(self.epoch)];
        }
        self.moved = false;
        for stream in self.streams.values_mut() {
            stream.entries(all, now, &mut entries);
        }
        entries
    }

    /// What was written down did not reach the disk.
    pub(crate) fn all_dirty(&mut self) {
        self.streams.values_mut().for_each(Stream::all_dirty);
    }

    /// The stream of this name, which exists from then on.
    pub(crate) fn stream(&mut self, name: &str) -> &mut Stream {
        let epoch = self.epoch;
        self.streams.entry(number(name)).or_insert_with(|| Stream::new(name, epoch))
    }

    /// Works out how much may wait for a destination.
    pub(crate) fn share(&mut self) {
        let streams = self.streams.values().filter(|stream| !stream.cursors().is_empty()).count();
        self.quota = self.limits.quota(streams);
    }

    /// Moves cursors of destinations for which too much waits. Says what they lose.
    pub(crate) fn drop_oldest(&mut self) -> Vec<Loss> {
        let mut losses = Vec::new();
        if self.limits.overflow != Overflow::DropOldest {
            return losses;
        }
        let quota = self.quota;
        for stream in self.streams.values_mut().filter(|stream| stream.may_be_over(quota)) {
            let destinations: Vec<String> = stream.cursors().keys().cloned().collect();
            for destination in destinations {
                let Some((place, parts)) = stream.drop_oldest(&destination, quota) else { continue };
                let (name, reason) = (stream.name().to_owned(), Reason::DropOldest);
                losses.push(Loss { stream: name, destination, reason, place, parts });
            }
            stream.count_passed();
            stream.notify();
        }
        losses
    }

    /// Takes a cursor away. Says what its destination loses.
    pub(crate) fn drop_cursor(&mut self, stream: u64, destination: &str, reason: Reason) -> Option<Loss> {
        let stream = self.streams.get_mut(&stream)?;
        let parts = stream.waiting(destination);
        let cursor = stream.remove_cursor(destination)?;
        let (stream, destination) = (stream.name().to_owned(), destination.to_owned());
        let gone = Entry::Gone { stream: stream.clone(), destination: destination.clone() };
        self.gone.push(gone);
        self.moved = true;
        self.share();
        Some(Loss { stream, destination, reason, place: cursor.place(), parts })
    }

    /// For whom something was dropped since this was asked last.
    pub(crate) fn news_of_dropped(&mut self) -> Vec<News> {
        if self.dropped == self.told {
            return Vec::new();
        }
        let told = std::mem::replace(&mut self.told, self.dropped.clone());
        let items = |key, sum: &Sum| sum.items - told.get(key).copied().unwrap_or_default().items;
        let news = self.dropped.iter().map(|(key, sum)| {
            let ((stream, destination, reason), items) = (key.clone(), items(key, sum));
            News { destination, stream, reason, items }
        });
        news.filter(|news| news.items > 0).collect()
    }

    /// Room is wanted, and there is none to be had but from who is no longer configured: the longest of them goes first.
    pub(crate) fn make_room(&mut self, now: u64) -> Option<Loss> {
        let orphans = self.streams.iter().flat_map(|(number, stream)| {
            let orphans =
                stream.cursors().iter().filter_map(|(d, cursor)| Some((d, cursor.orphan()?.age(now))));
            orphans.map(|(destination, age)| (*number, destination.clone(), age))
        });
        let oldest = orphans.filter(|(number, destination, age)| {
            *age >= GRACE
                && self.streams.get(number).is_some_and(|stream| !stream.waiting(destination).is_empty())
        });
        let (stream, destination, _) = oldest.max_by_key(|(_, _, age)| *age)?;
        tracing::warn!(%destination, "nobody reads for it, and others need the room; its cursor is dropped");
        self.drop_cursor(stream, &destination, Reason::Space)
    }

    /// Takes cursors away that nobody has read for too long.
    pub(crate) fn expire(&mut self, now: u64) -> Vec<Loss> {
        let expiry = self.limits.orphan_expiry;
        self.next_look = u64::MAX;
        let mut over = Vec::new();
        for (number, stream) in &mut self.streams {
            let name = stream.name().to_owned();
            for (destination, cursor) in stream.cursors_mut() {
                let Some(idle) = cursor.orphan() else { continue };
                if expiry > 0 && idle.age(now) > expiry {
                    tracing::warn!(stream = %name, %destination, "nobody reads for it any more; its cursor has expired");
                    over.push((*number, destination.clone()));
                } else {
                    cursor.note_age(now, LOOK);
                    let left = if expiry > 0 { expiry - idle.age(now) } else { u64::MAX };
                    let expires = now.saturating_add(left).saturating_add(1);
                    self.next_look = self.next_look.min(cursor.next_look(LOOK)).min(expires);
                }
            }
        }
        self.stats.expired += over.len() as u64;
        over.into_iter()
            .filter_map(|(s, destination)| self.drop_cursor(s, &destination, Reason::Expired))
            .collect()
    }

    pub(crate) fn streams(&self) -> &BTreeMap<u64, Stream> {
        &self.streams
    }

    pub(crate) fn stream_mut(&mut self, number: u64) -> Option<&mut Stream> {
        self.streams.get_mut(&number)
    }

    /// The same, one of whose cursors is about to move.
    pub(crate) fn moved_stream(&mut self, number: u64) -> Option<&mut Stream> {
        self.moved = true;
        self.streams.get_mut(&number)
    }

    /// A stream that was on the disk.
    pub(crate) fn restore_stream(&mut self, number: u64, stream: Stream) {
        self.stored_bytes += stream.segments().values().map(|segment| segment.end).sum::<u64>();
        self.streams.insert(number, stream);
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn begin_epoch(&mut self, epoch: u64) {
        self.epoch = epoch;
    }

    /// What the opening of a journal found.
    pub(crate) fn count_journal(&mut self, torn: bool, damaged: u64) {
        self.stats.torn += u64::from(torn);
        self.stats.damaged += damaged;
    }

    /// What an opening found.
    pub(crate) fn count_found(&mut self, torn: u64, missing: u64) {
        self.stats.torn += torn;
        self.stats.missing += missing;
    }

    /// Cursors were lost. Says in how many streams.
    pub(crate) fn lose_cursors(&mut self, now: u64) -> usize {
        let lost = self.streams.values_mut().filter(|stream| !stream.segments().is_empty());
        let count = lost.map(|stream| stream.lose_cursors(now)).count();
        self.stats.lost_cursors += count as u64;
        count
    }

    /// Counts segments that cursors have passed since this was done last.
    pub(crate) fn count_passed(&mut self) {
        self.streams.values_mut().for_each(Stream::count_passed);
    }

    /// How much may wait for a destination.
    pub(crate) fn quota(&self) -> u64 {
        self.quota
    }

    /// Takes over other limits.
    pub(crate) fn adjust(&mut self, limits: Limits) {
        self.limits = limits;
        self.share();
        (self.pressed, self.next_look) = (true, 0);
    }

    /// Takes a record in: gives it a number, and to the group. Or says why not, and gives the settle token back.
    pub(crate) fn append(
        &mut self,
        stream: u64,
        record: Record,
        settle: Settle,
        most_pending: usize,
        clock: &dyn Clock,
    ) -> Result<u64, (&'static str, Settle)> {
        let size = record.size();
        let stored = self.stored_bytes + self.pending_bytes as u64;
        let is_full = self.short || self.unwritten || stored + size as u64 > self.limits.max_bytes;
        let refusal = if is_full {
            if self.short || self.unwritten { "the disk is full" } else { "the storage is full" }
        } else if self.pending_bytes > 0 && self.pending_bytes + size > most_pending {
            "the disk is too slow"
        } else {
            let (overflow, quota) = (self.limits.overflow, self.quota);
            match self.streams.get_mut(&stream) {
                None => "there is no such stream",
                Some(held) => {
                    if held.admits(&record, overflow, quota, &mut self.dropped, clock) {
                        let sequence = held.accept(size as u64);
                        self.pending_bytes += size;
                        self.group.push(Task::Append { stream, sequence, record: Arc::new(record), settle });
                        return Ok(sequence);
                    }
                    "as much waits for its destinations as may"
                }
            }
        };
        self.stats.refused += 1;
        self.pressed = true;
        self.wants_room |= is_full;
        Err((refusal, settle))
    }

    /// Gives the writing thread something to do. Says whether it has ended, so that nobody would.
    pub(crate) fn ask(&mut self, task: Task) -> bool {
        self.group.push(task);
        self.ended
    }

    pub(crate) fn take_group(&mut self) -> Vec<Task> {
        std::mem::take(&mut self.group)
    }

    /// Whether there is something to do beside the group.
    pub(crate) fn is_due(&self, now: impl FnOnce() -> u64) -> bool {
        self.moved || self.pressed || now() >= self.next_look
    }

    /// Whether the thread may sleep, and until when if it does.
    pub(crate) fn sleep(&mut self) -> Option<u64> {
        let idle = self.group.is_empty() && !self.moved && !self.pressed && !self.closing;
        self.asleep = idle;
        idle.then_some(self.next_look)
    }

    /// The thread does not sleep. Says whether it did.
    pub(crate) fn wake_up(&mut self) -> bool {
        std::mem::take(&mut self.asleep)
    }

    pub(crate) fn close(&mut self) {
        self.closing = true;
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing
    }

    /// The writing thread has ended.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// Counts anew what waits to be written, after a panic that may have taken some of it.
    pub(crate) fn recount_pending(&mut self) {
        let size = |task: &Task| match task {
            Task::Append { record, .. } => record.size(),
            _ => 0,
        };
        self.pending_bytes = self.group.iter().map(size).sum();
        for (number, stream) in &mut self.streams {
            let own = self.group.iter();
            let own = own.filter(|task| matches!(task, Task::Append { stream, .. } if stream == number));
            stream.set_pending(own.map(size).sum::<usize>() as u64);
        }
    }

    /// Records of so many bytes were committed to a segment of a stream. False if there is no such stream.
    pub(crate) fn committed(
        &mut self,
        number: u64,
        (first, segment): (u64, Segment),
        (records, bytes): (Vec<(u64, Arc<Record>)>, usize),
        tail_bytes: usize,
    ) -> bool {
        self.pending_bytes -= bytes;
        let Some(stream) = self.streams.get_mut(&number) else { return false };
        stream.arrived(bytes as u64);
        self.stats.committed += records.len() as u64;
        self.stats.groups += 1;
        self.stored_bytes += stream.commit(first, segment, records.into_iter(), tail_bytes);
        self.could_write();
        true
    }

    /// So many records of so many bytes could not be written. False if there is no such stream.
    pub(crate) fn commit_failed(
        &mut self,
        number: u64,
        (count, bytes): (u64, usize),
        is_full: bool,
        now: u64,
    ) -> bool {
        self.pending_bytes -= bytes;
        let Some(stream) = self.streams.get_mut(&number) else { return false };
        stream.arrived(bytes as u64);
        stream.close_segments();
        self.stats.failed += count;
        self.could_not_write(bytes, is_full, now);
        true
    }

    /// Somebody was refused for want of room.
    pub(crate) fn is_pressed(&self) -> bool {
        self.pressed
    }

    pub(crate) fn wants_room(&self) -> bool {
        self.wants_room
    }

    /// Room was looked for.
    pub(crate) fn looked_for_room(&mut self) {
        (self.pressed, self.wants_room) = (false, false);
    }

    /// Closes the newest segments that everybody has passed. Says of which streams.
    pub(crate) fn close_passed(&mut self) -> Vec<u64> {
        let streams = self.streams.iter_mut();
        streams.filter_map(|(number, stream)| stream.close_if_passed().then_some(*number)).collect()
    }

    /// A segment was removed.
    pub(crate) fn forget_segment(&mut self, stream: u64, first: u64) {
        let removed = self.streams.get_mut(&stream).and_then(|stream| stream.forget(first));
        self.stored_bytes -= removed.map_or(0, |segment| segment.end);
    }

    /// A segment's file is gone. Says the stream's name, if that is new.
    pub(crate) fn miss(&mut self, stream: u64, first: u64) -> Option<&str> {
        let stream = self.streams.get_mut(&stream)?;
        let is_new = stream.miss(first);
        self.stats.missing += u64::from(is_new);
        is_new.then_some(stream.name())
    }

    /// Readers of a stream passed over damaged places.
    pub(crate) fn count_damaged(&mut self, stream: u64, places: u64) {
        self.stats.damaged += places;
        if let Some(stream) = self.streams.get(&stream) {
            stream.notify();
        }
    }

    /// Whether there is no reserve.
    pub(crate) fn set_short(&mut self, short: bool) {
        self.short = short;
        // Until somebody is told otherwise.
        self.was_full |= short;
    }

    /// Whether there is a new cursor that is not on the disk.
    pub(crate) fn set_unwritten(&mut self, unwritten: bool) {
        self.unwritten = unwritten;
    }

    /// Orphans are to be looked at soon.
    pub(crate) fn look_soon(&mut self) {
        self.next_look = 0;
    }

    /// False if a journal of this name is open.
    pub(crate) fn open_journal(&mut self, name: &str) -> bool {
        self.journals.insert(name.to_owned())
    }

    pub(crate) fn close_journal(&mut self, name: &str) {
        self.journals.remove(name);
    }

    pub(crate) fn is_journal_open(&self, name: &str) -> bool {
        self.journals.contains(name)
    }

    pub(crate) fn dropped(&self) -> &Dropped {
        &self.dropped
    }

    /// Counts what a destination does not get.
    pub(crate) fn count_dropped(&mut self, key: (String, String, Reason), sum: Sum) {
        *self.dropped.entry(key).or_default() += sum;
    }

    pub(crate) fn stats(&self) -> Stats {
        let (stored_bytes, max_bytes) = (self.stored_bytes, self.limits.max_bytes);
        let disk_full = self.is_disk_full();
        let mut stats = Stats { stored_bytes, max_bytes, disk_full, ..self.stats };
        for segment in self.streams.values().flat_map(|stream| stream.segments().values()) {
            for (records, items) in segment.counts {
                stats.stored_records += records;
                stats.stored_items += items;
            }
        }
        stats
    }
}

/// What was dropped since this was said last.
pub(crate) struct News {
    pub(crate) destination: String,
    pub(crate) stream: String,
    pub(crate) reason: Reason,
    pub(crate) items: u64,
}
