//! State on disk: a journal for each component that has something to remember.

use bytes::Bytes;

use crate::{ComponentId, Outcome, Settle};

/// Where components find their journals. Offered by a storage extension under its id.
pub trait Journals: Send + Sync {
    /// Opens the journal of a component; it exists from then on. `id` is the component's kind and id, see
    /// [`Build::key`](crate::Build::key). This blocks.
    ///
    /// # Errors
    /// [`StoreError`] if the storage cannot be opened, the journal is open already, or it is damaged; then it stays as it is.
    fn open(&self, id: &ComponentId) -> Result<Opened, StoreError>;
}

/// A journal, and what it held.
pub struct Opened {
    /// To go on writing.
    pub journal: Box<dyn Journal>,
    /// The last snapshot, if there is one, and every entry since then, in order. An entry whose settlement was never
    /// heard of may be there or not.
    pub entries: Vec<Bytes>,
}

/// An append-only list of entries that can be replaced by a snapshot. Closed when dropped.
pub trait Journal: Send + Sync {
    /// Appends an entry, and tells `settle` Done once it is synced. Retry: it may be there after a restart, or not.
    fn append(&self, entry: Bytes, settle: Settle);

    /// Replaces all that was appended so far by one entry. Until that has settled with Done, what was there is kept.
    fn compact(&self, snapshot: Bytes, settle: Settle);

    /// Bytes of the snapshot and the entries since then: what a restart has to read.
    fn size(&self) -> u64;
}

/// Why a storage cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

/// Journals for an agent without storage: they keep nothing, and say Done at once. A restart begins with nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoopJournals;

impl Journals for NoopJournals {
    fn open(&self, _: &ComponentId) -> Result<Opened, StoreError> {
        Ok(Opened { journal: Box::new(Self), entries: Vec::new() })
    }
}

impl Journal for NoopJournals {
    fn append(&self, _: Bytes, settle: Settle) {
        settle.settle(Outcome::DONE);
    }

    fn compact(&self, _: Bytes, settle: Settle) {
        settle.settle(Outcome::DONE);
    }

    fn size(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_journal_without_storage_says_done_and_keeps_nothing() {
        let opened = NoopJournals.open(&ComponentId::new("change")).expect("it always opens");
        assert!(opened.entries.is_empty());
        let ((append, appended), (compact, compacted)) = (Settle::ticket(), Settle::ticket());
        opened.journal.append(Bytes::from_static(b"a"), append);
        opened.journal.compact(Bytes::from_static(b"b"), compact);
        assert_eq!((appended.await, compacted.await), (Outcome::DONE, Outcome::DONE));
        assert_eq!(opened.journal.size(), 0);
    }
}
