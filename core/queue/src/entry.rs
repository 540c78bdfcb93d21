//! What is written down of cursors.

use crate::cursor::{Cursor, CursorPosition};
use crate::frame::u64_at;
use crate::ranges::Ranges;
use crate::record::{Texts, put};

/// An entry of the cursors' file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Sequence numbers of this epoch may have been given away.
    Epoch(u64),
    /// Where a cursor stands, and for how long nobody has read for it.
    Cursor { stream: String, destination: String, idle: Option<u64>, place: CursorPosition },
    /// A cursor has expired.
    Gone { stream: String, destination: String },
    /// All records of a stream up to this one were committed.
    Committed { stream: String, last: u64 },
}

impl Entry {
    pub(crate) fn of(stream: &str, destination: &str, cursor: &Cursor, now: u64) -> Self {
        Self::Cursor {
            stream: stream.to_owned(),
            destination: destination.to_owned(),
            idle: cursor.orphan().map(|idle| idle.age(now)),
            place: cursor.place(),
        }
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Epoch(epoch) => {
                out.push(0);
                out.extend_from_slice(&epoch.to_le_bytes());
            }
            Self::Cursor { stream, destination, idle, place } => {
                out.push(1);
                put(&mut out, stream);
                put(&mut out, destination);
                let idle = idle.map_or(0, |idle| idle.saturating_add(1));
                out.extend_from_slice(&idle.to_le_bytes());
                write_place(place, &mut out);
            }
            Self::Gone { stream, destination } => {
                out.push(2);
                put(&mut out, stream);
                put(&mut out, destination);
            }
            Self::Committed { stream, last } => {
                out.push(3);
                put(&mut out, stream);
                out.extend_from_slice(&last.to_le_bytes());
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
        let stream = rest.text()?.to_owned();
        if *kind == 3 {
            return Some(Self::Committed { stream, last: u64_at(rest.0, 0)? });
        }
        let destination = rest.text()?.to_owned();
        match kind {
            1 => {
                let idle = u64_at(rest.0, 0)?.checked_sub(1);
                Some(Self::Cursor { stream, destination, idle, place: read_place(rest.0.get(8..)?)? })
            }
            2 => Some(Self::Gone { stream, destination }),
            _ => None,
        }
    }
}

fn write_place(place: &CursorPosition, out: &mut Vec<u8>) {
    let mut number = |number: u64| out.extend_from_slice(&number.to_le_bytes());
    [place.low, place.high].into_iter().for_each(&mut number);
    let skips = place.skips.iter();
    number(skips.len() as u64);
    skips.flat_map(|(from, to)| [from, to]).for_each(&mut number);
    place.unsettled.iter().copied().for_each(number);
}

fn read_place(bytes: &[u8]) -> Option<CursorPosition> {
    let mut skips = Ranges::default();
    let count = usize::try_from(u64_at(bytes, 16)?).ok()?;
    let rest = bytes.get(24..)?;
    let (pairs, rest) = rest.split_at_checked(count.checked_mul(16)?)?;
    for pair in pairs.chunks_exact(16) {
        skips.add(u64_at(pair, 0)?, u64_at(pair, 8)?);
    }
    let unsettled = rest.chunks_exact(8).filter_map(|bytes| u64_at(bytes, 0)).collect();
    Some(CursorPosition { low: u64_at(bytes, 0)?, high: u64_at(bytes, 8)?, skips, unsettled })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let mut cursor = Cursor::at(3);
        (3..10).for_each(|sequence| cursor.give_out(sequence, 1));
        [4, 5, 9].into_iter().for_each(|sequence| cursor.acknowledge(0, sequence));
        (20..30).for_each(|sequence| cursor.skip(sequence));
        cursor.set_idle(70, 10);
        let gone = Entry::Gone { stream: "s".into(), destination: "d".into() };
        let committed = Entry::Committed { stream: "s".into(), last: 8 };
        for entry in [Entry::of("traces", "otlp", &cursor, 17), Entry::Epoch(4), gone, committed] {
            assert_eq!(Entry::read(&entry.write()), Some(entry.clone()));
            let bytes = entry.write();
            (0..bytes.len()).for_each(|end| drop(Entry::read(&bytes[..end])));
        }
    }
}
