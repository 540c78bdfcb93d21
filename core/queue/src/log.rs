//! The log as callers see it.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use throughline_component::port::StoreError;
use throughline_component::{Outcome, Position, Settle};

use crate::io::is_full;
use crate::limits::Limits;
use crate::name::number;
use crate::ports::Ports;
use crate::reader::Reader;
use crate::recover::{directory, recover};
use crate::shared::Shared;
use crate::state::{Stats, Task};
use crate::{Record, Settings};

/// A durable log in one directory. Dropping it writes what waits, and ends its thread.
pub struct Log {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Log {
    /// Opens the log in a directory, and starts the thread that writes to it. This blocks.
    ///
    /// # Errors
    /// The directory is missing, another process has it, or the disk fails.
    pub fn open(ports: Ports, settings: Settings) -> Result<Self, StoreError> {
        let mut log = Self::open_still(ports, settings)?;
        let shared = Arc::clone(&log.shared);
        let thread = std::thread::Builder::new().name("log".into()).spawn(move || shared.run());
        log.thread =
            Some(thread.map_err(|error| StoreError(format!("the log's thread cannot start: {error}")))?);
        Ok(log)
    }

    /// Opens a log without a thread: nothing is written but by [`flush_group`](Self::flush_group). For simulations.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_still(ports: Ports, settings: Settings) -> Result<Self, StoreError> {
        let at = settings.directory.display();
        let failed =
            |error: std::io::Error| StoreError(format!("the storage in {at} cannot be opened: {error}"));
        directory(&*ports.disk, &settings).map_err(failed)?;
        let lock = lock(&ports, &settings).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => {
                StoreError(format!("the storage in {at} is in use by another process"))
            }
            _ => failed(error),
        })?;
        let (state, io) = recover(&ports, &settings).map_err(failed)?;
        let shared = Shared::new(ports, settings, (state, io), lock);
        shared.take_reserve(&mut shared.io());
        Ok(Self { shared: Arc::new(shared), thread: None })
    }

    /// The number of the stream with this name, which exists from then on.
    ///
    /// # Errors
    /// Its number is taken by a stream with another name (once in 2⁶⁴).
    pub fn stream(&self, name: &str) -> Result<u64, StoreError> {
        let now = self.shared.now();
        let mut state = self.shared.state();
        let stream = state.stream(name);
        stream.adopt_name(name, now);
        if stream.name() != name {
            return Err(StoreError(format!(
                "the streams {name} and {} have one number; rename one",
                stream.name()
            )));
        }
        Ok(number(name))
    }

    /// Appends a record to a stream. `settle` hears Done once it is synced, and Retry if there is no room or the disk
    /// fails. The position is the record's for good; no other record ever has it, whatever `settle` hears.
    pub fn append(&self, stream: u64, record: Record, settle: Settle) -> Option<Position> {
        let size = record.size();
        let refused = {
            let mut guard = self.shared.state();
            let state = &mut *guard;
            let settings = &self.shared.settings;
            let stored = state.stored_bytes + state.pending_bytes as u64;
            let is_full = state.short || state.unwritten || stored + size as u64 > state.limits.max_bytes;
            let refusal = if is_full {
                Some(if state.short || state.unwritten { "the disk is full" } else { "the storage is full" })
            } else if state.pending_bytes > 0 && state.pending_bytes + size > settings.pending_bytes {
                Some("the disk is too slow")
            } else {
                let (overflow, quota) = (state.limits.overflow, state.quota);
                match state.streams.get_mut(&stream) {
                    None => Some("there is no such stream"),
                    Some(held) => {
                        if held.admits(
                            &record,
                            overflow,
                            quota,
                            &mut state.dropped,
                            &*self.shared.ports.clock,
                        ) {
                            let sequence = held.accept(size as u64);
                            state.pending_bytes += size;
                            state.group.push(Task::Append {
                                stream,
                                sequence,
                                record: Arc::new(record),
                                settle,
                            });
                            self.shared.wake(guard);
                            return Some(Position { stream, sequence });
                        }
                        Some("as much waits for its destinations as may")
                    }
                }
            };
            state.stats.refused += 1;
            state.pressed = true;
            state.wants_room |= is_full;
            self.shared.wake(guard);
            refusal.unwrap_or_default()
        };
        settle.settle(Outcome::retry(refused));
        None
    }

    /// Makes sure that a destination has a cursor in a stream; a new one starts at the end, or with the oldest record if
    /// cursors of the stream were lost. This blocks: it is on the disk before the next record can be acknowledged. Says whether
    /// it is new.
    ///
    /// # Errors
    /// The disk fails.
    pub fn subscribe(&self, stream: u64, destination: &str) -> Result<bool, StoreError> {
        let mut io = self.shared.io();
        let (entries, is_new) = {
            let mut state = self.shared.state();
            let Some(stream) = state.streams.get_mut(&stream) else {
                return Err(StoreError("there is no such stream".into()));
            };
            let (is_new, begins_early) = stream.subscribe(destination);
            if begins_early {
                tracing::error!(stream = %stream.name(), %destination, "its cursor may have been lost: it begins with the oldest record");
            }
            state.share();
            let now = self.shared.now();
            (state.cursor_entries(is_new, now), is_new)
        };
        // A new one goes to where a torn end cannot take it.
        let written = if is_new {
            io.replace_cursors(&entries).inspect_err(|_| self.shared.state().all_dirty())
        } else {
            self.shared.write_cursors(&mut io, &entries, true)
        };
        match written {
            Err(error) if is_new && !is_full(&error) => {
                let why = format!("the cursor of {destination} cannot be written: {error}");
                return Err(StoreError(why));
            }
            Err(error) => {
                tracing::error!(%destination, %error, "its cursor cannot be written; until it can, nothing new is taken in");
                self.shared.state().unwritten |= is_new;
            }
            Ok(()) => {}
        }
        Ok(is_new)
    }

    /// Reads a stream for a destination that has [subscribed](Self::subscribe), from its cursor on, once no other
    /// reader does.
    ///
    /// # Errors
    /// The destination has not subscribed.
    pub async fn reader(&self, stream: u64, destination: &str) -> Result<Reader, StoreError> {
        Reader::lease(Arc::clone(&self.shared), stream, destination).await
    }

    /// How it does.
    pub fn stats(&self) -> Stats {
        let state = self.shared.state();
        let (stored_bytes, max_bytes) = (state.stored_bytes, state.limits.max_bytes);
        let disk_full = state.is_disk_full();
        let mut stats = Stats { stored_bytes, max_bytes, disk_full, ..state.stats };
        for segment in state.streams.values().flat_map(|stream| stream.segments().values()) {
            for (records, items) in segment.counts {
                stats.stored_records += records;
                stats.stored_items += items;
            }
        }
        stats
    }

    /// Takes over those settings that can change while the log is open: `max_bytes`, `quota`, `overflow` and `orphan_expiry`.
    pub fn adjust(&self, settings: &Settings) {
        let mut state = self.shared.state();
        state.limits = Limits::of(settings);
        state.share();
        (state.pressed, state.next_look) = (true, 0);
        self.shared.wake(state);
    }

    /// Does what the thread does, once: writes and syncs the group that has formed. Says whether there was any.
    pub fn flush_group(&self) -> bool {
        self.shared.flush_group()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

fn lock(ports: &Ports, settings: &Settings) -> std::io::Result<Box<dyn Send + Sync>> {
    let patience = u64::try_from(settings.lock_timeout.as_nanos()).unwrap_or(u64::MAX);
    let give_up = ports.clock.monotonic_nanos().saturating_add(patience);
    loop {
        match ports.disk.lock(&settings.directory) {
            Err(error)
                if error.kind() == std::io::ErrorKind::WouldBlock
                    && ports.clock.monotonic_nanos() < give_up =>
            {
                std::thread::sleep(Duration::from_millis(20));
            }
            locked_or_failed => return locked_or_failed,
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        let mut state = self.shared.state();
        state.closing = true;
        self.shared.wake(state);
        // Whoever is told of a record may hold the last handle: then the thread ends after this turn, by itself.
        if thread.thread().id() != std::thread::current().id() {
            drop(thread.join());
        }
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Log({})", self.shared.settings.directory.display())
    }
}
