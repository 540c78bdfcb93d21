//! One frame: 44 bytes of head, then the body. Every file of the log is a sequence of frames.

use crc32fast::Hasher;

/// Length of a head.
pub(crate) const HEAD: usize = 44;
/// The first four bytes of every frame; the digit is the version of the format.
pub(crate) const MAGIC: [u8; 4] = *b"TLR2";

/// Whether a file that begins like this was written by another version of ours, and is not ours with a flipped bit.
pub(crate) fn is_foreign(start: &[u8], salt: u32) -> bool {
    let Some(head) = start.first_chunk::<HEAD>() else { return false };
    let is_other = head.starts_with(&MAGIC[..3]) && head[3] != MAGIC[3] && head[3].is_ascii_digit();
    let mut ours = *head;
    ours[3] = MAGIC[3];
    is_other && Head::read(&ours, salt).is_none()
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The first frame of a file: the name of its stream or journal.
    Name = 1,
    /// A record of a stream.
    Record = 2,
    /// The last frame of a sealed segment: what it holds.
    Footer = 3,
    /// An entry of a journal.
    Entry = 4,
    /// Ends a journal's snapshot: the generation is whole.
    Whole = 5,
    /// What the manifest knows.
    Manifest = 6,
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) signal: u8,
    pub(crate) items: u32,
    pub(crate) sequence: u64,
    pub(crate) received_at: u64,
    /// How much of the body is metadata.
    pub(crate) metadata: u32,
    pub(crate) body: u32,
    pub(crate) body_crc: u32,
}

impl Head {
    /// A head with nothing but a kind.
    pub(crate) fn of(kind: Kind) -> Self {
        Self { kind, signal: 0, items: 0, sequence: 0, received_at: 0, metadata: 0, body: 0, body_crc: 0 }
    }

    /// Appends a frame.
    pub(crate) fn write(self, out: &mut Vec<u8>, salt: u32, body: &[u8]) {
        self.write_head(out, salt, &[body]);
        out.extend_from_slice(body);
    }

    /// Appends the head of a frame whose body is `parts`, one after the other.
    pub(crate) fn write_head(mut self, out: &mut Vec<u8>, salt: u32, parts: &[&[u8]]) {
        let mut crc = Hasher::new_with_initial(salt);
        parts.iter().for_each(|part| crc.update(part));
        self.body_crc = crc.finalize();
        self.body = parts.iter().map(|part| part.len()).sum::<usize>().try_into().unwrap_or(u32::MAX);
        out.extend_from_slice(&self.encode(salt));
    }

    fn encode(self, salt: u32) -> [u8; HEAD] {
        let mut head = [0; HEAD];
        head[..4].copy_from_slice(&MAGIC);
        head[4..8].copy_from_slice(&self.body.to_le_bytes());
        head[8..12].copy_from_slice(&self.body_crc.to_le_bytes());
        head[12..16].copy_from_slice(&self.items.to_le_bytes());
        head[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        head[24..32].copy_from_slice(&self.received_at.to_le_bytes());
        head[32..36].copy_from_slice(&self.metadata.to_le_bytes());
        head[36] = self.kind as u8;
        head[37] = self.signal;
        let crc = checksum(salt, &head[..40]);
        head[40..].copy_from_slice(&crc.to_le_bytes());
        head
    }

    /// Reads a head, if there is a sound one at the start of `bytes`.
    pub(crate) fn read(bytes: &[u8], salt: u32) -> Option<Self> {
        let head: &[u8; HEAD] = bytes.first_chunk()?;
        let crc = u32_at(head, 40)?;
        if head[..4] != MAGIC || checksum(salt, &head[..40]) != crc {
            return None;
        }
        let kind = match head[36] {
            1 => Kind::Name,
            2 => Kind::Record,
            3 => Kind::Footer,
            4 => Kind::Entry,
            5 => Kind::Whole,
            6 => Kind::Manifest,
            _ => return None,
        };
        let read = Self {
            kind,
            signal: head[37],
            items: u32_at(head, 12)?,
            sequence: u64_at(head, 16)?,
            received_at: u64_at(head, 24)?,
            metadata: u32_at(head, 32)?,
            body: u32_at(head, 4)?,
            body_crc: u32_at(head, 8)?,
        };
        (read.metadata <= read.body).then_some(read)
    }

    /// Whether this is the body that was written.
    pub(crate) fn fits(&self, body: &[u8], salt: u32) -> bool {
        checksum(salt, body) == self.body_crc
    }

    /// Length of the whole frame.
    pub(crate) fn len(&self) -> u64 {
        HEAD as u64 + u64::from(self.body)
    }
}

fn checksum(salt: u32, bytes: &[u8]) -> u32 {
    let mut crc = Hasher::new_with_initial(salt);
    crc.update(bytes);
    crc.finalize()
}

/// The little-endian number at an offset.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// The little-endian number at an offset.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests;
