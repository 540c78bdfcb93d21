//! Just enough base64 to look into a token.

use throughline_otlp::steps;

/// Decodes as many whole bytes as there are; both alphabets, padding not needed, slashes spelled `\/` or not. Stops at what is not
/// base64.
pub(crate) fn decode(text: &[u8]) -> Vec<u8> {
    steps::add(text.len());
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let (mut bits, mut count) = (0_u32, 0);
    for value in text.iter().filter(|byte| **byte != b'\\').map_while(|byte| value(*byte)) {
        bits = bits << 6 | value;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}

fn value(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_length_and_both_alphabets_decode() {
        assert_eq!(decode(b"eyJhbGciOiJIUzI1NiJ9"), br#"{"alg":"HS256"}"#);
        assert_eq!(decode(b"_-8"), decode(b"/+8="));
        assert_eq!(decode(b"\\/+8="), decode(b"/+8="));
        assert_eq!(decode(b"aGk"), b"hi");
        assert_eq!(decode(b""), b"");
    }
}
