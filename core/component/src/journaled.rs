//! State that survives a restart: held in memory, journaled as it changes, replayed on first use.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::port::{Forgetful, Journal, Journals, StoreError};
use crate::{Barrier, Build, ComponentId, ConfigError, Outcome, Settle};

/// A state that can be rebuilt from what it journaled. It journals ids and times, never bodies.
pub trait Replay: Send + 'static {
    /// Takes an entry, or a snapshot, that an earlier self wrote. What cannot be read is skipped.
    fn replay(&mut self, entry: &[u8]);
    /// The whole state as one entry.
    fn snapshot(&self) -> Vec<u8>;
}

/// A component's state and its journal. Shared by all instances of the component, see [`Build::state`].
pub struct Journaled<S> {
    id: ComponentId,
    journals: Arc<dyn Journals>,
    held: Mutex<Held<S>>,
}

struct Held<S> {
    state: S,
    journal: Option<Arc<dyn Journal>>,
    /// How large the journal was after its last compaction.
    compacted: u64,
}

impl<S: Replay> Held<S> {
    /// What the journal is to be replaced by.
    fn snapshot(&mut self) -> Bytes {
        let snapshot = self.state.snapshot();
        self.compacted = snapshot.len() as u64;
        snapshot.into()
    }
}

/// A journal is compacted when it is this many times larger than after the last time, and worth it at all.
const GROWTH: u64 = 4;
const WORTH_IT: u64 = 4 << 20;

impl<S: Replay> Journaled<S> {
    /// The state of the component that is being built, journaled in the storage extension `storage`; in memory only if
    /// there is none. Opens nothing yet.
    ///
    /// # Errors
    /// No extension of that id keeps journals.
    pub fn of(cx: &Build, storage: Option<&str>, make: impl FnOnce() -> S) -> Result<Arc<Self>, ConfigError> {
        let journals: Arc<dyn Journals> = match storage {
            None => Arc::new(Forgetful),
            Some(id) => cx.storage("storage", id)?,
        };
        // A reload that names another storage goes on with what is kept there.
        let key = storage.map_or_else(|| cx.id.clone(), |id| ComponentId::new(&format!("{} in {id}", cx.id)));
        Build { id: key, ..cx.clone() }.state(|| {
            let held = Mutex::new(Held { state: make(), journal: None, compacted: 0 });
            Ok(Self { id: cx.id.clone(), journals, held })
        })
    }

    /// The state. On first use the journal is read, which blocks; until it can be, every call tries again.
    ///
    /// # Errors
    /// The journal cannot be opened.
    pub fn open(&self) -> Result<Guard<'_, S>, StoreError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.journal.is_none() {
            let opened = self.journals.open(&self.id)?;
            opened.entries.iter().for_each(|entry| held.state.replay(entry));
            held.compacted = opened.journal.size();
            held.journal = Some(Arc::from(opened.journal));
        }
        Ok(Guard(held))
    }
}

/// The state, locked.
pub struct Guard<'a, S>(MutexGuard<'a, Held<S>>);

impl<S: Replay> Guard<'_, S> {
    /// Journals an entry; the barrier settles once it is synced.
    pub fn append(&mut self, entry: Vec<u8>) -> Barrier {
        let held = &mut *self.0;
        let Some(journal) = held.journal.clone() else {
            return Barrier::new(|settle| settle.settle(Outcome::retry("the journal is not open")));
        };
        if journal.size() > WORTH_IT.max(held.compacted.saturating_mul(GROWTH)) {
            // The entry is in the snapshot: the state has taken it already.
            let snapshot = held.snapshot();
            return Barrier::new(move |settle| journal.compact(snapshot, settle));
        }
        Barrier::new(move |settle| journal.append(Bytes::from(entry), settle))
    }

    /// The same for callers that await it.
    pub fn append_and_wait(&mut self, entry: Vec<u8>) -> crate::Ticket {
        let (settle, ticket) = Settle::ticket();
        self.append(entry).join(settle);
        ticket
    }

    /// Replaces the journal by a snapshot; the ticket hears once it is synced.
    pub fn compact(&mut self) -> crate::Ticket {
        let held = &mut *self.0;
        let (settle, ticket) = Settle::ticket();
        // Without a journal the token is dropped, and says Retry.
        if let Some(journal) = held.journal.clone() {
            journal.compact(held.snapshot(), settle);
        }
        ticket
    }
}

impl<S> Deref for Guard<'_, S> {
    type Target = S;
    fn deref(&self) -> &S {
        &self.0.state
    }
}

impl<S> DerefMut for Guard<'_, S> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.0.state
    }
}

impl<S> std::fmt::Debug for Journaled<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Journaled({})", self.id)
    }
}
