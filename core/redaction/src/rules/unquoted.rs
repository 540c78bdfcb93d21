//! Where a value without quotes ends. Delimiters stand inside passwords too, so each ends the value only where what
//! follows shows that it is one: in doubt the tail is masked with the rest.

use super::pairs::LONGEST;
use crate::class::{Class, NAME};
use crate::tag::replacement;

/// Never ends a value.
const PLAIN: Class = Class::visible_but(b",;&\"'`<>|)}]\\[");

/// The length of the value that starts at `start`.
pub(super) fn unquoted(text: &[u8], start: usize) -> usize {
    let mut at = start;
    loop {
        at += PLAIN.run(text, at, LONGEST.saturating_sub(at - start));
        if at - start >= LONGEST || ends(text, at, start) {
            return at - start;
        }
        at += 1;
    }
}

/// Whether a value may go on at `at`, whatever follows.
pub(super) fn goes_on(text: &[u8], at: usize) -> bool {
    text.get(at).is_some_and(|byte| PLAIN.has(*byte) || *byte == b'[')
}

/// Whether the value ends at `at`, where no plain byte stands.
fn ends(text: &[u8], at: usize, start: usize) -> bool {
    let Some(byte) = text.get(at) else { return true };
    let rest = &text[at + 1..];
    // A blank, a delimiter or nothing: what stood before it was the end of something.
    let broken = !goes_on(rest, 0) && rest.first() != Some(&b'\\');
    match byte {
        // An empty value, or another pair.
        b',' | b';' => at == start || broken || another_pair(rest),
        b'&' => at == start || broken || another_pair(rest) || rest.starts_with(b"amp;"),
        b')' | b'}' | b']' | b'|' | b'>' => broken || rest.starts_with(b"\\"),
        // A tag.
        b'<' => {
            broken
                || rest.first().is_some_and(|next| next.is_ascii_alphabetic() || matches!(next, b'/' | b'!'))
        }
        b'"' | b'\'' | b'`' => !rest.first().is_some_and(u8::is_ascii_alphanumeric),
        b'\\' => escape(rest),
        // What was masked before is no part of it: its tag would make a value of what was none.
        b'[' => replacement(&text[at..]).is_some(),
        _ => true,
    }
}

/// `name=value`, or `name: value` with the blank or quote that tells it from a host and a port.
fn another_pair(rest: &[u8]) -> bool {
    let name = NAME.run(rest, 0, 64);
    match rest.get(name..) {
        Some([b'=', next, ..]) => name > 0 && *next != b'=',
        Some([b':', next, ..]) => name > 0 && matches!(next, b' ' | b'"' | b'\'' | b'\\'),
        _ => false,
    }
}

/// What a backslash stands before where text is quoted in other text: an end of line, a quote, `\u0026`, another
/// backslash that does.
fn escape(rest: &[u8]) -> bool {
    let rest = &rest[rest.iter().take_while(|byte| **byte == b'\\').count()..];
    match rest {
        [] | [b'n' | b'r' | b't' | b'"' | b'\'' | b'`' | b'\n' | b'\r', ..] => true,
        [b'u', digits @ ..] => digits.len() >= 4 && digits[..4].iter().all(u8::is_ascii_hexdigit),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delimiter_ends_a_value_only_where_it_is_one() {
        for (value, behind) in [
            ("hunt\\er2", ""),
            ("\\$x", " next"),
            (")x", ""),
            ("abc,def", " next"),
            ("pa;ss", ""),
            ("pa&ss", ")"),
            ("a}b]c)d", "})"),
            ("a|b", " | cut"),
            ("p<3q", "</td>"),
            ("it's", "' done"),
            ("a", ", b=c"),
            ("a", ",b=c"),
            ("a", ",b: c"),
            ("a", ";Database=z"),
            ("a,b:c", ";Database=z"),
            ("a", "&b=c"),
            ("a", "&amp;b=c"),
            ("YQ==", ";EndpointSuffix=y"),
            ("a", "\\n next"),
            ("a", "\\\\n next"),
            ("a", "\\\", \\\"b\\\": 1"),
            ("a", "\\u0026b"),
            ("123456", "},{"),
            ("a", "\"}"),
            ("a", "`."),
            ("a[0]", "[REDACTED:pem:0123456789abcdef]"),
            ("", ",b"),
            ("", " b"),
            ("", "<none>"),
            ("pä,ßword", "\u{a0}".trim()),
        ] {
            let text = format!("{value}{behind}");
            let length = unquoted(text.as_bytes(), 0);
            assert_eq!(&text[..length], value, "{text}");
        }
    }

    #[test]
    fn no_value_is_longer_than_the_longest() {
        let text = "ab,c".repeat(LONGEST);
        assert!(unquoted(text.as_bytes(), 0) <= LONGEST + 1);
    }
}
