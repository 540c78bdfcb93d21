//! How far a destination is in a stream.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::Record;
use crate::frame::u64_at;
use crate::record::{Texts, put};

/// A destination's place in a stream: everything below `low` is settled, and beyond it what stands in `beyond`.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    pub(crate) low: u64,
    pub(crate) beyond: BTreeSet<u64>,
    /// What the reader looks at next.
    pub(crate) next: u64,
    /// Given out and not settled, with sizes.
    pub(crate) out: BTreeMap<u64, usize>,
    pub(crate) out_bytes: usize,
    /// Given back, to be given out again.
    pub(crate) returned: VecDeque<(u64, Arc<Record>)>,
    /// Where the destination keeps what it takes in a registry: from here on nothing is in a synced snapshot, so `low`
    /// goes no further.
    pub(crate) ceiling: Option<u64>,
    pub(crate) attached: bool,
    /// Since when nobody reads for it, in nanoseconds since the Unix epoch.
    pub(crate) orphan_since: Option<u64>,
    /// Whether it has moved since it was last written down.
    pub(crate) dirty: bool,
}

impl Cursor {
    pub(crate) fn at(low: u64) -> Self {
        Self { low, next: low, dirty: true, ..Self::default() }
    }

    /// A reader begins, or ends: what is out is to be read again.
    pub(crate) fn rewind(&mut self) {
        self.next = self.low;
        self.out.clear();
        self.out_bytes = 0;
        self.returned.clear();
        self.ceiling = None;
    }

    /// Whether a record has still to be delivered.
    pub(crate) fn wants(&self, sequence: u64) -> bool {
        sequence >= self.next && !self.beyond.contains(&sequence)
    }

    pub(crate) fn give_out(&mut self, sequence: u64, bytes: usize) {
        self.next = self.next.max(sequence + 1);
        self.out_bytes += bytes;
        self.out.insert(sequence, bytes);
    }

    /// A record is delivered, or refused for good.
    pub(crate) fn settle(&mut self, sequence: u64) {
        let Some(bytes) = self.out.remove(&sequence) else { return };
        self.out_bytes -= bytes;
        if self.ceiling.is_none() {
            self.beyond.insert(sequence);
        }
        self.advance();
    }

    /// From now on `low` waits for snapshots.
    pub(crate) fn hold_back(&mut self) {
        self.ceiling = Some(self.low);
    }

    /// All up to `sequence` is in a synced snapshot.
    pub(crate) fn release(&mut self, sequence: u64) {
        self.ceiling = self.ceiling.map(|ceiling| ceiling.max(sequence + 1));
        self.advance();
    }

    /// Moves `low` up to the first record that is not settled, as far as anything was read.
    pub(crate) fn advance(&mut self) {
        let settled = self.out.first_key_value().map_or(self.next, |(sequence, _)| *sequence);
        self.low = settled.min(self.ceiling.unwrap_or(u64::MAX)).max(self.low);
        self.beyond = self.beyond.split_off(&self.low);
        self.dirty = true;
    }
}

/// What is written down of all cursors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Sequence numbers of this epoch may have been given away.
    Epoch(u64),
    /// Where a cursor stands.
    Cursor { stream: String, destination: String, low: u64, orphan_since: Option<u64>, beyond: Vec<u64> },
    /// A cursor has expired.
    Gone { stream: String, destination: String },
}

impl Entry {
    pub(crate) fn of(stream: &str, destination: &str, cursor: &Cursor) -> Self {
        Self::Cursor {
            stream: stream.to_owned(),
            destination: destination.to_owned(),
            low: cursor.low,
            orphan_since: cursor.orphan_since,
            beyond: cursor.beyond.iter().copied().collect(),
        }
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Epoch(epoch) => {
                out.push(0);
                out.extend_from_slice(&epoch.to_le_bytes());
            }
            Self::Cursor { stream, destination, low, orphan_since, beyond } => {
                out.push(1);
                put(&mut out, stream);
                put(&mut out, destination);
                let numbers = [*low, orphan_since.unwrap_or_default()];
                numbers.iter().chain(beyond).for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
            }
            Self::Gone { stream, destination } => {
                out.push(2);
                put(&mut out, stream);
                put(&mut out, destination);
            }
        }
        out
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        if *kind == 0 {
            return Some(Self::Epoch(u64_at(rest, 0)?));
        }
        let mut rest = Texts(rest);
        let (stream, destination) = (rest.text()?.to_owned(), rest.text()?.to_owned());
        match kind {
            1 => {
                let low = u64_at(rest.0, 0)?;
                let orphan_since = Some(u64_at(rest.0, 8)?).filter(|since| *since > 0);
                let beyond = rest.0.get(16..)?.chunks_exact(8).filter_map(|bytes| u64_at(bytes, 0)).collect();
                Some(Self::Cursor { stream, destination, low, orphan_since, beyond })
            }
            2 => Some(Self::Gone { stream, destination }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_moves_only_over_what_is_settled() {
        let mut cursor = Cursor::at(10);
        (10..14).for_each(|sequence| cursor.give_out(sequence, 1));
        cursor.settle(12);
        assert_eq!((cursor.low, cursor.beyond.len()), (10, 1));
        cursor.settle(10);
        assert_eq!((cursor.low, cursor.beyond.len()), (11, 1));
        cursor.settle(11);
        assert_eq!((cursor.low, cursor.beyond.len()), (13, 0), "what was settled beyond is passed with it");
        cursor.settle(13);
        assert_eq!((cursor.low, cursor.out_bytes), (14, 0));
    }

    #[test]
    fn a_cursor_that_is_held_back_waits_for_the_snapshot() {
        let mut cursor = Cursor::at(10);
        cursor.hold_back();
        (10..14).for_each(|sequence| cursor.give_out(sequence, 1));
        (10..13).for_each(|sequence| cursor.settle(sequence));
        assert_eq!(
            (cursor.low, cursor.beyond.len(), cursor.out_bytes),
            (10, 0, 1),
            "it takes no room meanwhile"
        );
        cursor.release(11);
        assert_eq!(cursor.low, 12);
        cursor.release(13);
        assert_eq!(cursor.low, 13, "what is out is not passed, whatever a snapshot says");
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let mut cursor = Cursor::at(3);
        cursor.beyond = BTreeSet::from([5, 9]);
        cursor.orphan_since = Some(77);
        let gone = Entry::Gone { stream: "s".into(), destination: "d".into() };
        for entry in [Entry::of("traces", "otlp", &cursor), Entry::Epoch(4), gone] {
            assert_eq!(Entry::read(&entry.write()), Some(entry));
        }
    }
}
