//! State that survives a restart: held in memory, journaled as it changes, replayed on first use.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;

use crate::port::{Journal, Journals, NoopJournals, StoreError};
use crate::{Barrier, Build, ComponentId, ConfigError, Health, Outcome, Settle, Ticket, Warnings};

/// A state that can be rebuilt from what it journaled. It journals ids and times, never bodies.
pub trait Replay: Send + Sync + 'static {
    /// Counts the ways in which entries and snapshots were ever written. A journal of another version is not read, and
    /// stays as it is.
    const VERSION: u8 = 1;

    /// Takes an entry, or a snapshot, that an earlier self wrote. What is known already changes nothing, since a snapshot
    /// may hold what was journaled behind it too.
    ///
    /// # Errors
    /// It cannot be read. The component is then stopped for good, rather than that it begins with less than it knew.
    fn replay(&mut self, entry: &[u8]) -> Result<(), Unreadable>;
    /// The whole state as one entry.
    fn snapshot(&self) -> Vec<u8>;
}

/// An entry that was not written by this version of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// A component's state and its journal. Shared by all instances of the component, see [`Build::state`].
pub struct Journaled<S> {
    id: ComponentId,
    journals: Arc<dyn Journals>,
    /// Shows that the component refuses everything while its journal cannot be read.
    health: Option<Arc<Health>>,
    warnings: Option<Arc<Warnings>>,
    held: RwLock<Inner<S>>,
}

/// The journals of one configuration, to be opened once it is in service rather than with the first request: what cannot be read
/// shows from the start. A service of the graph.
#[derive(Default)]
pub struct Openings(Mutex<Vec<Opening>>);

type Opening = Box<dyn FnOnce() + Send>;

impl Openings {
    fn add(&self, opening: Opening) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(opening);
    }

    /// Opens them all, which blocks.
    pub fn open(&self) {
        let all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        all.into_iter().for_each(|opening| opening());
    }
}

struct Inner<S> {
    state: S,
    journal: Option<Arc<dyn Journal>>,
    /// How large the journal was after its last compaction.
    compacted: u64,
    lag: Arc<JournalLag>,
    trouble: Trouble,
}

/// What keeps the journal closed.
#[derive(Default)]
struct Trouble {
    /// Whoever needs the state is told this until the next try.
    last: Option<StoreError>,
    /// How often the journal was asked for in vain.
    calls: u64,
    /// What it holds cannot be read, and that stays so.
    for_good: bool,
}

/// What the journal lacks of the state. Who finds in the state what somebody else taught it a moment ago must not be
/// acknowledged before that is on the disk.
#[derive(Default)]
struct JournalLag {
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
            None => Arc::new(NoopJournals),
            Some(id) => cx.storage("storage", id)?,
        };
        // A reload that names another storage goes on with what is kept there.
        let id = cx.key();
        let key =
            storage.map_or_else(|| id.clone(), |storage| ComponentId::new(&format!("{id} in {storage}")));
        let (health, warnings) = (cx.services.get(), cx.services.get());
        let state = Build { id: key, ..cx.clone() }
            .state(|| Ok(Self { health, warnings, ..Self::new(id, journals, make()) }))?;
        if let Some(openings) = cx.services.get::<Openings>().filter(|_| storage.is_some()) {
            let state = Arc::clone(&state);
            openings.add(Box::new(move || drop(state.open())));
        }
        Ok(state)
    }

    fn new(id: ComponentId, journals: Arc<dyn Journals>, state: S) -> Self {
        let (lag, trouble) = (Arc::default(), Trouble::default());
        Self {
            id,
            journals,
            health: None,
            warnings: None,
            held: RwLock::new(Inner { state, journal: None, compacted: 0, lag, trouble }),
        }
    }

    /// The state, to be changed. On first use the journal is read, which blocks; until it can be, calls try again, more and
    /// more rarely.
    ///
    /// # Errors
    /// The journal cannot be opened, or what it holds cannot be read.
    pub fn open(&self) -> Result<Guard<'_, S>, StoreError> {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if held.journal.is_none() {
            self.load(&mut held)?;
        }
        Ok(Guard(held))
    }

    fn load(&self, held: &mut Inner<S>) -> Result<(), StoreError> {
        let calls = held.trouble.calls;
        held.trouble.calls += 1;
        let is_due = !held.trouble.for_good && (calls.is_power_of_two() || calls.is_multiple_of(1024));
        if let Some(error) = held.trouble.last.clone().filter(|_| !is_due) {
            return Err(error);
        }
        let loaded = self.journals.open(&self.id).and_then(|opened| {
            for entry in &opened.entries {
                self.replay(&mut held.state, entry).inspect_err(|_| held.trouble.for_good = true)?;
            }
            Ok(opened.journal)
        });
        match loaded {
            Ok(journal) => {
                held.compacted = journal.size();
                held.journal = Some(Arc::from(journal));
                held.trouble = Trouble::default();
                self.health.iter().for_each(|health| health.accepts(self.id.as_str()));
                Ok(())
            }
            Err(error) => {
                let what = "what it remembers cannot be read; it takes nothing in";
                match &self.warnings {
                    Some(warnings) => warnings.error(&self.id, what, &error.to_string()),
                    None => tracing::error!(component = %self.id, %error, what),
                }
                self.health.iter().for_each(|health| health.refuses(self.id.as_str(), &error.to_string()));
                held.trouble.last = Some(error.clone());
                Err(error)
            }
        }
    }

    fn replay(&self, state: &mut S, entry: &[u8]) -> Result<(), StoreError> {
        let (version, entry) = entry.split_first().unwrap_or((&S::VERSION, &[]));
        if *version != S::VERSION {
            return Err(StoreError(format!(
                "the journal of {} has version {version}, and this agent writes {}",
                self.id,
                S::VERSION
            )));
        }
        let read = if entry.is_empty() { Ok(()) } else { state.replay(entry) };
        read.map_err(|Unreadable| {
            StoreError(format!("an entry in the journal of {} cannot be read", self.id))
        })
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

/// An entry with its version in front.
fn versioned<S: Replay>(entry: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(1 + entry.len());
    out.push(S::VERSION);
    out.extend_from_slice(entry);
    out.into()
}

/// The state, for one to change.
pub struct Guard<'a, S>(RwLockWriteGuard<'a, Inner<S>>);

impl<S: Replay> Guard<'_, S> {
    /// Journals what the state was taught. The barrier settles once that is on the disk, and with it all that the state
    /// was taught before. None: there is nothing to wait for, since the entry is empty and all else is on the disk.
    pub fn append(&mut self, entry: Vec<u8>) -> Option<Barrier> {
        let held = &mut *self.0;
        let Some(journal) = &held.journal else {
            return Some(Barrier::new(|settle| settle.settle(Outcome::retry("the journal is not open"))));
        };
        if entry.is_empty() && !held.lag.is_anything() {
            return None;
        }
        let (settle, barrier) = Settle::barrier();
        let large = journal.size() > WORTH_IT.max(held.compacted.saturating_mul(GROWTH));
        // The journal takes it while nobody else has the state: a snapshot must not overtake what it does not hold.
        if held.lag.begin_snapshot(large) {
            let snapshot = versioned::<S>(&held.state.snapshot());
            held.compacted = snapshot.len() as u64;
            journal.compact(snapshot, held.lag.watch_snapshot(settle));
        } else {
            journal.append(versioned::<S>(&entry), held.lag.watch_entry(settle));
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
            let snapshot = versioned::<S>(&held.state.snapshot());
            held.compacted = snapshot.len() as u64;
            journal.compact(snapshot, settle);
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
    lock: &'a RwLock<Inner<S>>,
    /// None only while [`change`](Self::change) holds the lock for itself.
    held: Option<RwLockReadGuard<'a, Inner<S>>>,
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
        let lag = self.held.take().is_some_and(|held| held.lag.is_anything());
        if entry.is_empty() && !lag {
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

impl JournalLag {
    fn is_anything(&self) -> bool {
        self.pending.load(Ordering::Acquire) > 0 || self.failed.load(Ordering::Acquire)
    }

    /// Whether the next to be journaled is to be a snapshot: the journal is large or lacks something, and none is on its way.
    fn begin_snapshot(&self, large: bool) -> bool {
        (large || self.failed.load(Ordering::Acquire)) && !self.compacting.swap(true, Ordering::AcqRel)
    }

    fn watch_snapshot(self: &Arc<Self>, settle: Settle) -> Settle {
        self.watch(settle, |lag, done| {
            lag.compacting.store(false, Ordering::Release);
            lag.failed.store(!done, Ordering::Release);
        })
    }

    fn watch_entry(self: &Arc<Self>, settle: Settle) -> Settle {
        self.watch(settle, |lag, done| {
            lag.failed.fetch_or(!done, Ordering::AcqRel);
        })
    }

    /// A journal settles in order, so what was lost before is known by then.
    fn watch(self: &Arc<Self>, settle: Settle, then: fn(&Self, bool)) -> Settle {
        self.pending.fetch_add(1, Ordering::AcqRel);
        let lag = Arc::clone(self);
        settle.map(move |outcome| {
            let done = outcome == Outcome::DONE;
            then(&lag, done);
            lag.pending.fetch_sub(1, Ordering::AcqRel);
            if done && lag.failed.load(Ordering::Acquire) {
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
