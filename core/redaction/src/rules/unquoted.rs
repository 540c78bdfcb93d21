//! Where a value without quotes ends. Delimiters stand inside passwords too, so each ends the value only where what
//! follows shows that it is one: in doubt the tail is masked with the rest.

use throughline_otlp::steps;

use crate::allow::{LONGEST, is_stand_in};
use crate::class::{BACKSLASH, Class, NAME};
use crate::escape;
use crate::tag::replacement;

/// Never ends a value.
const PLAIN: Class = Class::visible_but(b",;&\"'`<>|)}]\\[");

/// The length of what follows `behind` of the value that starts at `start` and has placeholders up to `behind`.
pub(super) fn unquoted(text: &[u8], start: usize, behind: usize) -> usize {
    let markup = text.get(start) == Some(&b'<');
    let mut at = behind;
    loop {
        at += PLAIN.run(text, at, usize::MAX);
        at += match text.get(at) {
            None => return at - behind,
            Some(b'\\') => match spells_an_end(text, at) {
                Ok(length) => length,
                Err(()) => return at - behind,
            },
            // What begins like a tag may go on with others.
            Some(b'<') if markup && !closes(text, at) => 1,
            Some(byte) if ends(*byte, text, at + 1, at == start) => return at - behind,
            Some(_) => 1,
        };
    }
}

/// The length of the placeholders and masks that stand at `start`, which may have blanks and delimiters in them. What is
/// glued to them is part of the value.
pub(super) fn begins(text: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(length) = placeholder(text.get(at..).unwrap_or_default()) {
        at += length;
    }
    at - start
}

/// The length of a `${…}`, `{{…}}`, `<…>` or `[…]` that stands here.
fn placeholder(rest: &[u8]) -> Option<usize> {
    let close: &[u8] = match rest {
        [b'$', b'{', b'{', ..] | [b'{', b'{', ..] => b"}}",
        [b'$', b'{', ..] => b"}",
        [b'[', ..] | [b'E', b'N', b'C', b'[', ..] => b"]",
        [b'<', ..] if !closes(rest, 0) => b">",
        _ => return None,
    };
    let near = &rest[..rest.len().min(LONGEST)];
    let end = memchr::memmem::find(near, close);
    steps::add(end.unwrap_or(near.len()));
    let end = end? + close.len();
    is_stand_in(&rest[..end]).then_some(end)
}

/// Whether the `<` at `at` begins the end of an element, or a comment.
fn closes(text: &[u8], at: usize) -> bool {
    matches!(text.get(at + 1), Some(b'/' | b'!'))
}

/// Whether a value may go on at `at`, whatever follows.
pub(super) fn goes_on(text: &[u8], at: usize) -> bool {
    text.get(at).is_some_and(|byte| PLAIN.has(*byte) || *byte == b'[')
}

/// Whether the value ends at a byte that is not plain, behind which `next` stands.
fn ends(byte: u8, text: &[u8], next: usize, empty: bool) -> bool {
    let rest = text.get(next..).unwrap_or_default();
    // A blank, a delimiter or nothing: what stood before it was the end of something.
    let broken = !goes_on(rest, 0) && rest.first() != Some(&b'\\');
    match byte {
        // An empty value, or another pair.
        b',' | b';' => empty || broken || another_pair(rest),
        b'&' => empty || broken || another_pair(rest) || rest.starts_with(b"amp;"),
        b')' | b'}' | b']' | b'|' | b'>' => broken || rest.starts_with(b"\\"),
        // A tag.
        b'<' => {
            broken
                || rest.first().is_some_and(|next| next.is_ascii_alphabetic() || matches!(next, b'/' | b'!'))
        }
        b'"' | b'\'' | b'`' => !rest.first().is_some_and(u8::is_ascii_alphanumeric),
        // What was masked before is no part of it: its tag would make a value of what was none.
        b'[' => next.checked_sub(1).is_some_and(|at| replacement(&text[at..]).is_some()),
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

/// What the backslashes at `at` spell, with what follows them, where text is quoted in other text: an end of line, a quote, a
/// delimiter that ends a value (`Err`), or anything else, of this length.
pub(super) fn spells_an_end(text: &[u8], at: usize) -> Result<usize, ()> {
    let slashes = BACKSLASH.run(text, at, usize::MAX);
    let next = at + slashes;
    match text.get(next..).unwrap_or_default() {
        [] | [b'n' | b'r' | b't' | b'"' | b'\'' | b'`' | b'\n' | b'\r', ..] => Err(()),
        [b'u', digits @ ..] => {
            let Some(spelled) = escape::unicode(digits) else { return Ok(slashes) };
            steps::add(5);
            match u8::try_from(spelled) {
                Ok(byte)
                    if byte < 0x80
                        && byte != b'\\'
                        && !PLAIN.has(byte)
                        && ends(byte, text, next + 5, false) =>
                {
                    Err(())
                }
                _ => Ok(slashes + 5),
            }
        }
        _ => Ok(slashes),
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
            ("a", "\\u0026b=c"),
            ("a\\u0026b", " next"),
            ("a", "\\u0022, b"),
            ("a", "\\u003c/td\\u003e"),
            ("h\\u00fcnter", "\\u000anext"),
            ("h\\/nter", "\\n"),
            ("123456", "},{"),
            ("a", "\"}"),
            ("a", "`."),
            ("a[0]", "[REDACTED:pem:0123456789abcdef]"),
            ("", ",b"),
            ("", " b"),
            ("<none>x", ""),
            ("", "</b>"),
            ("pä,ßword", "\u{a0}".trim()),
        ] {
            let text = format!("{value}{behind}");
            let length = unquoted(text.as_bytes(), 0, 0);
            assert_eq!(&text[..length], value, "{text}");
        }
    }
}
