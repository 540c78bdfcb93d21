//! After each turn: cursors are written down, and what all of them have passed is removed.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::entry::Entry;
use crate::io::Io;
use crate::log::Shared;
use crate::state::{Segment, State};

/// From what size on the file of cursors is written anew.
const CURSORS_BYTES: u64 = 1 << 20;

impl Shared {
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
        if let Err(error) = self.write_cursors(io, &entries, !passed.is_empty())
            && let Some(times) = io.quiet.happened("cursors", 1)
        {
            tracing::error!(%error, times, "the cursors cannot be written; after a restart some data will be delivered again");
        }
        if !passed.is_empty() {
            self.remove(io, passed);
        }
        self.take_reserve(io);
    }

    fn remove(&self, io: &mut Io, passed: Vec<Passed>) {
        // What is missing and was not recorded is damage.
        for Passed { stream, first, last, live, .. } in &passed {
            io.manifest.known.streams.entry(*stream).or_default().remove(live, *first, *last);
        }
        if let Err(error) = io.write_manifest() {
            if let Some(times) = io.quiet.happened("manifest", 1) {
                tracing::error!(%error, times, "the manifest cannot be written; nothing is removed");
            }
            return;
        }
        for Passed { stream, first, path, .. } in passed {
            match self.ports.disk.remove(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    if let Some(times) = io.quiet.happened("remove", 1) {
                        tracing::error!(%error, times, "a segment that everybody has passed cannot be removed");
                    }
                    continue;
                }
            }
            let mut state = self.state();
            let removed = state.streams.get_mut(&stream).and_then(|stream| stream.segments.remove(&first));
            state.stored_bytes -= removed.map_or(0, |segment| segment.end);
        }
    }

    /// Sees to it that there is a reserve; until there is, records are refused.
    pub(crate) fn take_reserve(&self, io: &mut Io) {
        if io.reserve.is_short() && io.cursors.is_wasteful() {
            let all = self.state().cursor_entries(true);
            if io.replace_cursors(&all).is_err() {
                self.state().all_dirty();
            }
        }
        let taken = io.reserve.take(&*self.ports.disk, self.ports.clock.monotonic_nanos());
        let mut state = self.state();
        let was_short = std::mem::replace(&mut state.short, io.reserve.is_short());
        let is_short = state.short;
        drop(state);
        if let Err(error) = taken
            && let Some(times) = io.quiet.happened("reserve", 1)
        {
            tracing::error!(%error, times, "the disk is full: nothing is taken in until there is room for a reserve");
        }
        if was_short && !is_short {
            tracing::info!("the disk has room again");
        }
    }

    /// Writes down cursors, on the disk when this returns if `sync` says so.
    pub(crate) fn write_cursors(&self, io: &mut Io, entries: &[Entry], sync: bool) -> io::Result<()> {
        if entries.is_empty() && !sync {
            return Ok(());
        }
        let written = if io.cursors.size() > CURSORS_BYTES || io.cursors.is_to_be_replaced() {
            let all = self.state().cursor_entries(true);
            io.replace_cursors(&all).inspect(|()| self.state().unwritten = false)
        } else {
            io.append_cursors(entries, sync)
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
