//! After each turn: cursors are written down, and what all of them have passed is removed.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::entry::Entry;
use crate::io::Io;
use crate::segment::Segment;
use crate::shared::Shared;
use crate::state::{News, State};

impl Shared {
    /// Writes down where cursors are, and removes what all of them have passed.
    pub(crate) fn collect_garbage(&self, io: &mut Io) {
        // One look at the state a turn: those who append are waiting for it.
        let (entries, passed, losses, dropped) = {
            let mut state = self.state();
            let now = self.now();
            let mut losses = state.expire(now);
            losses.extend(state.drop_oldest());
            if state.is_pressed() || state.is_in_need() {
                seal_passed(&mut state, io);
            }
            let mut passed = passed(&state);
            if state.wants_room() && passed.is_empty() {
                losses.extend(state.make_room(now));
                passed = self::passed(&state);
            }
            state.looked_for_room();
            state.count_passed();
            (state.cursor_entries(false, now), passed, losses, state.news_of_dropped())
        };
        say_what_was_dropped(io, dropped);
        for loss in losses {
            self.lose(loss);
            say_what_was_dropped(io, self.state().news_of_dropped());
        }
        // A lagging cursor only means that something is delivered again, so a disk that takes nothing stops no removal.
        if let Err(error) = self.write_cursors(io, &entries, !passed.is_empty()) {
            io.failed(
                "the cursors cannot be written; after a restart some data will be delivered again",
                &error,
            );
        }
        if !passed.is_empty() {
            self.remove(io, passed);
        }
        self.take_reserve(io);
        io.warnings.flush(false);
    }

    fn remove(&self, io: &mut Io, passed: Vec<Garbage>) {
        // What is missing and was not recorded is damage.
        for Garbage { stream, first, last, live, .. } in &passed {
            io.manifest.known.streams.entry(*stream).or_default().remove(live, *first, *last);
        }
        if let Err(error) = io.write_manifest() {
            return io.failed("the manifest cannot be written; nothing is removed", &error);
        }
        for Garbage { stream, first, path, .. } in passed {
            match self.ports.disk.remove(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    io.failed("a segment that everybody has passed cannot be removed", &error);
                    continue;
                }
            }
            self.state().forget_segment(stream, first);
        }
    }

    /// Sees to it that there is a reserve; until there is, records are refused.
    pub(crate) fn take_reserve(&self, io: &mut Io) {
        if !io.reserve.is_short() {
            return;
        }
        if io.cursors.is_wasteful() {
            let all = self.state().cursor_entries(true, self.now());
            if io.replace_cursors(&all).is_err() {
                self.state().all_dirty();
            }
        }
        let taken = io.reserve.take(&*self.ports.disk, self.ports.clock.monotonic_nanos());
        self.state().set_short(io.reserve.is_short());
        if let Err(error) = taken {
            io.failed("the disk is full: nothing is taken in until there is room for a reserve", &error);
        }
    }

    /// Writes down cursors, on the disk when this returns if `sync` says so.
    pub(crate) fn write_cursors(&self, io: &mut Io, entries: &[Entry], sync: bool) -> io::Result<()> {
        if entries.is_empty() && !sync {
            return Ok(());
        }
        let written = if io.cursors.size() >= self.settings.cursors_bytes || io.cursors.is_to_be_replaced() {
            let all = self.state().cursor_entries(true, self.now());
            io.replace_cursors(&all).inspect(|()| self.state().set_unwritten(false))
        } else {
            io.append_cursors(entries, sync)
        };
        if written.is_err() {
            self.state().all_dirty();
        }
        written
    }
}

/// Says what was dropped, once a minute for every destination.
fn say_what_was_dropped(io: &Io, news: Vec<News>) {
    for News { destination, stream, reason, items } in news {
        io.warnings.warn(&format!("{destination} in {stream}"), reason.as_words(), items, reason.as_str());
    }
}

/// Ends segments that everybody has passed although they are written to, since their room is wanted.
fn seal_passed(state: &mut State, io: &mut Io) {
    state.close_passed().into_iter().for_each(|stream| io.writers.seal(stream));
}

/// A segment that can be removed.
struct Garbage {
    stream: u64,
    first: u64,
    last: u64,
    path: PathBuf,
    /// What the stream's other segments begin with.
    live: Arc<BTreeSet<u64>>,
}

fn passed(state: &State) -> Vec<Garbage> {
    let mut all = Vec::new();
    for (number, stream) in state.streams() {
        let is_passed =
            |(first, segment): &(&u64, &Segment)| !segment.active && stream.has_passed(**first, segment);
        if !stream.segments().iter().any(|segment| is_passed(&segment)) {
            continue;
        }
        let (passed, live): (Vec<_>, Vec<_>) = stream.segments().iter().partition(is_passed);
        let live = Arc::new(live.into_iter().map(|(first, _)| *first).collect());
        all.extend(passed.into_iter().map(|(first, segment)| Garbage {
            stream: *number,
            first: *first,
            last: segment.last,
            path: segment.path.clone(),
            live: Arc::clone(&live),
        }));
    }
    all
}
