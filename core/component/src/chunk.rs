//! The unit that travels: one admitted request, and several of them.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;
use throughline_otlp::Signal;

use crate::{Context, Settle};

/// One admitted OTLP export request: canonical protobuf bytes, what they hold, and the duty to settle them.
#[derive(Debug)]
pub struct Chunk {
    /// The bytes of a whole `Export…ServiceRequest`, canonical (see `throughline_otlp::admit`).
    pub bytes: Bytes,
    /// Spans, log records or metric data points in it.
    pub items: u32,
    /// Where it lies in a stream, if it came through one. Idempotent consumers use it to recognise a replay.
    pub position: Option<Position>,
    /// Where it came from.
    pub context: Arc<Context>,
    /// Whom to tell.
    pub settle: Settle,
}

/// A place in a stream of the durable log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// The stream's stable number.
    pub stream: u64,
    /// The record's sequence number in it; never reused.
    pub sequence: u64,
}

/// Chunks of one signal. Requests concatenate legally, so a batch is a rope: nothing is copied to build one.
#[derive(Debug)]
pub struct Batch {
    /// What all its chunks carry.
    pub signal: Signal,
    /// At least one chunk; merged only if the metadata a sink asked for is equal.
    pub chunks: SmallVec<[Chunk; 1]>,
}

impl Batch {
    /// A batch of one chunk.
    pub fn one(signal: Signal, chunk: Chunk) -> Self {
        Self { signal, chunks: smallvec::smallvec![chunk] }
    }

    /// Items in all its chunks.
    pub fn items(&self) -> u64 {
        self.chunks.iter().map(|chunk| u64::from(chunk.items)).sum()
    }

    /// Bytes of all its chunks.
    pub fn len_bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.bytes.len()).sum()
    }

    /// Settles every chunk with the same outcome.
    pub fn settle(self, outcome: &crate::Outcome) {
        for chunk in self.chunks {
            chunk.settle.settle(outcome.clone());
        }
    }

    /// The same data for another destination: bytes are shared, each chunk's settlement is forked.
    pub fn fork(self, ways: usize) -> Vec<Self> {
        let mut copies: Vec<Self> =
            (0..ways).map(|_| Self { signal: self.signal, chunks: SmallVec::new() }).collect();
        for chunk in self.chunks {
            let Chunk { bytes, items, position, context, settle } = chunk;
            for (copy, settle) in copies.iter_mut().zip(settle.fork(ways)) {
                let (bytes, context) = (bytes.clone(), Arc::clone(&context));
                copy.chunks.push(Chunk { bytes, items, position, context, settle });
            }
        }
        copies
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ComponentId, Outcome, Ticket};

    fn batch(chunks: &[(&'static [u8], u32)]) -> (Batch, Vec<Ticket>) {
        let context = Arc::new(Context::internal(ComponentId::new("test"), 0));
        let (settles, tickets): (Vec<_>, Vec<_>) = chunks.iter().map(|_| Settle::ticket()).unzip();
        let chunks = chunks.iter().zip(settles).map(|((bytes, items), settle)| Chunk {
            bytes: Bytes::from_static(bytes),
            items: *items,
            position: None,
            context: Arc::clone(&context),
            settle,
        });
        (Batch { signal: Signal::Logs, chunks: chunks.collect() }, tickets)
    }

    #[tokio::test]
    async fn a_batch_is_as_large_as_its_chunks_together_and_settles_them_all() {
        let (batch, tickets) = batch(&[(b"four", 2), (b"three", 3)]);
        assert_eq!((batch.items(), batch.len_bytes()), (5, 9));
        batch.settle(&Outcome::DONE);
        for ticket in tickets {
            assert_eq!(ticket.await, Outcome::DONE);
        }
    }

    #[tokio::test]
    async fn a_fork_has_all_chunks_and_each_settles_with_the_worst_of_its_own() {
        let (batch, tickets) = batch(&[(b"a", 1), (b"b", 2)]);
        let [one, other] = &mut batch.fork(2)[..] else { panic!("two ways") };
        assert_eq!((one.items(), other.items(), other.signal), (3, 3, Signal::Logs));
        assert!(one.chunks[1].bytes.as_ptr() == other.chunks[1].bytes.as_ptr(), "bytes are shared");
        let failed = Outcome::retry("later");
        for (chunk, outcome) in one.chunks.drain(..).zip([Outcome::DONE, failed.clone()]) {
            chunk.settle.settle(outcome);
        }
        other.chunks.drain(..).for_each(|chunk| chunk.settle.settle(Outcome::DONE));
        let mut heard = Vec::new();
        for ticket in tickets {
            heard.push(ticket.await);
        }
        assert_eq!(heard, [Outcome::DONE, failed]);
    }
}
