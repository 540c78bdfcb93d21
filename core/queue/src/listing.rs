//! What waits for whom.

use std::path::PathBuf;
use std::time::Duration;

use throughline_component::port::StoreError;

use crate::limits::{Reason, Sum};
use crate::log::Log;
use crate::manifest;
use crate::name::is_ours;
use crate::ports::Ports;
use crate::quota::{Loss, unsettled};
use crate::settings::Settings;
use crate::shared::Shared;

/// What waits for one destination in one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// The stream.
    pub stream: String,
    /// The destination; `(unknown)` stands for those whose cursors were lost.
    pub destination: String,
    /// The sequence number of the first record that it has not settled.
    pub position: u64,
    /// Bytes of the segments that are kept for it.
    pub bytes: u64,
    /// Records that it has not settled. Only where they were asked for.
    pub records: u64,
    /// Items in them.
    pub items: u64,
    /// For how long nobody has read for it, counted while the log is open. Its data stays until it expires.
    pub orphan: Option<Duration>,
}

/// What never reached a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The stream.
    pub stream: String,
    /// The destination.
    pub destination: String,
    /// Why: `drop_oldest`, `drop_newest`, `expired`, `space` or `asked`.
    pub reason: &'static str,
    /// How many records.
    pub records: u64,
    /// How many items in them.
    pub items: u64,
}

impl Log {
    /// Opens a storage that is there and that no agent has open, to look at it and to give up what waits. Nothing expires,
    /// and nothing is written but by [`flush_group`](Self::flush_group). This blocks.
    ///
    /// # Errors
    /// It is no storage, or as [`open`](Self::open).
    pub fn open_to_look(ports: Ports, directory: PathBuf) -> Result<Self, StoreError> {
        let files = ports.disk.list(&directory).map_err(|error| StoreError(error.to_string()))?;
        if !files.iter().any(|file| is_ours(file) || file == manifest::NAME) {
            return Err(StoreError(format!("{} is no storage", directory.display())));
        }
        let settings = Settings {
            max_bytes: u64::MAX,
            reserve_bytes: 0,
            orphan_expiry: Duration::ZERO,
            ..Settings::new(directory)
        };
        Self::open_still(ports, settings)
    }

    /// What waits for every destination, without counting records.
    pub fn backlogs(&self) -> Vec<Backlog> {
        let now = self.shared().ports.clock.monotonic_nanos();
        let state = self.shared().state();
        let mut all = Vec::new();
        for stream in state.streams().values() {
            for (destination, cursor) in stream.cursors() {
                let is_orphan = cursor.orphan().filter(|_| !cursor.is_attached());
                all.push(Backlog {
                    stream: stream.name().to_owned(),
                    destination: destination.clone(),
                    position: cursor.low(),
                    bytes: stream.held(destination),
                    records: 0,
                    items: 0,
                    orphan: is_orphan.map(|idle| Duration::from_nanos(idle.age(now))),
                });
            }
        }
        all
    }

    /// What waits for every destination, with counts of records. This reads segments that are settled in part, and blocks.
    pub fn list(&self) -> Vec<Backlog> {
        let mut all = self.backlogs();
        for backlog in &mut all {
            let (place, parts) = {
                let state = self.shared().state();
                let stream = state.streams().values().find(|stream| stream.name() == backlog.stream);
                let found =
                    stream.and_then(|stream| Some((stream, stream.cursors().get(&backlog.destination)?)));
                let Some((stream, cursor)) = found else { continue };
                (cursor.place(), stream.waiting(&backlog.destination))
            };
            let Sum { records, items } = unsettled(&self.shared().ports.disk, &place, &parts);
            (backlog.records, backlog.items) = (records, items);
        }
        all
    }

    /// The cursors nobody reads for.
    pub fn orphans(&self) -> Vec<Backlog> {
        self.backlogs().into_iter().filter(|backlog| backlog.orphan.is_some()).collect()
    }

    /// What never reached its destination since the log was opened.
    pub fn dropped(&self) -> Vec<Dropped> {
        let state = self.shared().state();
        let dropped = state.dropped().iter().map(|((stream, destination, reason), sum)| Dropped {
            stream: stream.clone(),
            destination: destination.clone(),
            reason: reason.as_str(),
            records: sum.records,
            items: sum.items,
        });
        dropped.collect()
    }

    /// Takes a destination's cursors away, in one stream or in all, unless somebody reads for it; what waits only for it goes
    /// with the next turn. Says what it loses. This blocks.
    pub fn drop_destination(&self, stream: Option<&str>, destination: &str) -> Vec<Dropped> {
        let losses: Vec<Loss> = {
            let mut state = self.shared().state();
            let streams: Vec<u64> = state
                .streams()
                .iter()
                .filter(|(_, held)| stream.is_none_or(|stream| held.name() == stream))
                .filter(|(_, held)| {
                    held.cursors().get(destination).is_some_and(|cursor| !cursor.is_attached())
                })
                .map(|(number, _)| *number)
                .collect();
            streams.into_iter().filter_map(|s| state.drop_cursor(s, destination, Reason::Asked)).collect()
        };
        let lost = losses.into_iter().map(|loss| {
            let (stream, destination) = (loss.stream.clone(), loss.destination.clone());
            let Sum { records, items } = self.shared().lose(loss);
            Dropped { stream, destination, reason: Reason::Asked.as_str(), records, items }
        });
        let lost = lost.collect();
        let state = self.shared().state();
        self.shared().wake(state);
        lost
    }
}

impl Shared {
    /// Counts what a destination does not get.
    pub(crate) fn lose(&self, loss: Loss) -> Sum {
        let Loss { stream, destination, reason, place, parts } = loss;
        let sum = unsettled(&self.ports.disk, &place, &parts);
        if sum.records > 0 {
            self.state().count_dropped((stream, destination, reason), sum);
        }
        sum
    }
}
