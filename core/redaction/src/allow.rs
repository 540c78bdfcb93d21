//! What is no secret though it stands where one would. It exempts the span found, never the text around it.

use throughline_otlp::steps;

use crate::tag::replacement;

/// Placeholders and examples are short: what is longer is a secret. Else a text of nothing but their beginnings would take forever.
const LONGEST: usize = 256;

/// Whether all of a value is a stand-in: nothing, a placeholder, a word for nothing, or a mask.
pub(crate) fn is_stand_in(value: &[u8]) -> bool {
    let value = value.trim_ascii();
    if value.len() > LONGEST {
        return false;
    }
    steps::add(value.len());
    let (first, last) = match value {
        [] => return true,
        [only] => (*only, *only),
        [first, .., last] => (*first, *last),
    };
    match (first, last) {
        (b'$', b'}') => {
            value.starts_with(b"${") && !value[2..value.len() - 1].contains(&b'}') || braces(&value[1..])
        }
        (b'{', b'}') => braces(value),
        (b'$', _) => {
            value.len() > 1 && value[1..].iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'_')
        }
        (b'<', b'>') => value.len() <= 40 && !value.iter().any(u8::is_ascii_digit),
        (b'[', b']') => replacement(value) == Some(value.len()) || is_word(&value[1..value.len() - 1]),
        (b'E', b']') => value.starts_with(b"ENC[") && !value[4..value.len() - 1].contains(&b']'),
        (b'*' | b'x' | b'X' | b'.' | b'-' | b'#', _) if value.iter().all(|byte| *byte == first) => true,
        _ => is_word(value),
    }
}

/// `{{ … }}` of templates.
fn braces(value: &[u8]) -> bool {
    value.starts_with(b"{{")
        && value.ends_with(b"}}")
        && value.len() >= 4
        && !value[2..value.len() - 2].contains(&b'}')
}

fn is_word(value: &[u8]) -> bool {
    const WORDS: [&str; 10] =
        ["true", "false", "null", "nil", "none", "undefined", "redacted", "masked", "filtered", "removed"];
    WORDS.iter().any(|word| value.eq_ignore_ascii_case(word.as_bytes()))
}

/// Whether a token, its prefix left out, is one of a manual: it says so, or is one character over and over.
pub(crate) fn is_example(body: &[u8]) -> bool {
    steps::add(body.len().min(LONGEST));
    body.len() <= LONGEST
        && (body.windows(7).any(|window| window == b"EXAMPLE")
            || body.first().is_some_and(|first| body.iter().all(|byte| byte == first)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stand_ins_are_told_from_values() {
        for value in [
            "",
            "  ",
            "***",
            "xxxxxxxx",
            "${DB_PASSWORD}",
            "$DB_PASSWORD",
            "${{ secrets.X }}",
            "{{ .Values.pw }}",
            "<password>",
            "[REDACTED]",
            "[REDACTED:github:0123456789abcdef]",
            "null",
            "None",
            "true",
            "ENC[AES256_GCM,data:aa=,iv:b,tag:c]",
        ] {
            assert!(is_stand_in(value.as_bytes()), "{value}");
        }
        for value in [
            "hunter2",
            "${A}hunter2${B}",
            "$ecret",
            "***hunter2",
            "[hunter2]",
            "<hunter2>",
            "[REDACTED:github:0123456789abcdef]x",
            "ENC[a]hunter2]",
            "{{a}}hunter2{{b}}",
            "-",
            "a",
        ] {
            let one = value.len() == 1 && value != "a";
            assert_eq!(is_stand_in(value.as_bytes()), one, "{value}");
        }
    }
}
