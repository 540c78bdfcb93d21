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

#[cfg(test)]
mod tests {
    use throughline_component::{ComponentId, Context, RejectKind, Ticket};

    use super::*;

    fn share(resends: &Arc<Resends>, name: usize, targets: usize) -> (Shares, Ticket) {
        let context = Arc::new(Context::internal(ComponentId::new("test"), 0));
        let (settle, ticket) = Settle::ticket();
        let bytes = bytes::Bytes::copy_from_slice(&name.to_le_bytes());
        (resends.share(Chunk { bytes, items: 1, position: None, context, settle }, targets), ticket)
    }

    /// Who is given a chunk, if all but `fails` take it.
    fn given(resends: &Arc<Resends>, name: usize, targets: usize, fails: Option<usize>) -> Vec<usize> {
        let (shares, _ticket) = share(resends, name, targets);
        let given = shares.chunks.into_iter().enumerate();
        let given = given.filter_map(|(target, chunk)| Some((target, chunk?)));
        given
            .map(|(target, chunk)| {
                let failed = fails == Some(target);
                chunk.settle.settle(if failed { Outcome::retry("down") } else { Outcome::DONE });
                target
            })
            .collect()
    }

    fn remembered(resends: &Resends) -> (usize, usize) {
        let remembered = resends.remembered.lock().expect("no panic");
        (remembered.chunks.len(), remembered.order.len())
    }

    #[tokio::test]
    async fn only_who_has_not_taken_a_chunk_is_given_it_again_with_the_place_where_it_lies() {
        let resends = Arc::<Resends>::default();
        let place = Some(Position { stream: 1, sequence: 7 });
        let (shares, ticket) = share(&resends, 1, 3);
        assert_eq!(shares.position, None);
        shares.lies_at(place);
        let refused = Outcome::reject(RejectKind::Invalid, "bad");
        let answers = [Outcome::DONE, Outcome::retry("down"), refused];
        for (chunk, answer) in shares.chunks.into_iter().zip(answers) {
            chunk.expect("nobody has it").settle.settle(answer);
        }
        assert!(matches!(ticket.await, Outcome::Retry { .. }));
        assert_eq!(given(&resends, 2, 3, None), [0, 1, 2], "another one");
        let (shares, ticket) = share(&resends, 1, 3);
        assert_eq!(shares.position, place);
        let given: Vec<bool> = shares.chunks.iter().map(Option::is_some).collect();
        assert_eq!(given, [false, true, true]);
        shares.chunks.into_iter().flatten().for_each(|chunk| chunk.settle.settle(Outcome::DONE));
        assert_eq!(ticket.await, Outcome::DONE);
        let (shares, _) = share(&resends, 1, 3);
        assert_eq!((shares.position, shares.chunks.iter().flatten().count()), (None, 3), "it is a new one");
    }

    #[tokio::test]
    async fn what_everybody_has_taken_is_done() {
        let resends = Arc::<Resends>::default();
        given(&resends, 1, 2, Some(1));
        let (shares, ticket) = share(&resends, 1, 1);
        assert_eq!((shares.chunks.len(), shares.chunks.iter().flatten().count()), (1, 0));
        assert_eq!(ticket.await, Outcome::DONE);
        assert_eq!(remembered(&resends), (0, 0));
    }

    #[test]
    fn what_nobody_has_taken_or_somebody_refused_for_good_is_not_remembered() {
        let resends = Arc::<Resends>::default();
        let (shares, _ticket) = share(&resends, 1, 2);
        drop(shares.chunks);
        assert_eq!(remembered(&resends), (0, 0));
        given(&resends, 1, 2, Some(1));
        assert_eq!(remembered(&resends), (1, 1));
        let (shares, _ticket) = share(&resends, 1, 2);
        let refused = Outcome::reject(RejectKind::Invalid, "bad");
        shares.chunks.into_iter().flatten().for_each(|chunk| chunk.settle.settle(refused.clone()));
        assert_eq!(remembered(&resends), (0, 0));
    }

    #[test]
    fn destinations_beyond_the_number_that_is_remembered_are_always_given_everything() {
        let resends = Arc::<Resends>::default();
        assert_eq!(given(&resends, 1, 66, Some(0)).len(), 66);
        assert_eq!(given(&resends, 1, 66, None), [0, 64, 65]);
    }

    #[test]
    fn so_many_chunks_are_remembered_and_the_oldest_is_forgotten_first() {
        let resends = Arc::<Resends>::default();
        (0..MAX_REMEMBERED).for_each(|name| drop(given(&resends, name, 2, Some(1))));
        assert_eq!(given(&resends, 1, 2, None), [1], "it is done, and forgotten");
        given(&resends, 2, 2, Some(1));
        assert_eq!(remembered(&resends), (MAX_REMEMBERED - 1, MAX_REMEMBERED - 1));
        for name in [MAX_REMEMBERED, MAX_REMEMBERED + 1] {
            given(&resends, name, 2, Some(1));
            assert_eq!(remembered(&resends), (MAX_REMEMBERED, MAX_REMEMBERED));
        }
        assert_eq!(given(&resends, 0, 2, Some(1)), [0, 1], "the oldest");
        assert_eq!(given(&resends, 3, 2, None), [1]);
    }
}
