//! Escapes: how text is spelled inside other text, as in JSON, in URLs, and on terminals.

/// How many bytes at `start` are the rest of an escape that begins before them: the `n` of `\n`, the `u0026` of `\u0026`, the
/// `26` of `%26`, the `32m` of a terminal's colour. They look like the beginning of a word and are none.
pub(crate) fn rest(text: &[u8], start: usize) -> usize {
    let (before, rest) = text.split_at(start.min(text.len()));
    match (before.last(), rest) {
        (Some(b'\\'), [b'n' | b'r' | b't' | b'b' | b'f' | b'v' | b'a' | b'e' | b'0', ..]) => 1,
        (Some(b'\\'), [b'u', digits @ ..]) if is_hex(digits, 4) => 5,
        (Some(b'\\'), [b'x', digits @ ..]) if is_hex(digits, 2) => 3,
        (Some(b'%'), digits) if is_hex(digits, 2) => {
            // `%2526` is `%26`, encoded once more.
            let again = digits.chunks(2).take_while(|pair| *pair == b"25").count() * 2;
            if again > 0 && is_hex(&digits[again..], 2) { again + 2 } else { again.max(2) }
        }
        (Some(b'[' | b';'), colour) => {
            let digits = colour.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits > 0 && colour.get(digits) == Some(&b'm') { digits + 1 } else { 0 }
        }
        _ => 0,
    }
}

/// How many bytes at `at` set colours of a terminal (`ESC[1;32m`), the escape character as it is or spelled.
pub(crate) fn colours(text: &[u8], at: usize) -> usize {
    const ESCAPES: [&[u8]; 7] = [b"\x1b", b"\\x1b", b"\\x1B", b"\\u001b", b"\\u001B", b"\\033", b"\\e"];
    let mut end = at;
    loop {
        let rest = &text[end.min(text.len())..];
        let Some(escape) = ESCAPES.iter().find(|escape| rest.starts_with(escape)) else { return end - at };
        let [b'[', rest @ ..] = &rest[escape.len()..] else { return end - at };
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b';').count();
        if rest.get(digits) != Some(&b'm') {
            return end - at;
        }
        end += escape.len() + digits + 2;
    }
}

/// What a separator between a name and a value is spelled like in JSON, scripts, HTML and URLs, and whether it is a colon.
const SPELLED: [(&[u8], bool); 16] = [
    (b"%3D", false),
    (b"%3d", false),
    (b"%3A", false),
    (b"%3a", false),
    (b"\\u003d", false),
    (b"\\u003D", false),
    (b"\\u003a", true),
    (b"\\u003A", true),
    (b"\\x3d", false),
    (b"\\x3D", false),
    (b"\\x3a", true),
    (b"\\x3A", true),
    (b"&#61;", false),
    (b"&equals;", false),
    (b"&#58;", true),
    (b"&colon;", true),
];

/// The length of a spelled separator that these bytes begin with, and whether it is a colon behind which prose may stand.
pub(crate) fn separator(text: &[u8]) -> Option<(usize, bool)> {
    let (spelled, prose) = SPELLED.iter().find(|(spelled, _)| text.starts_with(spelled))?;
    Some((spelled.len(), *prose))
}

/// The character that the escape `\uXXXX` stands for, whose digits these bytes start with.
pub(crate) fn unicode(digits: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(digits.get(..4)?).ok()?;
    if digits.starts_with('+') { None } else { u32::from_str_radix(digits, 16).ok() }
}

fn is_hex(bytes: &[u8], count: usize) -> bool {
    bytes.get(..count).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_an_escape_is_told_from_the_beginning_of_a_word() {
        for (escape, start, length) in [
            ("\\n", 1, 1),
            ("\\t", 1, 1),
            ("\\u0026", 1, 5),
            ("\\x1b", 1, 3),
            ("%26", 1, 2),
            ("%2526", 1, 4),
            ("%25", 1, 2),
            ("\\u001b[32m", 7, 3),
            ("\\u001b[1;32m", 9, 3),
            ("\\", 1, 0),
            ("\\u00", 1, 0),
            ("%2", 1, 0),
            ("[", 1, 0),
            ("", 0, 0),
        ] {
            let text = format!("{escape}pass");
            assert_eq!(rest(text.as_bytes(), start), length, "{text}");
        }
    }

    #[test]
    fn only_four_digits_are_a_character() {
        assert_eq!(unicode(b"00e4x"), Some(0xe4));
        assert_eq!(unicode(b"+0e4"), None);
        assert_eq!(unicode(b"00e"), None);
        assert_eq!(unicode(b"00eg"), None);
    }
}
