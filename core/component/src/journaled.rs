//! State that survives a restart: held in memory, journaled as it changes, replayed on first use.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;

use crate::port::{Forgetful, Journal, Journals, StoreError};
use crate::{Barrier, Build, ComponentId, ConfigError, Outcome, Settle, Ticket};

/// A state that can be rebuilt from what it journaled. It journals ids and times, never bodies.
pub trait Replay: Send + Sync + 'static {
    /// Takes an entry, or a snapshot, that an earlier self wrote. What cannot be read is skipped; what is known already
    /// changes nothing, since a snapshot may hold what was journaled behind it too.
    fn replay(&mut self, entry: &[u8]);
    /// The whole state as one entry.
    fn snapshot(&self) -> Vec<u8>;
}

/// A component's state and its journal. Shared by all instances of the component, see [`Build::state`].
pub struct Journaled<S> {
    id: ComponentId,
    journals: Arc<dyn Journals>,
    held: RwLock<Held<S>>,
}

struct Held<S> {
    state: S,
    journal: Option<Arc<dyn Journal>>,
    /// How large the journal was after its last compaction.
    compacted: u64,
    behind: Arc<Behind>,
}

/// What the journal lacks of the state. Who finds in the state what somebody else taught it a moment ago must not be
/// acknowledged before that is on the disk.
#[derive(Default)]
struct Behind {
    /// Entries and snapshots on their way.
    pending: AtomicUsize,
    /// An entry was lost on its way; a snapshot mends that.
    failed: AtomicBool,
    /// A snapshot is on its way.
    compacting: AtomicBool,
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
        Build { id: key, ..cx.clone() }.state(|| Ok(Self::new(cx.id.clone(), journals, make())))
    }

    fn new(id: ComponentId, journals: Arc<dyn Journals>, state: S) -> Self {
        let behind = Arc::default();
        Self { id, journals, held: RwLock::new(Held { state, journal: None, compacted: 0, behind }) }
    }

    /// The state, to be changed. On first use the journal is read, which blocks; until it can be, every call tries again.
    ///
    /// # Errors
    /// The journal cannot be opened.
    pub fn open(&self) -> Result<Guard<'_, S>, StoreError> {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if held.journal.is_none() {
            let opened = self.journals.open(&self.id)?;
            let entries = opened.entries.iter().filter(|entry| !entry.is_empty());
            entries.for_each(|entry| held.state.replay(entry));
            held.compacted = opened.journal.size();
            held.journal = Some(Arc::from(opened.journal));
        }
        Ok(Guard(held))
    }

    /// The state, to be read by many at a time.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn read(&self) -> Result<ReadGuard<'_, S>, StoreError> {
        let mut held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        if held.journal.is_none() {
            drop(held);
            held = RwLockWriteGuard::downgrade(self.open()?.0);
        }
        Ok(ReadGuard { lock: &self.held, held: Some(held) })
    }
}

/// The state, for one to change.
pub struct Guard<'a, S>(RwLockWriteGuard<'a, Held<S>>);

impl<S: Replay> Guard<'_, S> {
    /// Journals what the state was taught. The barrier settles once that is on the disk, and with it all that the state
    /// was taught before. None: there is nothing to wait for, since the entry is empty and all else is on the disk.
    pub fn append(&mut self, entry: Vec<u8>) -> Option<Barrier> {
        let held = &mut *self.0;
        let Some(journal) = &held.journal else {
            return Some(Barrier::new(|settle| settle.settle(Outcome::retry("the journal is not open"))));
        };
        if entry.is_empty() && !held.behind.is_anything() {
            return None;
        }
        let (settle, barrier) = Settle::barrier();
        let large = journal.size() > WORTH_IT.max(held.compacted.saturating_mul(GROWTH));
        // The journal takes it while nobody else has the state: a snapshot must not overtake what it does not hold.
        if held.behind.begin_snapshot(large) {
            let snapshot = held.state.snapshot();
            held.compacted = snapshot.len() as u64;
            journal.compact(snapshot.into(), held.behind.watch_snapshot(settle));
        } else {
            journal.append(Bytes::from(entry), held.behind.watch_entry(settle));
        }
        Some(barrier)
    }

    /// The same for callers that await it.
    pub fn append_and_wait(&mut self, entry: Vec<u8>) -> Ticket {
        let (settle, ticket) = Settle::ticket();
        match self.append(entry) {
            Some(barrier) => barrier.join(settle),
            None => settle.settle(Outcome::DONE),
        }
        ticket
    }

    /// Replaces the journal by a snapshot; the ticket hears once it is synced.
    pub fn compact(&mut self) -> Ticket {
        let held = &mut *self.0;
        let (settle, ticket) = Settle::ticket();
        // Without a journal the token is dropped, and says Retry.
        if let Some(journal) = &held.journal {
            let snapshot = held.state.snapshot();
            held.compacted = snapshot.len() as u64;
            journal.compact(snapshot.into(), settle);
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

/// The state, for many to read.
pub struct ReadGuard<'a, S> {
    lock: &'a RwLock<Held<S>>,
    /// None only while [`change`](Self::change) holds the lock for itself.
    held: Option<RwLockReadGuard<'a, Held<S>>>,
}

impl<S: Replay> ReadGuard<'_, S> {
    /// Changes the state and goes on reading. Others may have changed it just before.
    pub fn change<T>(&mut self, change: impl FnOnce(&mut S) -> T) -> T {
        self.held = None;
        let mut held = self.lock.write().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut held.state);
        self.held = Some(RwLockWriteGuard::downgrade(held));
        result
    }

    /// Ends reading and journals what the state was taught, as [`Guard::append`] does.
    pub fn append(mut self, entry: Vec<u8>) -> Option<Barrier> {
        let behind = self.held.take().is_some_and(|held| held.behind.is_anything());
        if entry.is_empty() && !behind {
            return None;
        }
        Guard(self.lock.write().unwrap_or_else(PoisonError::into_inner)).append(entry)
    }
}

impl<S> Deref for ReadGuard<'_, S> {
    type Target = S;
    fn deref(&self) -> &S {
        &self.held.as_ref().expect("it is held unless a change panicked").state
    }
}

impl Behind {
    fn is_anything(&self) -> bool {
        self.pending.load(Ordering::Acquire) > 0 || self.failed.load(Ordering::Acquire)
    }

    /// Whether the next to be journaled is to be a snapshot: the journal is large or lacks something, and none is on its way.
    fn begin_snapshot(&self, large: bool) -> bool {
        (large || self.failed.load(Ordering::Acquire)) && !self.compacting.swap(true, Ordering::AcqRel)
    }

    fn watch_snapshot(self: &Arc<Self>, settle: Settle) -> Settle {
        self.watch(settle, |behind, done| {
            behind.compacting.store(false, Ordering::Release);
            behind.failed.store(!done, Ordering::Release);
        })
    }

    fn watch_entry(self: &Arc<Self>, settle: Settle) -> Settle {
        self.watch(settle, |behind, done| {
            behind.failed.fetch_or(!done, Ordering::AcqRel);
        })
    }

    /// A journal settles in order, so what was lost before is known by then.
    fn watch(self: &Arc<Self>, settle: Settle, then: fn(&Self, bool)) -> Settle {
        self.pending.fetch_add(1, Ordering::AcqRel);
        let behind = Arc::clone(self);
        settle.map(move |outcome| {
            let done = outcome == Outcome::DONE;
            then(&behind, done);
            behind.pending.fetch_sub(1, Ordering::AcqRel);
            if done && behind.failed.load(Ordering::Acquire) {
                return Outcome::retry("the journal lacks what came before");
            }
            outcome
        })
    }
}

impl<S> std::fmt::Debug for Journaled<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Journaled({})", self.id)
    }
}

#[cfg(test)]
mod tests;
