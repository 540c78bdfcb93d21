//! When one of several destinations fails, the sender is told to send again: those that have taken the data already are not
//! given it twice.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use throughline_component::{Chunk, Outcome, Position, Settle};

/// How many chunks are remembered that some destinations have taken and others have not.
const MAX_REMEMBERED: usize = 1024;
/// Destinations beyond this many are always given everything.
const MAX_TARGETS: usize = u64::BITS as usize;

/// What a pipeline's fan-out remembers of chunks whose sender was told to send again. Chunks are told apart by their bytes.
#[derive(Default)]
pub(crate) struct Resends {
    hasher: RandomState,
    remembered: Mutex<Remembered>,
}

#[derive(Default)]
struct Remembered {
    /// By length and keyed hash, so that nobody can make two chunks that look the same.
    chunks: BTreeMap<Key, Taken>,
    /// Oldest first.
    order: VecDeque<Key>,
}

type Key = (usize, u64);

/// Who has taken a chunk.
#[derive(Clone, Copy, Default)]
pub(crate) struct Taken {
    targets: u64,
    /// Where it lies, if a stream was among them.
    pub(crate) position: Option<Position>,
}

/// What becomes of one chunk at all targets.
struct Watch {
    resends: Arc<Resends>,
    targets: AtomicU64,
    position: Mutex<Option<Position>>,
}

impl Taken {
    fn by(&self, target: usize) -> bool {
        target < MAX_TARGETS && self.targets & 1 << target != 0
    }
}

/// One chunk for several targets.
pub(crate) struct Shares {
    /// By target; none for who has taken it before.
    pub(crate) chunks: Vec<Option<Chunk>>,
    /// Where the chunk lies in a stream that has taken it before.
    pub(crate) position: Option<Position>,
    watch: Arc<Watch>,
}

impl Shares {
    /// Tells where a stream has put the chunk.
    pub(crate) fn lies_at(&self, position: Option<Position>) {
        *self.watch.position.lock().unwrap_or_else(PoisonError::into_inner) = position;
    }
}

impl Resends {
    /// Divides a chunk among so many targets. If the whole has to be sent again, who has taken it is remembered.
    pub(crate) fn share(self: &Arc<Self>, chunk: Chunk, targets: usize) -> Shares {
        let Chunk { bytes, items, position, context, settle } = chunk;
        let taken = self.find(&bytes);
        let (known, before) = (taken.is_some(), taken.unwrap_or_default());
        let watch = Arc::new(Watch {
            resends: Arc::clone(self),
            targets: AtomicU64::new(before.targets),
            position: Mutex::new(before.position),
        });
        let settle = {
            let (watch, bytes) = (Arc::clone(&watch), bytes.clone());
            settle.map(move |outcome| {
                watch.settled(&bytes, &outcome, known);
                outcome
            })
        };
        let waiting = (0..targets).filter(|target| !before.by(*target)).count();
        if waiting == 0 {
            settle.settle(Outcome::DONE);
            return Shares { chunks: (0..targets).map(|_| None).collect(), position: before.position, watch };
        }
        let mut settles = settle.fork(waiting).into_iter();
        let chunks = (0..targets).map(|target| {
            let settle = if before.by(target) { None } else { settles.next() };
            let settle = watch.heard(target, settle?);
            Some(Chunk { bytes: bytes.clone(), items, position, context: Arc::clone(&context), settle })
        });
        Shares { chunks: chunks.collect(), position: before.position, watch: Arc::clone(&watch) }
    }

    fn key(&self, bytes: &[u8]) -> Key {
        (bytes.len(), self.hasher.hash_one(bytes))
    }

    fn find(&self, bytes: &[u8]) -> Option<Taken> {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        // Only what is as long as something that is remembered is worth a look at its bytes.
        remembered.chunks.range((bytes.len(), 0)..=(bytes.len(), u64::MAX)).next()?;
        remembered.chunks.get(&self.key(bytes)).copied()
    }

    fn remember(&self, bytes: &[u8], taken: Taken) {
        let key = self.key(bytes);
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.chunks.insert(key, taken).is_none() {
            remembered.order.push_back(key);
        }
        while remembered.order.len() > MAX_REMEMBERED
            && let Some(oldest) = remembered.order.pop_front()
        {
            remembered.chunks.remove(&oldest);
        }
    }

    fn forget(&self, bytes: &[u8]) {
        let key = self.key(bytes);
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.chunks.remove(&key).is_some() {
            remembered.order.retain(|other| *other != key);
        }
    }
}

impl Watch {
    /// A branch of the settlement that notes that its target has taken the chunk.
    fn heard(self: &Arc<Self>, target: usize, settle: Settle) -> Settle {
        if target >= MAX_TARGETS {
            return settle;
        }
        let watch = Arc::clone(self);
        settle.map(move |outcome| {
            if matches!(outcome, Outcome::Done { .. }) {
                watch.targets.fetch_or(1 << target, Ordering::AcqRel);
            }
            outcome
        })
    }

    fn settled(&self, bytes: &[u8], outcome: &Outcome, known: bool) {
        let targets = self.targets.load(Ordering::Acquire);
        match outcome {
            Outcome::Retry { .. } if targets != 0 => {
                let position = *self.position.lock().unwrap_or_else(PoisonError::into_inner);
                self.resends.remember(bytes, Taken { targets, position });
            }
            Outcome::Done { .. } | Outcome::Reject { .. } if known => self.resends.forget(bytes),
            _ => {}
        }
    }
}
