//! The limits of a log, and the reasons for which data is dropped because of them.

use std::collections::BTreeMap;

use crate::settings::{Overflow, Settings};

/// What of the settings can change while the log is open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_bytes: u64,
    quota: Option<u64>,
    pub(crate) overflow: Overflow,
    /// In nanoseconds; zero: never.
    pub(crate) orphan_expiry: u64,
}

impl Limits {
    pub(crate) fn of(settings: &Settings) -> Self {
        Self {
            max_bytes: settings.max_bytes,
            quota: settings.quota,
            overflow: settings.overflow,
            orphan_expiry: u64::try_from(settings.orphan_expiry.as_nanos()).unwrap_or(u64::MAX),
        }
    }

    /// How much may wait for a destination. Unless it was set, streams have equal shares of the storage, with room
    /// for what has been passed and not been removed yet.
    pub(crate) fn quota(&self, streams: usize) -> u64 {
        let share = || (self.max_bytes - self.max_bytes / 8) / (streams.max(1) as u64);
        self.quota.unwrap_or_else(share)
    }
}

/// How long, in nanoseconds, nobody must have read for a cursor before others go first: a reload, or a start, takes less.
pub(crate) const GRACE: u64 = 300_000_000_000;

/// Why something did not reach its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// `drop_oldest`: it was the oldest that waited.
    DropOldest,
    /// `drop_newest`: there was no room for it.
    DropNewest,
    /// Nobody has read for the destination for too long.
    Expired,
    /// Nobody reads for the destination, and others need the room.
    Space,
    /// Somebody asked for it.
    Asked,
}

impl Reason {
    /// The label of counters.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::DropOldest => "drop_oldest",
            Self::DropNewest => "drop_newest",
            Self::Expired => "expired",
            Self::Space => "space",
            Self::Asked => "asked",
        }
    }

    /// What the log says.
    pub(crate) fn as_words(self) -> &'static str {
        match self {
            Self::DropOldest => "dropped: it was the oldest that waited, and too much did",
            Self::DropNewest => "dropped: as much waited as may",
            Self::Expired => "dropped: nobody has read it for too long",
            Self::Space => "dropped: nobody reads it, and others need the room",
            Self::Asked => "dropped: somebody asked for it",
        }
    }
}

/// How much was dropped, by stream, destination and reason.
pub(crate) type Dropped = BTreeMap<(String, String, Reason), Sum>;

/// Records and items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) records: u64,
    pub(crate) items: u64,
}

impl std::ops::AddAssign for Sum {
    fn add_assign(&mut self, other: Self) {
        self.records += other.records;
        self.items += other.items;
    }
}
