//! The first stage: where a secret may be.
//!
//! Literals are dealt out to eight buckets. For each of the first four places of a literal two tables say, by the low and
//! by the high half of a byte, which buckets have such a byte there; a vector of positions is looked up at once. The idea
//! is Teddy's, from Intel's Hyperscan (Wang et al., *Hyperscan*, NSDI 2019); how the literals are dealt out is in
//! `buckets`. About one position in a hundred passes; of those `words` tells which literal it may be.

use std::ops::Range;

use fearless_simd::prelude::*;
use fearless_simd::{Level, Simd, dispatch, u8x16, u8x32};
use throughline_otlp::steps;

use crate::buckets::{PLACES, Tables, deal, frequency};
use crate::words::{Words, word};

/// How many positions are looked up at once. Twice as many would be faster here and slow down all else: processors lower
/// their clock for a while after instructions of 512 bits.
const WIDTH: usize = 32;
/// What is read for that.
const WINDOW: usize = WIDTH + PLACES - 1;
/// How many vectors are looked up before what passed is looked at.
const VECTORS: usize = 64;

/// What is looked for.
#[derive(Clone, Debug)]
pub(crate) struct Literal {
    text: Vec<u8>,
    any_case: bool,
    /// Where the bytes that are looked up start: the rarest of it.
    window: usize,
}

impl Literal {
    /// This text and no other. Not empty.
    pub(crate) fn exact(text: &str) -> Self {
        Self { text: text.as_bytes().to_vec(), any_case: false, window: 0 }.at_its_rarest()
    }

    /// This text in any case.
    pub(crate) fn any_case(text: &str) -> Self {
        Self { text: text.to_ascii_lowercase().into_bytes(), any_case: true, window: 0 }.at_its_rarest()
    }

    fn at_its_rarest(self) -> Self {
        let windows = 0..=self.text.len().saturating_sub(PLACES);
        let at = |window| Self { window, ..self.clone() };
        windows.map(at).min_by_key(frequency).unwrap_or(self)
    }

    /// What is looked up, and what follows.
    pub(crate) fn window(&self) -> &[u8] {
        &self.text[self.window..]
    }

    /// The bytes that may stand at a place of the window; `None` behind the end, where anything may.
    pub(crate) fn bytes_at(&self, place: usize) -> Option<[u8; 2]> {
        let byte = *self.window().get(place)?;
        Some([byte, if self.any_case { byte.to_ascii_uppercase() } else { byte }])
    }

    /// Where the literal stands, if its window is at `at`.
    fn around(&self, bytes: &[u8], at: usize) -> Option<Range<usize>> {
        let start = at.checked_sub(self.window)?;
        let range = start..start + self.text.len();
        let there = bytes.get(range.clone())?;
        let same = if self.any_case { there.eq_ignore_ascii_case(&self.text) } else { there == self.text };
        same.then_some(range)
    }
}

/// Finds every occurrence of some literals, overlapping ones too, with vector instructions where the machine has them.
#[derive(Clone, Debug)]
pub(crate) struct Anchors {
    level: Level,
    tables: Tables,
    words: Words,
    literals: Vec<Literal>,
}

/// An anchor that was found: which, and where it starts and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) literal: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Anchors {
    /// For these literals.
    pub(crate) fn new(literals: Vec<Literal>) -> Self {
        let tables = Tables::new(&literals, &deal(&literals));
        Self { level: Level::new(), tables, words: Words::new(&literals), literals }
    }

    /// Gives every hit to `on`, in the order of their rarest parts.
    pub(crate) fn each(&self, bytes: &[u8], on: &mut dyn FnMut(Hit)) {
        let mut block = Block { masks: [0; VECTORS], any: 0 };
        steps::add(bytes.len());
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let vectors = dispatch!(self.level, simd => self.sift(simd, rest, &mut block));
            while block.any != 0 {
                let vector = block.any.trailing_zeros() as usize;
                block.any &= block.any - 1;
                let mut mask = block.masks[vector];
                while mask != 0 {
                    let position = at + vector * WIDTH + mask.trailing_zeros() as usize;
                    mask &= mask - 1;
                    self.at(bytes, position, on);
                }
            }
            at += vectors * WIDTH;
        }
    }

    /// Looks up a block of positions. How many vectors it was.
    #[inline(always)]
    fn sift<S: Simd>(&self, simd: S, bytes: &[u8], block: &mut Block) -> usize {
        let table = |half: &[u8; 16]| u8x32::block_splat(u8x16::simd_from(simd, *half));
        let tables = self.tables.0.each_ref().map(|[low, high]| [table(low), table(high)]);
        let vectors = bytes.len().div_ceil(WIDTH).min(VECTORS);
        let whole = (bytes.len().saturating_sub(PLACES - 1) / WIDTH).min(VECTORS);
        let mut any = 0;
        // Two loops, so that the tables stay in registers in the first.
        for (vector, into) in block.masks[..whole].iter_mut().enumerate() {
            *into = pass(simd, &tables, &bytes[vector * WIDTH..][..WINDOW]);
            any |= u64::from(*into != 0) << vector;
        }
        for (vector, into) in block.masks[..vectors].iter_mut().enumerate().skip(whole) {
            *into = pass(simd, &tables, &padded(&bytes[vector * WIDTH..]));
            any |= u64::from(*into != 0) << vector;
        }
        block.any = any;
        vectors
    }

    /// Gives the hits whose window is here to `on`.
    #[inline]
    fn at(&self, bytes: &[u8], position: usize, on: &mut dyn FnMut(Hit)) {
        // Padding passes too if a literal is short.
        let Some(word) = bytes.get(position..).map(word).filter(|word| self.words.may_hold(*word)) else {
            return;
        };
        for literal in self.words.literals(word) {
            if let Some(Range { start, end }) = self.literals[literal].around(bytes, position) {
                on(Hit { literal, start, end });
            }
        }
    }
}

/// What passed in a block of positions.
struct Block {
    /// A bit for each position, vector by vector.
    masks: [u64; VECTORS],
    /// A bit for each vector that has any: few have, so asking each would be a branch that is often guessed wrong.
    any: u64,
}

/// The end of a text, with zeros behind it.
#[inline(always)]
fn padded(rest: &[u8]) -> [u8; WINDOW] {
    let mut padded = [0; WINDOW];
    padded.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    padded
}

/// Which positions of a window pass.
#[inline(always)]
fn pass<S: Simd>(simd: S, tables: &[[u8x32<S>; 2]; PLACES], window: &[u8]) -> u64 {
    let place = |place: usize| {
        let bytes = u8x32::from_slice(simd, &window[place..place + WIDTH]);
        let [low, high] = tables[place];
        low.swizzle_dyn_within_blocks(bytes & 0x0f) & high.swizzle_dyn_within_blocks(bytes >> 4)
    };
    let buckets = place(0) & place(1) & place(2) & place(3);
    buckets.simd_ne(u8x32::splat(simd, 0)).to_bitmask()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hits(anchors: &Anchors, bytes: &[u8]) -> Vec<Hit> {
        let mut hits = Vec::new();
        anchors.each(bytes, &mut |hit| hits.push(hit));
        hits.sort_unstable_by_key(|hit| (hit.start, hit.literal));
        hits
    }

    fn levels() -> Vec<Level> {
        vec![Level::new(), Level::baseline()]
    }

    #[test]
    fn hits_overlap_and_cross_the_ends_of_vectors() {
        let literals =
            ["AKIA", "IAKI", "sig="].map(Literal::exact).into_iter().chain([Literal::any_case("ToKen")]);
        let anchors = Anchors::new(literals.collect());
        for before in 0..150 {
            let text = [&vec![b'x'; before][..], b"AKIAKIA tOKENtoken sig=sig="].concat();
            let starts: Vec<_> =
                hits(&anchors, &text).iter().map(|hit| (hit.literal, hit.start - before)).collect();
            assert_eq!(starts, [(0, 0), (1, 2), (0, 3), (3, 8), (3, 13), (2, 19), (2, 23)]);
        }
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_looking_everywhere_finds(
            literals in proptest::collection::vec(("[a-dA-D=_]{1,6}", any::<bool>()), 1..60),
            bytes in proptest::collection::vec(prop_oneof![4 => "[a-dA-D=_]{0,9}", 1 => ".{0,40}"], 0..40),
        ) {
            let bytes = bytes.concat().into_bytes();
            let make = |(text, any_case): &(String, bool)| match any_case {
                true => Literal::any_case(text),
                false => Literal::exact(text),
            };
            let literals: Vec<_> = literals.iter().map(make).collect();
            let mut expected = Vec::new();
            for start in 0..bytes.len() {
                for (literal, Literal { text, any_case, .. }) in literals.iter().enumerate() {
                    let Some(there) = bytes.get(start..start + text.len()) else { continue };
                    if there == text || *any_case && there.eq_ignore_ascii_case(text) {
                        expected.push(Hit { literal, start, end: start + text.len() });
                    }
                }
            }
            let anchors = Anchors::new(literals);
            for level in levels() {
                prop_assert_eq!(hits(&Anchors { level, ..anchors.clone() }, &bytes), expected.clone());
            }
        }
    }
}
