//! What is no secret though it stands where one would. It exempts the span found, never the text around it.

use throughline_otlp::steps;

use crate::tag::replacement;

/// Placeholders and examples are short: what is longer is a secret. Else a text of nothing but their beginnings would take forever.
pub(crate) const LONGEST: usize = 256;

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
            value.starts_with(b"${") && is_variable(&value[2..value.len() - 1]) || is_template(&value[1..])
        }
        (b'{', b'}') => is_template(value),
        (b'$', _) => {
            value.len() > 1 && value[1..].iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'_')
        }
        (b'<', b'>') => {
            value.len() <= 40
                && !value[1..value.len() - 1]
                    .iter()
                    .any(|byte| byte.is_ascii_digit() || matches!(byte, b'<' | b'>'))
        }
        (b'[', b']') => replacement(value) == Some(value.len()) || is_word(&value[1..value.len() - 1]),
        (b'E', b']') => is_encrypted(&value[..value.len() - 1]),
        (b'*' | b'x' | b'X' | b'.' | b'-' | b'#', _) if value.iter().all(|byte| *byte == first) => true,
        _ => is_word(value),
    }
}

/// The inside of `${NAME}`, `${env:NAME}` or `${file:/path}`. With a default it is none: `${NAME:-hunter2}`.
fn is_variable(inside: &[u8]) -> bool {
    if let Some(path) = inside.strip_prefix(b"file:/") {
        return path.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(byte));
    }
    is_reference(inside.strip_prefix(b"env:").unwrap_or(inside))
}

/// `{{ … }}` of templates, if it only refers to something: `.Values.password | quote`, without text, numbers or arguments.
fn is_template(value: &[u8]) -> bool {
    let inside = value.strip_prefix(b"{{").and_then(|value| value.strip_suffix(b"}}"));
    let Some(inside) = inside else { return false };
    let inside = inside.strip_prefix(b"-").unwrap_or(inside);
    let inside = inside.strip_suffix(b"-").unwrap_or(inside);
    inside.split(|byte| *byte == b'|').all(|part| {
        let part = part.trim_ascii();
        let part = part.strip_prefix(b"$").unwrap_or(part);
        is_reference(part.strip_prefix(b".").unwrap_or(part))
    })
}

/// Names with dots between them.
fn is_reference(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'.').all(|name| {
        name.first().is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_')
            && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
    })
}

/// What SOPS writes: `ENC[AES256_GCM,data:…,iv:…,tag:…`.
fn is_encrypted(value: &[u8]) -> bool {
    let Some(fields) = value.strip_prefix(b"ENC[AES256_GCM,") else { return false };
    let mut fields = fields.split(|byte| *byte == b',');
    let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    ["data:", "iv:", "tag:"].iter().all(|name| {
        fields
            .next()
            .and_then(|field| field.strip_prefix(name.as_bytes()))
            .is_some_and(|data| data.iter().all(base64))
    }) && fields
        .all(|field| field.strip_prefix(b"type:").is_some_and(|name| name.iter().all(u8::is_ascii_lowercase)))
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
            "${env:DB_PASSWORD}",
            "${file:/run/secrets/db-password}",
            "${spring.datasource.password}",
            "${{ secrets.X }}",
            "{{ .Values.pw }}",
            "{{- $.Values.pw | quote -}}",
            "{{pw}}",
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
            "<x>hunter<y>",
            "${A}hunter${B}",
            "${A:-hunter}",
            "${A-hunter}",
            "${A:=hunter}",
            "${A=hunter}",
            "${A:+hunter}",
            "${A:?hunter}",
            "${A:hunter}",
            "${env:A:-hunter}",
            "${env:A-hunter}",
            "${}",
            "{{ \"hunter\" }}",
            "{{ 'hunter' }}",
            "{{ x | default \"hunter\" }}",
            "{{ x | default hunter }}",
            "${{ 'hunter' }}",
            "${{ secrets.A || 'hunter' }}",
            "{{}}",
            "ENC[hunter]",
            "ENC[AES256_GCM,hunter]",
            "ENC[AES256_GCM,data:x,iv:y,tag:z,hunter]",
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
