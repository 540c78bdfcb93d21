//! Bytes in several pieces, sent without gluing them together.

use std::io::IoSlice;

use bytes::{Buf, Bytes};
use smallvec::SmallVec;

/// Pieces of bytes that go out one after the other in one frame, by vectored writes.
#[derive(Clone, Debug, Default)]
pub struct Rope {
    pieces: SmallVec<[Bytes; 2]>,
    first: usize,
}

impl Rope {
    /// Adds a piece at the end.
    pub fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.pieces.push(piece);
        }
    }

    /// Adds all its pieces behind those of `other`.
    pub fn append_to(self, other: &mut Self) {
        let first = self.first;
        self.pieces.into_iter().skip(first).for_each(|piece| other.push(piece));
    }

    /// All bytes in one piece: free if there is only one, otherwise a copy.
    pub fn into_bytes(mut self) -> Bytes {
        match self.pieces.len() - self.first {
            1 => self.pieces.swap_remove(self.first),
            _ => self.copy_to_bytes(self.remaining()),
        }
    }
}

impl From<Bytes> for Rope {
    fn from(piece: Bytes) -> Self {
        let mut rope = Self::default();
        rope.push(piece);
        rope
    }
}

impl FromIterator<Bytes> for Rope {
    fn from_iter<I: IntoIterator<Item = Bytes>>(pieces: I) -> Self {
        let mut rope = Self::default();
        pieces.into_iter().for_each(|piece| rope.push(piece));
        rope
    }
}

impl Buf for Rope {
    fn remaining(&self) -> usize {
        self.pieces[self.first..].iter().map(Bytes::len).sum()
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.get(self.first).map_or(&[], |piece| piece)
    }

    fn chunks_vectored<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (slot, piece) in into.iter_mut().zip(&self.pieces[self.first..]) {
            *slot = IoSlice::new(piece);
            count += 1;
        }
        count
    }

    fn advance(&mut self, mut count: usize) {
        while count > 0 {
            let piece = &mut self.pieces[self.first];
            let step = count.min(piece.len());
            piece.advance(step);
            count -= step;
            if piece.is_empty() {
                // What is written is nobody's any more: an empty slice still keeps what it was cut from.
                *piece = Bytes::new();
                self.first += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rope_reads_as_its_pieces_in_order_whatever_the_step() {
        for step in 1..=7 {
            let mut rope: Rope =
                [&b"ab"[..], b"", b"cde", b"fg"].into_iter().map(Bytes::from_static).collect();
            let mut read = Vec::new();
            while rope.has_remaining() {
                let take = step.min(rope.chunk().len());
                read.extend_from_slice(&rope.chunk()[..take]);
                rope.advance(take);
            }
            assert_eq!(read, b"abcdefg");
        }
    }

    #[test]
    fn a_piece_is_let_go_of_as_soon_as_it_is_written() {
        let piece = |bytes: &[u8]| Bytes::from(bytes.to_vec());
        let (first, second) = (piece(b"abc"), piece(b"de"));
        let mut rope: Rope = [first.clone(), second.clone()].into_iter().collect();
        rope.advance(2);
        assert!(!first.is_unique(), "a byte of it is still to be written");
        rope.advance(2);
        assert!(first.is_unique() && !second.is_unique());
        rope.advance(1);
        assert!(second.is_unique());
    }

    #[test]
    fn one_piece_is_given_back_without_a_copy() {
        let piece = Bytes::from(vec![1, 2, 3]);
        let at = piece.as_ptr();
        assert_eq!(Rope::from(piece).into_bytes().as_ptr(), at);
    }
}
