//! Classes of bytes, and runs of them.

use throughline_otlp::steps;

/// A set of bytes as a table.
#[derive(Clone, Copy)]
pub(crate) struct Class([bool; 256]);

impl Class {
    /// Letters and digits, and these too.
    pub(crate) const fn alphanumeric_and(more: &[u8]) -> Self {
        let mut table = Self::of(more).0;
        let mut byte = 0;
        while byte < 128 {
            table[byte] |= (byte as u8).is_ascii_alphanumeric();
            byte += 1;
        }
        Self(table)
    }

    /// Capital letters and digits.
    pub(crate) const fn capitals_and_digits() -> Self {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 128 {
            table[byte] = (byte as u8).is_ascii_uppercase() || (byte as u8).is_ascii_digit();
            byte += 1;
        }
        Self(table)
    }

    /// Everything but control characters, blanks, and these.
    pub(crate) const fn visible_but(less: &[u8]) -> Self {
        let not = Self::of(less).0;
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            table[byte] = byte > 0x20 && byte != 0x7f && !not[byte];
            byte += 1;
        }
        Self(table)
    }

    /// These and no others.
    pub(crate) const fn of(bytes: &[u8]) -> Self {
        let mut table = [false; 256];
        let mut index = 0;
        while index < bytes.len() {
            table[bytes[index] as usize] = true;
            index += 1;
        }
        Self(table)
    }

    /// Whether the byte is of this class.
    pub(crate) const fn has(&self, byte: u8) -> bool {
        self.0[byte as usize]
    }

    /// How many bytes of this class follow, counted from `at`; at most `limit`.
    pub(crate) fn run(&self, bytes: &[u8], at: usize, limit: usize) -> usize {
        let rest = bytes.get(at..).unwrap_or_default();
        counted(rest.iter().take(limit).take_while(|byte| self.has(**byte)).count())
    }

    /// The same, going on over slashes that JSON spells `\/`; it may come out somewhat longer than `limit`.
    pub(crate) fn run_spelled(&self, bytes: &[u8], at: usize, limit: usize) -> usize {
        let mut run = self.run(bytes, at, limit);
        while run < limit && self.has(b'/') && bytes[at + run..].starts_with(b"\\/") {
            run += 2;
            run += self.run(bytes, at + run, limit.saturating_sub(run));
        }
        run
    }

    /// How many bytes of this class precede `at`; at most `limit`.
    pub(crate) fn run_before(&self, bytes: &[u8], at: usize, limit: usize) -> usize {
        let rest = bytes.get(..at).unwrap_or_default();
        counted(rest.iter().rev().take(limit).take_while(|byte| self.has(**byte)).count())
    }
}

#[inline]
fn counted(length: usize) -> usize {
    steps::add(length + 1);
    length
}

/// The backslash alone.
pub(crate) const BACKSLASH: Class = Class::of(b"\\");
/// What numbers are made of.
pub(crate) const NUMBER: Class = Class::of(b"0123456789+-.eE");
/// What tokens are made of.
pub(crate) const ALPHANUMERIC: Class = Class::alphanumeric_and(b"");
/// Letters, digits and the underscore.
pub(crate) const WORD: Class = Class::alphanumeric_and(b"_");
/// What AWS key ids and age keys are made of.
pub(crate) const CAPITALS: Class = Class::capitals_and_digits();
/// The URL-safe base64 alphabet.
pub(crate) const BASE64URL: Class = Class::alphanumeric_and(b"_-");
/// The URL-safe base64 alphabet and the dot between parts.
pub(crate) const DOTTED: Class = Class::alphanumeric_and(b"_-.");
/// Both base64 alphabets and what pads and joins them: RFC 6750's `b64token`.
pub(crate) const TOKEN68: Class = Class::alphanumeric_and(b"_-.~+/=");
/// The same, as URLs spell it.
pub(crate) const TOKEN68_IN_URL: Class = Class::alphanumeric_and(b"_-.~+/=%");
/// The parts of a path.
pub(crate) const PATH: Class = Class::alphanumeric_and(b"_-/");
/// What names of settings, headers and attributes are made of.
pub(crate) const NAME: Class = Class::alphanumeric_and(b"_-.");
