//! Literals by the first bytes of their windows.

use crate::anchors::Literal;
use crate::buckets::PLACES;

/// The first bytes of a text, letters in lower case (and some other bytes changed, which only lets more through); zeros
/// behind its end.
#[inline]
pub(crate) fn word(text: &[u8]) -> u32 {
    const LOWER: u32 = 0x2020_2020;
    let bytes = text.first_chunk().copied().unwrap_or_else(|| {
        let mut padded = [0; PLACES];
        padded[..text.len()].copy_from_slice(text);
        padded
    });
    u32::from_le_bytes(bytes) | LOWER
}

/// Literals by their words. Those that are shorter than a word stand apart, so that the others are told apart by all of it.
#[derive(Clone, Debug)]
pub(crate) struct Words {
    long: Group,
    short: Option<Group>,
}

impl Words {
    pub(crate) fn new(literals: &[Literal]) -> Self {
        let is_long = |literal: &Literal| literal.window().len() >= PLACES;
        let group = |long: bool| {
            let members = literals.iter().zip(0..).filter(move |(literal, _)| is_long(literal) == long);
            Group::new(members.map(|(literal, number)| (literal.window(), number)))
        };
        let short = literals.iter().any(|literal| !is_long(literal)).then(|| group(false));
        Self { long: group(true), short }
    }

    /// Whether a literal's window may start like this.
    #[inline]
    pub(crate) fn may_hold(&self, word: u32) -> bool {
        self.long.may_hold(word) || self.short.as_ref().is_some_and(|short| short.may_hold(word))
    }

    /// Those that may.
    pub(crate) fn literals(&self, word: u32) -> impl Iterator<Item = usize> {
        let short = self.short.iter().flat_map(move |short| short.literals(word));
        self.long.literals(word).chain(short)
    }
}

#[derive(Clone, Debug)]
struct Group {
    /// The bytes that all its literals have.
    mask: u32,
    /// Sorted.
    words: Vec<(u32, usize)>,
    /// A bit for the hash of each word: few others share it.
    bits: Vec<u64>,
}

impl Group {
    /// Of literals' windows and numbers.
    fn new<'l>(literals: impl Iterator<Item = (&'l [u8], usize)> + Clone) -> Self {
        let shortest = literals.clone().map(|(window, _)| window.len()).min().unwrap_or(0);
        let mask = if shortest < PLACES { (1 << (8 * shortest)) - 1 } else { u32::MAX };
        let mut words: Vec<_> = literals.map(|(window, number)| (word(window) & mask, number)).collect();
        words.sort_unstable();
        let mut bits = vec![0; 64];
        for (word, _) in &words {
            let (at, bit) = place(*word);
            bits[at] |= bit;
        }
        Self { mask, words, bits }
    }

    #[inline]
    fn may_hold(&self, word: u32) -> bool {
        let (at, bit) = place(word & self.mask);
        self.bits[at] & bit != 0
    }

    fn literals(&self, word: u32) -> impl Iterator<Item = usize> {
        let word = word & self.mask;
        let from = self.words.partition_point(|(other, _)| *other < word);
        self.words[from..].iter().take_while(move |(other, _)| *other == word).map(|(_, number)| *number)
    }
}

/// One of 4096 bits: which of 64 words, and the bit in it.
#[inline]
fn place(word: u32) -> (usize, u64) {
    // Fibonacci hashing: the topmost bits of a product depend on all bits of the word.
    let hash = word.wrapping_mul(0x9e37_79b9) >> 20;
    ((hash >> 6) as usize, 1 << (hash & 63))
}
