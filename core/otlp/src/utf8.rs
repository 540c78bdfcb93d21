//! Whether bytes are UTF-8: names and values are short, mostly ASCII, and asked about by the dozen in every record.

use crate::steps;

/// Whether these bytes are UTF-8.
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    // Setting up vectors costs more than it saves below this.
    const SHORT: usize = 64;
    steps::add(bytes.len());
    if bytes.len() > SHORT {
        simdutf8::basic::from_utf8(bytes).is_ok()
    } else {
        is_ascii(bytes) || walk(bytes)
    }
}

/// Like [`slice::is_ascii`], but inlined and made for a few dozen bytes: two loads that overlap instead of a loop.
#[inline(always)]
pub(crate) fn is_ascii(bytes: &[u8]) -> bool {
    const HIGH: u128 = u128::from_ne_bytes([0x80; 16]);
    let all = match (bytes.first_chunk::<16>(), bytes.last_chunk::<16>()) {
        (Some(first), Some(last)) if bytes.len() <= 32 => {
            u128::from_ne_bytes(*first) | u128::from_ne_bytes(*last)
        }
        (Some(_), Some(last)) => {
            let whole = bytes.as_chunks::<16>().0;
            whole.iter().fold(u128::from_ne_bytes(*last), |all, chunk| all | u128::from_ne_bytes(*chunk))
        }
        _ => match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
            (Some(first), Some(last)) => u128::from(u64::from_ne_bytes(*first) | u64::from_ne_bytes(*last)),
            _ => u128::from(bytes.iter().fold(0, |all, byte| all | byte)),
        },
    };
    all & HIGH == 0
}

/// An automaton whose state is how far its table's words are to be shifted (Vognsen, *Shift-based DFAs*), so that nothing
/// but a shift waits for the byte before.
fn walk(bytes: &[u8]) -> bool {
    bytes.iter().fold(START, |state, byte| TABLE[usize::from(*byte)] >> (state & 63)) & 63 == START
}

/// Between characters.
const START: u64 = 0;
/// So many continuation bytes must follow.
const ONE: u64 = 6;
const TWO: u64 = 12;
const THREE: u64 = 18;
/// Behind a byte after which not every continuation byte is allowed: overlong forms, surrogates, beyond U+10FFFF.
const AFTER_E0: u64 = 24;
const AFTER_ED: u64 = 30;
const AFTER_F0: u64 = 36;
const AFTER_F4: u64 = 42;
/// No way back.
const WRONG: u64 = 48;

const STATES: [u64; 9] = [START, ONE, TWO, THREE, AFTER_E0, AFTER_ED, AFTER_F0, AFTER_F4, WRONG];

/// By byte: the next state for each state, at the place in the word that the state names.
static TABLE: [u64; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut at = 0;
        while at < STATES.len() {
            table[byte] |= next(STATES[at], byte as u8) << STATES[at];
            at += 1;
        }
        byte += 1;
    }
    table
};

/// The Unicode Standard, table 3-7.
const fn next(state: u64, byte: u8) -> u64 {
    match (state, byte) {
        (START, 0..0x80) | (ONE, 0x80..=0xbf) => START,
        (START, 0xc2..=0xdf) | (TWO, 0x80..=0xbf) | (AFTER_E0, 0xa0..=0xbf) | (AFTER_ED, 0x80..=0x9f) => ONE,
        (START, 0xe1..=0xec | 0xee..=0xef)
        | (THREE, 0x80..=0xbf)
        | (AFTER_F0, 0x90..=0xbf)
        | (AFTER_F4, 0x80..=0x8f) => TWO,
        (START, 0xf1..=0xf3) => THREE,
        (START, 0xe0) => AFTER_E0,
        (START, 0xed) => AFTER_ED,
        (START, 0xf0) => AFTER_F0,
        (START, 0xf4) => AFTER_F4,
        _ => WRONG,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_sequence_of_up_to_four_bytes_is_judged_as_the_standard_library_does() {
        // Continuation bytes are told apart at these.
        let edges = [0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff];
        for word in 0..=u16::MAX {
            let [lead, second] = word.to_le_bytes();
            for third in edges {
                for fourth in edges {
                    let bytes = [lead, second, third, fourth];
                    for bytes in [&bytes[..2], &bytes[..3], &bytes] {
                        assert_eq!(is_text(bytes), std::str::from_utf8(bytes).is_ok(), "{bytes:x?}");
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn text_is_text_and_a_byte_changed_in_it_is_noticed(
            text in ".{0,90}", at in any::<prop::sample::Index>(), byte: u8,
        ) {
            let mut bytes = text.into_bytes();
            prop_assert!(is_text(&bytes));
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
                prop_assert_eq!(is_text(&bytes), std::str::from_utf8(&bytes).is_ok());
            }
        }
    }
}
