//! One turn of the writing thread: take the group that has formed, write it, sync it, tell everybody, tidy up.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use throughline_component::{Outcome, Settle};

use crate::Record;
use crate::commit::{Committed, Target};
use crate::io::{Io, is_full};
use crate::shared::Shared;
use crate::state::Task;

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
    pub(crate) fn flush_group(&self) -> bool {
        let mut io = self.io();
        let (group, idle) = {
            let mut state = self.state();
            let group = state.take_group();
            let idle = group.is_empty() && !state.is_due(|| self.now());
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
                    let outcome = outcome(io.compact_journal(journal, &snapshot));
                    if outcome == Outcome::DONE {
                        before.entries.clear();
                        before.settles.drain(..).for_each(|settle| settle_safely(settle, Outcome::DONE));
                    }
                    settle_safely(settle, outcome);
                }
                Task::Close { journal, name } => {
                    // What was appended before belongs into the file, so that the next to open it finds it.
                    if let Some(entries) = journals.remove(&journal) {
                        append_entries(&mut io, journal, entries);
                    }
                    io.note_end(journal);
                    io.journals.remove(&journal);
                    self.state().close_journal(&name);
                }
            }
        }
        for (stream, appends) in streams {
            self.append_group(&mut io, stream, appends);
        }
        for (journal, entries) in journals {
            append_entries(&mut io, journal, entries);
            if self.settings.syncs() {
                // Without syncs the machine may forget what the manifest says.
                io.note_end(journal);
            }
        }
        self.collect_garbage(&mut io);
        io.note_committed(self.now());
        self.look_for_room(&io);
        true
    }

    fn append_group(&self, io: &mut Io, number: u64, appends: Appends) {
        let Appends { records, settles } = appends;
        let (name, before, segment_size) = {
            let state = self.state();
            let segment_size = self.settings.segment_bytes.min(state.quota() / 8);
            let stream = state.streams().get(&number);
            let newest = stream.and_then(|stream| stream.segments().last_key_value());
            let before = newest.and_then(|(first, segment)| Some((*first, segment.sure?)));
            (stream.map(|stream| stream.name().to_owned()).unwrap_or_default(), before, segment_size)
        };
        let bytes: usize = records.iter().map(|(_, record)| record.size()).sum();
        let count = records.len() as u64;
        let to = Target { stream: number, name: &name, before, segment_size };
        let committed = io.writers.commit(&self.ports, &self.settings, &to, &records);
        match &committed {
            Ok(committed) => {
                io.committed(number, committed.segment.last);
                io.note_committed(self.now());
                if io.manifest.known.begun(number, committed.first)
                    && let Err(error) = io.write_manifest()
                {
                    tracing::error!(%error, "the manifest cannot be written: nobody would miss the new segment");
                }
            }
            Err(error) => {
                let items = records.iter().map(|(_, record)| u64::from(record.items)).sum();
                let (part, why) = (format!("stream {name}"), error.to_string());
                io.warnings.warn(&part, "cannot be kept; senders are told to try again", items, &why);
            }
        }
        let (is_there, outcome) = match committed {
            Ok(Committed { first, segment }) => {
                let (to, tail_bytes) = ((first, segment), self.settings.tail_bytes);
                (self.state().committed(number, to, (records, bytes), tail_bytes), Outcome::DONE)
            }
            Err(error) => {
                let is_there =
                    self.state().commit_failed(number, (count, bytes), is_full(&error), self.now());
                (is_there, Outcome::retry(format!("the storage cannot keep it: {error}")))
            }
        };
        if !is_there {
            return;
        }
        settles.into_iter().for_each(|settle| settle_safely(settle, outcome.clone()));
    }
}

fn append_entries(io: &mut Io, journal: u64, Entries { entries, settles }: Entries) {
    if entries.is_empty() {
        return;
    }
    let outcome = outcome(io.append_journal(journal, &entries));
    settles.into_iter().for_each(|settle| settle_safely(settle, outcome.clone()));
}

/// Tells what became of it. Whoever listens and panics must not end the thread that writes for all.
fn settle_safely(settle: Settle, outcome: Outcome) {
    if catch_unwind(AssertUnwindSafe(|| settle.settle(outcome))).is_err() {
        tracing::error!("somebody who was told what became of a record panicked");
    }
}

fn outcome(done: io::Result<()>) -> Outcome {
    match done {
        Ok(()) => Outcome::DONE,
        Err(error) => Outcome::retry(format!("the storage cannot keep it: {error}")),
    }
}
