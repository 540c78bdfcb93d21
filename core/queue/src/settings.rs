//! What a log is opened with.

use std::path::PathBuf;
use std::time::Duration;

/// How a log behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where it lies.
    pub directory: PathBuf,
    /// Whether the directory is created where it is missing.
    pub create_directory: bool,
    /// How long to wait for another process to give the directory back.
    pub lock_timeout: Duration,
    /// When a record counts as kept.
    pub durability: Durability,
    /// The most bytes that all streams may take up; what comes on top is answered with Retry.
    pub max_bytes: u64,
    /// From what size on a segment is followed by a new one; never more than an eighth of what may wait for a destination.
    pub segment_bytes: u64,
    /// The most bytes that may wait for the disk; what comes on top is answered with Retry.
    pub pending_bytes: usize,
    /// How many bytes of each stream's newest records stay in memory, so that readers need no disk.
    pub tail_bytes: usize,
    /// The most bytes that a reader gives out without hearing of them; one record always goes.
    pub window_bytes: usize,
    /// From what size on the file of cursors is written anew.
    pub cursors_bytes: u64,
    /// How much room is kept free on the disk for cursors and journals; never more than a 64th of `max_bytes`.
    pub reserve_bytes: u64,
    /// The most bytes that may wait for one destination, in whole segments from its cursor to the stream's end. Unset:
    /// streams have equal shares of seven eighths of `max_bytes`.
    pub quota: Option<u64>,
    /// What happens when more would wait.
    pub overflow: Overflow,
    /// How long the cursor of a destination that nobody reads for is kept, while the log is open. Zero: for ever.
    pub orphan_expiry: Duration,
}

/// When a record counts as kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Once its group and the directory entry of its file are synced to disk: it survives a loss of power.
    Synced,
    /// Once the kernel has it in memory: it survives the end of the process, not that of the machine.
    Memory,
}

/// What happens when as much waits for a destination as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// What comes in is not for it, while others take it. If nobody can, it is refused.
    DropNewest,
    /// Its cursor moves on, over the oldest that waits.
    DropOldest,
    /// What comes in is refused, and others wait too.
    Block,
}

/// The most unsettled records of a reader.
pub(crate) const WINDOW_RECORDS: usize = 1024;
/// The most records that a reader sets aside: each is a number in what is written down of a cursor.
pub(crate) const ASIDE_RECORDS: usize = 16 << 10;

impl Settings {
    /// The defaults, for a directory.
    pub fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            create_directory: false,
            lock_timeout: Duration::ZERO,
            durability: Durability::Synced,
            max_bytes: 1 << 30,
            segment_bytes: 64 << 20,
            pending_bytes: 64 << 20,
            tail_bytes: 4 << 20,
            window_bytes: 16 << 20,
            cursors_bytes: 1 << 20,
            reserve_bytes: 8 << 20,
            quota: None,
            overflow: Overflow::DropNewest,
            orphan_expiry: Duration::from_hours(7 * 24),
        }
    }

    pub(crate) fn reserve_size(&self) -> u64 {
        self.reserve_bytes.min(self.max_bytes / 64)
    }

    pub(crate) fn syncs(&self) -> bool {
        self.durability == Durability::Synced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_kept_free_than_a_64th_of_what_streams_may_take_up() {
        let settings = Settings::new(PathBuf::from("/log"));
        assert_eq!(settings.reserve_size(), 8 << 20);
        assert_eq!(Settings { max_bytes: 64 << 20, ..settings }.reserve_size(), 1 << 20);
    }
}
