//! Reading a file frame by frame, over what is damaged.

use std::io;

use bytes::{Bytes, BytesMut};
use throughline_component::port::DiskFile;

use crate::frame::{HEAD, Head, MAGIC, is_foreign};

const BLOCK: usize = 256 << 10;

/// What stands at the next place of a file.
pub(crate) enum Found {
    /// A sound frame, and where it ends.
    Frame(Head, Bytes, u64),
    /// Something that is no frame of ours, up to the next sound head.
    Bad,
    /// The end: nothing but, perhaps, a torn frame lies behind this offset.
    End(u64),
}

/// Walks over the frames of a file.
pub(crate) struct Scanner {
    file: Box<dyn DiskFile>,
    salt: u32,
    offset: u64,
    block: Bytes,
    block_at: u64,
}

impl Scanner {
    pub(crate) fn new(file: Box<dyn DiskFile>, salt: u32) -> Self {
        Self { file, salt, offset: 0, block: Bytes::new(), block_at: 0 }
    }

    pub(crate) fn file(&self) -> &dyn DiskFile {
        &*self.file
    }

    /// Whether the file was written by another version of ours.
    pub(crate) fn is_foreign(&mut self) -> io::Result<bool> {
        let size = self.file.size()?;
        Ok(self.bytes(0, HEAD, size)?.is_some_and(|start| is_foreign(&start, self.salt)))
    }

    /// The next frame before `end`.
    pub(crate) fn next(&mut self, end: u64) -> io::Result<Found> {
        let at = self.offset;
        let head = self.bytes(at, HEAD, end)?.and_then(|bytes| Head::read(&bytes, self.salt));
        if let Some(head) = head
            && let Some(body) = self.bytes(at + HEAD as u64, head.body as usize, end)?
        {
            self.offset = at + head.len();
            if head.fits(&body, self.salt) {
                return Ok(Found::Frame(head, body, self.offset));
            }
            return Ok(if self.offset < end { Found::Bad } else { Found::End(at) });
        }
        match self.resync(at + 1, end)? {
            Some(next) => {
                self.offset = next;
                Ok(Found::Bad)
            }
            None => Ok(Found::End(at)),
        }
    }

    /// Where the next sound head stands. Its checksum starts from the file's salt, so that no sender can put one into
    /// what it sends.
    fn resync(&mut self, mut from: u64, end: u64) -> io::Result<Option<u64>> {
        while let Some(window) =
            self.bytes(from, BLOCK.min(left(from, end)), end)?.filter(|w| w.len() >= HEAD)
        {
            let last = window.len() - HEAD;
            let starts = (0..=last).filter(|at| window[*at..].starts_with(&MAGIC));
            for at in starts {
                if Head::read(&window[at..], self.salt)
                    .is_some_and(|head| from + at as u64 + head.len() <= end)
                {
                    return Ok(Some(from + at as u64));
                }
            }
            from += last as u64 + 1;
        }
        Ok(None)
    }

    /// Exactly `length` bytes, or `None` if the file ends before.
    fn bytes(&mut self, at: u64, length: usize, end: u64) -> io::Result<Option<Bytes>> {
        if left(at, end) < length {
            return Ok(None);
        }
        let have = |block: &Bytes, block_at: u64| {
            let from = usize::try_from(at.checked_sub(block_at)?).ok()?;
            let to = from.checked_add(length)?;
            (to <= block.len()).then(|| block.slice(from..to))
        };
        if let Some(bytes) = have(&self.block, self.block_at) {
            return Ok(Some(bytes));
        }
        // With the head of the next frame: that of a long one would cost a block of its own.
        let mut block = BytesMut::zeroed((length + HEAD).max(BLOCK).min(left(at, end)));
        let read = self.file.read_at(&mut block, at)?;
        block.truncate(read);
        (self.block, self.block_at) = (block.freeze(), at);
        Ok(have(&self.block, self.block_at))
    }
}

fn left(at: u64, end: u64) -> usize {
    usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
