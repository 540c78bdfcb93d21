//! What was promised, and whether it was kept.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

#[derive(Default)]
pub(crate) struct Oracle {
    payloads: Vec<Bytes>,
    promised: BTreeSet<(usize, u64)>,
    /// Per destination, what it has settled.
    settled: BTreeSet<(usize, usize, u64)>,
    positions: BTreeMap<(usize, u64), u64>,
    /// Journal entries in order; whether they are snapshots, and whether they were promised.
    entries: Vec<(Bytes, bool, bool)>,
}

impl Oracle {
    pub(crate) fn offer(&mut self, stream: usize, size: usize) -> (u64, Bytes) {
        let id = self.payloads.len() as u64;
        let payload = Bytes::from(format!("{stream}:{id}:{}", "x".repeat(size)));
        self.payloads.push(payload.clone());
        (id, payload)
    }

    /// A record was acknowledged.
    pub(crate) fn promise(&mut self, stream: usize, id: u64) {
        self.promised.insert((stream, id));
    }

    /// A sequence number was given to a record.
    pub(crate) fn is_at(&mut self, stream: usize, sequence: u64, id: u64) -> Result<(), String> {
        match self.positions.insert((stream, sequence), id) {
            Some(other) if other != id => {
                Err(format!("number {sequence:x} was given to {other} and to {id}"))
            }
            _ => Ok(()),
        }
    }

    /// A record was read: it must be one that was offered, in the place that it was given.
    pub(crate) fn delivered(&mut self, stream: usize, sequence: u64, payload: &Bytes) -> Result<u64, String> {
        let text = String::from_utf8_lossy(payload);
        let mut parts = text.split(':').skip(1);
        let id: u64 = parts.next().and_then(|id| id.parse().ok()).ok_or("a payload was invented")?;
        if self.payloads.get(usize::try_from(id).expect("a small number")) != Some(payload) {
            return Err(format!("record {id} was changed"));
        }
        self.is_at(stream, sequence, id)?;
        // Records were offered in the order of their ids: so must their numbers be.
        let earlier = self.positions.range((stream, 0)..(stream, sequence)).next_back();
        match earlier {
            Some((_, earlier)) if *earlier >= id => Err(format!("record {id} comes behind {earlier}")),
            _ => Ok(id),
        }
    }

    pub(crate) fn settled(&mut self, stream: usize, destination: usize, id: u64) {
        self.settled.insert((stream, destination, id));
    }

    /// Every promise was kept, but for one record a flipped bit.
    pub(crate) fn nothing_is_missing(&self, flips: usize) -> Result<(), String> {
        for destination in 0..2 {
            let missing = |(stream, id): &&(usize, u64)| !self.settled.contains(&(*stream, destination, *id));
            let missing: Vec<_> = self.promised.iter().filter(missing).collect();
            if missing.len() > flips {
                return Err(format!(
                    "destination {destination} never got {missing:?}, which were acknowledged"
                ));
            }
        }
        Ok(())
    }

    pub(crate) fn entry(&mut self, snapshot: bool) -> (usize, Bytes) {
        let entry = Bytes::from(format!("entry {}", self.entries.len()));
        self.entries.push((entry.clone(), snapshot, false));
        (self.entries.len() - 1, entry)
    }

    pub(crate) fn keep_entry(&mut self, id: usize) {
        self.entries[id].2 = true;
    }

    /// A journal was replayed: all that was promised since the last promised snapshot, in order, nothing else.
    pub(crate) fn reopened(&mut self, replayed: &[Bytes]) -> Result<(), String> {
        let index = |entry: &Bytes| self.entries.iter().position(|(known, ..)| known == entry);
        let found: Option<Vec<usize>> = replayed.iter().map(index).collect();
        let found = found.ok_or("a journal entry was invented")?;
        if !found.is_sorted() {
            return Err(format!("journal entries came back as {found:?}"));
        }
        // A snapshot that was not promised may have taken hold, and stands for all before it.
        let begins = found.first().copied().unwrap_or(0);
        let base = self.entries.iter().rposition(|(_, snapshot, promised)| *snapshot && *promised);
        let base =
            base.unwrap_or(0).max(if self.entries.get(begins).is_some_and(|e| e.1) { begins } else { 0 });
        let promised = (base..self.entries.len()).filter(|id| self.entries[*id].2);
        let missing: Vec<usize> = promised.filter(|id| !found.contains(id)).collect();
        if !missing.is_empty() {
            return Err(format!("journal entries {missing:?} were acknowledged and are gone"));
        }
        Ok(())
    }
}
