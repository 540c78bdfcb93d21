//! One turn of the writing thread: take the group that has formed, write it, sync it, tell everybody, tidy up.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use throughline_component::{Outcome, Settle};

use crate::Record;
use crate::commit::{Target, Writers};
use crate::entry::Entry;
use crate::journal::JournalFile;
use crate::log::Shared;
use crate::manifest::Manifest;
use crate::name::number;
use crate::recover::CURSORS;
use crate::state::{Segment, State, Task};

/// What only the holder of the disk touches.
pub(crate) struct Io {
    pub(crate) writers: Writers,
    pub(crate) journals: BTreeMap<u64, JournalFile>,
    pub(crate) cursors: JournalFile,
    pub(crate) manifest: Manifest,
    /// Whether the manifest was there, so that a journal it does not know is new.
    pub(crate) knows_journals: bool,
}

impl Io {
    pub(crate) fn new(cursors: JournalFile, manifest: Manifest) -> Self {
        Self {
            writers: Writers::default(),
            journals: BTreeMap::new(),
            cursors,
            manifest,
            knows_journals: true,
        }
    }

    /// Writes the cursors' file anew.
    pub(crate) fn replace_cursors(&mut self, all: &[Entry]) -> io::Result<()> {
        self.cursors.compact(&encoded(all))?;
        self.note_cursors()
    }

    /// Sees to it that the manifest knows the newest generation of the cursors.
    fn note_cursors(&mut self) -> io::Result<()> {
        if self.manifest.known.renewed(number(CURSORS), self.cursors.generation()) {
            self.manifest.write()?;
        }
        Ok(())
    }
}

/// From what size on the file of cursors is written anew.
const CURSORS_BYTES: u64 = 1 << 20;

#[derive(Default)]
struct Appends {
    records: Vec<(u64, Arc<Record>)>,
    settles: Vec<Settle>,
}

#[derive(Default)]
struct Entries {
    entries: Vec<Bytes>,
    settles: Vec<Settle>,
}

impl Shared {
    /// Does what there is to do. Says whether it was anything.
    pub(crate) fn turn(&self) -> bool {
        let mut io = self.io();
        let (group, idle) = {
            let mut state = self.state();
            let group = std::mem::take(&mut state.group);
            let idle = group.is_empty() && !state.moved && !state.pressed;
            (group, idle)
        };
        if idle {
            return false;
        }
        let mut streams: BTreeMap<u64, Appends> = BTreeMap::new();
        let mut journals: BTreeMap<u64, Entries> = BTreeMap::new();
        for task in group {
            match task {
                Task::Append { stream, sequence, record, settle } => {
                    let appends = streams.entry(stream).or_default();
                    appends.records.push((sequence, record));
                    appends.settles.push(settle);
                }
                Task::Entry { journal, entry, settle } => {
                    let entries = journals.entry(journal).or_default();
                    entries.entries.push(entry);
                    entries.settles.push(settle);
                }
                Task::Compact { journal, snapshot, settle } => {
                    // What came before is in the snapshot, and settles with it; if that fails, it goes on alone.
                    let before = journals.entry(journal).or_default();
                    let done = io.journals.get_mut(&journal).map(|file| file.compact(&[snapshot]));
                    let outcome = outcome(done.unwrap_or_else(closed));
                    if outcome == Outcome::DONE {
                        before.entries.clear();
                        before.settles.drain(..).for_each(|settle| settle.settle(Outcome::DONE));
                    }
                    settle.settle(outcome);
                }
            }
        }
        for (stream, appends) in streams {
            self.append_group(&mut io, stream, appends);
        }
        for (journal, Entries { entries, settles }) in
            journals.into_iter().filter(|(_, j)| !j.entries.is_empty())
        {
            let done = io.journals.get_mut(&journal).map(|file| file.append(&entries, true));
            let outcome = outcome(done.unwrap_or_else(closed));
            settles.into_iter().for_each(|settle| settle.settle(outcome.clone()));
        }
        self.tidy(&mut io);
        true
    }

    fn append_group(&self, io: &mut Io, number: u64, appends: Appends) {
        let Appends { records, settles } = appends;
        let (name, before) = {
            let state = self.state();
            let stream = state.streams.get(&number);
            let newest = stream.and_then(|stream| stream.segments.last_key_value());
            let before = newest.and_then(|(first, segment)| Some((*first, segment.sure?)));
            (stream.map(|stream| stream.name.clone()).unwrap_or_default(), before)
        };
        let bytes: usize = records.iter().map(|(_, record)| record.size()).sum();
        let count = records.len() as u64;
        let to = Target { stream: number, name: &name, before };
        let committed = io.writers.commit(&self.ports, &self.settings, &to, &records);
        if let Ok(committed) = &committed
            && io.manifest.known.begun(number, committed.first)
            && let Err(error) = io.manifest.write()
        {
            tracing::error!(%error, "the manifest cannot be written; if the new segment were lost, nobody would notice");
        }
        let outcome = {
            let mut state = self.state();
            state.pending_bytes -= bytes;
            let Some(stream) = state.streams.get_mut(&number) else { return };
            match committed {
                Ok(committed) => {
                    if let Some(segment) = stream.segments.values_mut().next_back() {
                        segment.active = false;
                    }
                    let end = committed.segment.end;
                    let last = committed.segment.last;
                    let before = stream.segments.insert(committed.first, committed.segment);
                    stream.committed = last;
                    let grown = end - before.map_or(0, |segment| segment.end);
                    stream.publish(records.into_iter(), self.settings.tail_bytes);
                    stream.changed.notify_waiters();
                    state.stored_bytes += grown;
                    state.stats.committed += count;
                    state.stats.groups += 1;
                    Outcome::DONE
                }
                Err(error) => {
                    stream.segments.values_mut().for_each(|segment| segment.active = false);
                    state.stats.failed += count;
                    Outcome::retry(format!("the storage cannot keep it: {error}"))
                }
            }
        };
        settles.into_iter().for_each(|settle| settle.settle(outcome.clone()));
    }

    /// Writes down where cursors are, and removes what all of them have passed.
    pub(crate) fn tidy(&self, io: &mut Io) {
        let (entries, passed) = {
            let mut state = self.state();
            self.expire(&mut state);
            if state.pressed {
                retire(&mut state, io);
            }
            state.pressed = false;
            (state.cursor_entries(false), passed(&state))
        };
        // A lagging cursor only means that something is delivered again, so a disk that takes nothing stops no removal.
        if let Err(error) = self.write_cursors(io, &entries, !passed.is_empty()) {
            tracing::error!(%error, "the cursors cannot be written; after a restart some data will be delivered again");
        }
        if passed.is_empty() {
            return;
        }
        // What is missing and was not recorded is damage.
        for Passed { stream, first, last, live, .. } in &passed {
            io.manifest.known.streams.entry(*stream).or_default().remove(live, *first, *last);
        }
        if let Err(error) = io.manifest.write() {
            tracing::error!(%error, "the manifest cannot be written; nothing is removed");
            return;
        }
        for Passed { stream, first, path, .. } in passed {
            match self.ports.disk.remove(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::error!(%error, "a segment that everybody has passed cannot be removed");
                    continue;
                }
            }
            let mut state = self.state();
            let removed = state.streams.get_mut(&stream).and_then(|stream| stream.segments.remove(&first));
            state.stored_bytes -= removed.map_or(0, |segment| segment.end);
        }
    }

    /// Writes down cursors, on the disk when this returns if `sync` says so.
    pub(crate) fn write_cursors(&self, io: &mut Io, entries: &[Entry], sync: bool) -> io::Result<()> {
        if entries.is_empty() && !sync {
            return Ok(());
        }
        let written = if io.cursors.size() > CURSORS_BYTES || io.cursors.is_to_be_replaced() {
            let all = self.state().cursor_entries(true);
            io.replace_cursors(&all)
        } else {
            io.cursors.append(&encoded(entries), sync).and_then(|()| io.note_cursors())
        };
        if written.is_err() {
            self.state().all_dirty();
        }
        written
    }

    fn expire(&self, state: &mut State) {
        let expiry = u64::try_from(self.settings.orphan_expiry.as_nanos()).unwrap_or(u64::MAX);
        if expiry == 0 {
            return;
        }
        let now = self.ports.clock.unix_nanos();
        for stream in state.streams.values_mut() {
            let name = &stream.name;
            let over = |since: u64| now.saturating_sub(since) > expiry;
            for (destination, _) in
                stream.cursors.extract_if(.., |_, cursor| cursor.orphan_since.is_some_and(over))
            {
                tracing::warn!(stream = %name, %destination, "nobody reads for it any more; its cursor has expired");
                state.stats.expired += 1;
                state.gone.push(Entry::Gone { stream: name.clone(), destination });
            }
        }
    }
}

/// Ends segments that everybody has passed although they are written to, since their room is wanted.
fn retire(state: &mut State, io: &mut Io) {
    for (number, stream) in &mut state.streams {
        let newest = stream.segments.last_key_value().map(|(first, segment)| (*first, segment));
        if newest.is_some_and(|(first, segment)| segment.active && stream.has_passed(first, segment)) {
            stream.segments.values_mut().for_each(|segment| segment.active = false);
            io.writers.seal(*number);
        }
    }
}

/// A segment that can be removed.
struct Passed {
    stream: u64,
    first: u64,
    last: u64,
    path: PathBuf,
    /// What the stream's other segments begin with.
    live: Arc<BTreeSet<u64>>,
}

fn passed(state: &State) -> Vec<Passed> {
    let mut all = Vec::new();
    for (number, stream) in &state.streams {
        let is_passed =
            |(first, segment): &(&u64, &Segment)| !segment.active && stream.has_passed(**first, segment);
        if !stream.segments.iter().any(|segment| is_passed(&segment)) {
            continue;
        }
        let (passed, live): (Vec<_>, Vec<_>) = stream.segments.iter().partition(is_passed);
        let live = Arc::new(live.into_iter().map(|(first, _)| *first).collect());
        all.extend(passed.into_iter().map(|(first, segment)| Passed {
            stream: *number,
            first: *first,
            last: segment.last,
            path: segment.path.clone(),
            live: Arc::clone(&live),
        }));
    }
    all
}

fn encoded(entries: &[Entry]) -> Vec<Bytes> {
    entries.iter().map(|entry| entry.write().into()).collect()
}

fn outcome(done: io::Result<()>) -> Outcome {
    match done {
        Ok(()) => Outcome::DONE,
        Err(error) => Outcome::retry(format!("the storage cannot keep it: {error}")),
    }
}

fn closed() -> io::Result<()> {
    Err(io::Error::other("the journal is closed"))
}
