//! What callers, readers and the writing thread share. Held for moments, never over a call to the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use throughline_component::Settle;

use crate::Record;
use crate::entry::Entry;
use crate::limits::{Dropped, Limits};
use crate::name::number;
use crate::stream::Stream;

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
    /// They could not be written, for whatever reason; how large they were, and when it is tried again whether they could be.
    pub(crate) failing: bool,
    pub(crate) tried: u64,
    pub(crate) next_probe: u64,
    /// The disk was full at the end of the last turn.
    pub(crate) was_full: bool,
    /// Who was refused, and is to hear when that is over.
    pub(crate) waiters: Vec<Waiter>,
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
    /// When there is something to do even if nothing else happens: orphans age, room is looked for, records are noted.
    pub(crate) next_look: u64,
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
}
