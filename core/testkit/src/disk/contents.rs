//! The bytes of one file: what the process sees, what is on the disk, and what lies between.

use crate::Rng;

#[derive(Debug, Default)]
pub(super) struct Contents {
    seen: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

impl Contents {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.seen
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.unsynced.push(Change::Write(self.seen.len(), bytes.to_vec()));
        self.seen.extend_from_slice(bytes);
    }

    pub(super) fn write_at(&mut self, at: usize, bytes: &[u8]) {
        let change = Change::Write(at, bytes.to_vec());
        change.apply(&mut self.seen);
        self.unsynced.push(Change::Write(at, bytes.to_vec()));
    }

    pub(super) fn cut(&mut self, size: usize) {
        for bytes in [&mut self.seen, &mut self.durable] {
            bytes.truncate(size);
        }
        self.unsynced.clear();
        self.durable.clone_from(&self.seen);
    }

    pub(super) fn zero(&mut self) {
        self.seen.fill(0);
        self.unsynced.clear();
        self.durable.clone_from(&self.seen);
    }

    pub(super) fn truncate(&mut self, size: usize) {
        self.seen.truncate(size);
        self.unsynced.push(Change::Truncate(size));
    }

    pub(super) fn sync(&mut self) {
        for change in std::mem::take(&mut self.unsynced) {
            change.apply(&mut self.durable);
        }
    }

    /// A sync that failed: the pages count as clean, and never reach the disk.
    pub(super) fn lose(&mut self) {
        self.unsynced.clear();
    }

    pub(super) fn crash(&mut self, mut rng: Option<&mut Rng>) {
        for change in std::mem::take(&mut self.unsynced) {
            let Some(rng) = rng.as_deref_mut() else { continue };
            match (rng.below(3), change) {
                (0, _) => {}
                (1, Change::Write(at, mut bytes)) => {
                    bytes.truncate(rng.below(bytes.len() + 1));
                    Change::Write(at, bytes).apply(&mut self.durable);
                }
                (_, change) => change.apply(&mut self.durable),
            }
        }
        self.seen.clone_from(&self.durable);
    }

    pub(super) fn flip(&mut self, byte: usize, bit: u8) {
        for bytes in [&mut self.seen, &mut self.durable] {
            if let Some(byte) = bytes.get_mut(byte) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }
}

impl Change {
    fn apply(self, bytes: &mut Vec<u8>) {
        match self {
            Self::Truncate(size) => bytes.truncate(size),
            Self::Write(at, written) => {
                let end = at + written.len();
                // A hole that was never written reads as zeros.
                bytes.resize(bytes.len().max(end), 0);
                bytes[at..end].copy_from_slice(&written);
            }
        }
    }
}
