//! What was promised to whom, and what excuses there are for not keeping it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use throughline_queue::Log;

/// A stream and a destination.
pub(super) type Pair = (usize, usize);

#[derive(Default)]
pub(super) struct Oracle {
    /// By stream and id.
    payloads: BTreeMap<(usize, u64), Bytes>,
    offered: u64,
    /// Who subscribed to the stream when the record was appended and acknowledged.
    promised: BTreeMap<Pair, BTreeSet<u64>>,
    settled: BTreeMap<Pair, BTreeSet<u64>>,
    positions: BTreeMap<(usize, u64), u64>,
    /// What stood in a segment that was destroyed.
    destroyed: BTreeSet<(usize, u64)>,
    flips: usize,
    /// What the log says that it dropped, by names.
    dropped: BTreeMap<(String, String), u64>,
}

impl Oracle {
    pub(super) fn offer(&mut self, stream: usize, size: usize) -> (u64, Bytes) {
        let id = self.offered;
        self.offered += 1;
        let payload = Bytes::from(format!("<{stream}:{id}>{}", "x".repeat(size)));
        self.payloads.insert((stream, id), payload.clone());
        (id, payload)
    }

    pub(super) fn promise(&mut self, stream: usize, id: u64, to: &[usize]) {
        for destination in to {
            self.promised.entry((stream, *destination)).or_default().insert(id);
        }
    }

    /// A sequence number was given to a record.
    pub(super) fn is_at(&mut self, stream: usize, sequence: u64, id: u64) -> Result<(), String> {
        match self.positions.insert((stream, sequence), id) {
            Some(other) if other != id => {
                Err(format!("number {sequence:x} was given to {other} and to {id}"))
            }
            _ => Ok(()),
        }
    }

    /// A record was read: it must be one that was offered, as it was, where it was put.
    pub(super) fn delivered(&mut self, stream: usize, sequence: u64, payload: &Bytes) -> Result<u64, String> {
        let (found, id) = ids(payload).next().ok_or("a payload was invented")?;
        if found != stream || self.payloads.get(&(stream, id)) != Some(payload) {
            return Err(format!("record {id} was changed, or is of another stream"));
        }
        self.is_at(stream, sequence, id)?;
        Ok(id)
    }

    pub(super) fn settled(&mut self, pair: Pair, id: u64) {
        self.settled.entry(pair).or_default().insert(id);
    }

    /// A segment is about to be destroyed.
    pub(super) fn destroy(&mut self, contents: &[u8]) {
        self.destroyed.extend(ids(contents));
    }

    pub(super) fn flip(&mut self) {
        self.flips += 1;
    }

    /// What tells which numbers were given away may be lost.
    pub(super) fn forget_numbers(&mut self) {
        self.positions.clear();
    }

    /// What the log says that it dropped; it forgets when it ends.
    pub(super) fn note_dropped(&mut self, log: &Log) {
        for dropped in log.dropped() {
            *self.dropped.entry((dropped.stream, dropped.destination)).or_default() += dropped.records;
        }
    }

    pub(super) fn has_dropped(&self) -> bool {
        !self.dropped.is_empty()
    }

    /// Every promise was kept, but for what the log says that it dropped, what was destroyed, and a record a flipped bit.
    pub(super) fn nothing_is_missing(&self, streams: &[&str], destinations: &[&str]) -> Result<(), String> {
        let nothing = BTreeSet::new();
        for (pair, promised) in &self.promised {
            let (stream, destination) = (streams[pair.0], destinations[pair.1]);
            let settled = self.settled.get(pair).unwrap_or(&nothing);
            let missing = promised.difference(settled).filter(|id| !self.destroyed.contains(&(pair.0, **id)));
            let missing: Vec<_> = missing.collect();
            let dropped = |name: &str| {
                self.dropped.get(&(stream.to_owned(), name.to_owned())).copied().unwrap_or_default()
            };
            let excused = dropped(destination) + dropped("(unknown)") + self.flips as u64;
            if missing.len() as u64 > excused {
                return Err(format!(
                    "{destination} never got {missing:?} of {stream}, and only {excused} are excused"
                ));
            }
        }
        Ok(())
    }
}

/// The streams and ids of all records in some bytes.
fn ids(bytes: &[u8]) -> impl Iterator<Item = (usize, u64)> {
    bytes.split(|byte| *byte == b'<').skip(1).filter_map(|rest| {
        let text = std::str::from_utf8(rest.split(|byte| *byte == b'>').next()?).ok()?;
        let (stream, id) = text.split_once(':')?;
        Some((stream.parse().ok()?, id.parse().ok()?))
    })
}
