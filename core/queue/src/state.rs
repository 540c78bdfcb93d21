//! What callers, readers and the writing thread share. Held for moments, never over a call to the disk.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use throughline_component::Settle;
use tokio::sync::Notify;

use crate::Record;
use crate::cursor::{Cursor, Idle};
use crate::entry::Entry;
use crate::limits::{Dropped, Limits};
use crate::name::number;

/// The bits of a sequence number below its epoch. Each opening of the log begins an epoch, so that numbers of records
/// that a crash took are not given to others.
pub(crate) const EPOCH_SHIFT: u32 = 40;

pub(crate) struct State {
    pub(crate) limits: Limits,
    /// How much may wait for a destination.
    pub(crate) quota: u64,
    /// What waits for the writing thread: the group that forms.
    pub(crate) group: Vec<Task>,
    pub(crate) pending_bytes: usize,
    /// Bytes of all segments.
    pub(crate) stored_bytes: u64,
    pub(crate) streams: BTreeMap<u64, Stream>,
    pub(crate) epoch: u64,
    /// Cursors that expired and are not yet written down.
    pub(crate) gone: Vec<Entry>,
    /// Somebody was refused for want of room.
    pub(crate) pressed: bool,
    /// There was none left on the disk, or of what the storage may take up.
    pub(crate) wants_room: bool,
    /// There is no reserve: the disk is full.
    pub(crate) short: bool,
    /// The last records found no space on the disk.
    pub(crate) no_space: bool,
    /// There is a new cursor that is not on the disk: what comes in would not be kept for it over a crash.
    pub(crate) unwritten: bool,
    /// A cursor has moved.
    pub(crate) moved: bool,
    pub(crate) closing: bool,
    /// The writing thread has ended; whoever still has something to write does it himself.
    pub(crate) ended: bool,
    /// The writing thread waits to be woken.
    pub(crate) asleep: bool,
    pub(crate) journals: BTreeSet<String>,
    pub(crate) stats: Stats,
    pub(crate) dropped: Dropped,
    /// What of that was said.
    pub(crate) told: Dropped,
    /// When the age of orphans is looked at again.
    pub(crate) next_look: u64,
}

/// One thing for the writing thread to do.
pub(crate) enum Task {
    Append { stream: u64, sequence: u64, record: Arc<Record>, settle: Settle },
    Entry { journal: u64, entry: Bytes, settle: Settle },
    Compact { journal: u64, snapshot: Bytes, settle: Settle },
    Close { journal: u64, name: String },
}

#[derive(Default)]
pub(crate) struct Stream {
    pub(crate) name: String,
    /// The next sequence number to give away.
    pub(crate) next: u64,
    /// By first sequence number.
    pub(crate) segments: BTreeMap<u64, Segment>,
    /// Bytes of these, and of what is on its way to them.
    pub(crate) bytes: u64,
    pub(crate) pending: u64,
    /// The newest records; all that were committed from `tail_from` on are in it.
    pub(crate) tail: VecDeque<(u64, Arc<Record>)>,
    pub(crate) tail_from: u64,
    pub(crate) tail_bytes: usize,
    pub(crate) cursors: BTreeMap<String, Cursor>,
    /// The newest record that was committed, and what was last written down of that.
    pub(crate) committed: u64,
    pub(crate) marked: u64,
    /// Cursors were lost, and there is no telling whose.
    pub(crate) lost: bool,
    /// Told when a record is committed, a delivery settled, a lease given back.
    pub(crate) changed: Arc<Notify>,
}

/// The part of a file that was committed.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    pub(crate) salt: u32,
    pub(crate) end: u64,
    pub(crate) last: u64,
    pub(crate) counts: Counts,
    pub(crate) active: bool,
    /// Up to where it is known to have been on the disk, so that its loss would be damage.
    pub(crate) sure: Option<u64>,
    /// Its file was found to be gone.
    pub(crate) missed: bool,
}

/// Records and items by signal.
pub(crate) type Counts = [(u64, u64); 3];

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

/// Stands for destinations whose cursors were lost: what they may not have got is kept, and whoever subscribes next begins
/// there.
pub(crate) const UNKNOWN: &str = "(unknown)";

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
            let name = &stream.name;
            if name.is_empty() {
                // There is no cursor, since cursors know the name.
                continue;
            }
            // Written along, never on its own account.
            let is_dirty = all || stream.cursors.values().any(|cursor| cursor.dirty);
            if stream.committed != 0 && is_dirty && (all || stream.committed != stream.marked) {
                stream.marked = stream.committed;
                entries.push(Entry::Committed { stream: name.clone(), last: stream.committed });
            }
            for (destination, cursor) in stream.cursors.iter_mut().filter(|(_, cursor)| all || cursor.dirty) {
                cursor.dirty = false;
                entries.push(Entry::of(name, destination, cursor, now));
            }
        }
        entries
    }

    /// What was written down did not reach the disk.
    pub(crate) fn all_dirty(&mut self) {
        for stream in self.streams.values_mut() {
            stream.marked = 0;
            stream.cursors.values_mut().for_each(|cursor| cursor.dirty = true);
        }
    }

    /// The stream of this name, which exists from then on.
    pub(crate) fn stream(&mut self, name: &str) -> &mut Stream {
        let epoch = self.epoch;
        self.streams.entry(number(name)).or_insert_with(|| Stream::new(name, epoch))
    }
}

impl Stream {
    pub(crate) fn new(name: &str, epoch: u64) -> Self {
        let next = epoch << EPOCH_SHIFT;
        Self { name: name.to_owned(), next, tail_from: next, ..Self::default() }
    }

    /// Cursors were lost: what is there is kept for whoever subscribes next.
    pub(crate) fn lose_cursors(&mut self, now: u64) {
        let Some(oldest) = self.segments.keys().next().copied().filter(|_| !self.name.is_empty()) else {
            return;
        };
        self.lost = false;
        let unknown = || Cursor { orphan: Some(Idle::new(0, now)), ..Cursor::at(oldest) };
        self.cursors.entry(UNKNOWN.to_owned()).or_insert_with(unknown);
    }

    /// Where a destination that has no cursor begins: at the end, unless it may have had one that was lost.
    pub(crate) fn beginning(&self) -> u64 {
        self.cursors.get(UNKNOWN).map_or(self.next, |unknown| unknown.low)
    }

    /// Whether every destination is done with a segment.
    pub(crate) fn has_passed(&self, first: u64, segment: &Segment) -> bool {
        // Without a name there is no telling who has passed it.
        !self.name.is_empty() && self.cursors.values().all(|cursor| cursor.has_passed(first, segment.last))
    }

    /// Makes committed records known to readers.
    pub(crate) fn publish(&mut self, records: impl Iterator<Item = (u64, Arc<Record>)>, bound: usize) {
        for (sequence, record) in records {
            self.tail_bytes += record.size();
            self.tail.push_back((sequence, record));
        }
        while self.tail_bytes > bound
            && let Some((sequence, record)) = self.tail.pop_front()
        {
            self.tail_bytes -= record.size();
            self.tail_from = sequence + 1;
        }
    }
}
