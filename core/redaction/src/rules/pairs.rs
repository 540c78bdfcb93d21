//! Names and values in text: `NAME=value`, `name: value`, `"name": "value"`, `--name value`, and headers.

use super::unquoted::{goes_on, unquoted};
use super::{Found, Rule};
use crate::allow::is_stand_in;
use crate::class::{ALPHANUMERIC, Class, NAME, TOKEN68};
use crate::keys::{Keys, NEUTRAL, is_pagerduty};
use crate::tag::replacement;

/// What every secret name has in it, in any case: each of `keys`' phrases, in every spelling, has one of them (a test holds
/// that). Short, and rare where nothing is secret.
pub(crate) const KEY_STEMS: [&str; 33] = [
    "pass",
    "pwd",
    "secret",
    "token",
    "cookie",
    "redential",
    "uthoriz",
    "_key",
    "-key",
    ".key",
    " key",
    "apikey",
    "esskey",
    "atekey",
    "untkey",
    "ionkey",
    "redkey",
    "ppkey",
    "entkey",
    "terkey",
    "ingkey",
    "n_string",
    "n-string",
    "n.string",
    "n string",
    "nstring",
    "kubec",
    "kube_c",
    "kube-c",
    "kube.c",
    "kube c",
    "ockerconfigjson",
    "ignature=",
];

/// How a word goes on that a stem only begins.
const CONTINUATIONS: [&str; 8] = ["words", "word", "wd", "phrase", "ation", "onfig", "key", "s"];

/// Names before values are no longer than this.
const LONGEST_NAME: usize = 128;
/// Values end here at the latest; what is longer is no value of a pair.
pub(super) const LONGEST: usize = 16 * 1024;
/// In a header it goes to the end of the line or the quotes.
const IN_QUOTES: Class = Class::visible_but(b"\"'\\");

/// The secret in a pair whose name has a stem at `at`, ending at `end`.
pub(crate) fn pair(text: &[u8], at: usize, end: usize, keys: &Keys) -> Option<Found> {
    let start = at - NAME.run_before(text, at, LONGEST_NAME);
    let stop = end + NAME.run(text, end, LONGEST_NAME);
    let (mut name, stop) = match text[end - 1] {
        // The stem has the separator in it.
        b'=' => (&text[start..end - 1], end - 1),
        _ => (&text[start..stop], stop),
    };
    let flag = name.starts_with(b"-");
    while let [b'-' | b'.', rest @ ..] = name {
        name = rest;
    }
    let kind = Kind::of(name, keys)?;
    let value = Value::after(text, stop, flag)?;
    let range = kind.range(text, &value)?;
    let content = &text[range.clone()];
    // What is glued to a replacement was no part of the value when it was masked.
    let masked = replacement(&text[range.start..]).is_some();
    (!content.is_empty() && !masked && !is_stand_in(content)).then_some(Found { rule: kind.rule(), range })
}

/// Whether a stem at `end` of undivided bytes may end a name: a cheap look, which may say yes too often. What follows a
/// name in protobuf is a tag, which can be any letter but most lower-case ones.
pub(crate) fn follows_a_name(bytes: &[u8], at: usize, end: usize) -> bool {
    if end > 0 && bytes[end - 1] == b'=' {
        return true;
    }
    let rest = bytes.get(end..).unwrap_or_default();
    // The rest of a word that was only begun: `pass|word`.
    let more = CONTINUATIONS
        .iter()
        .find(|more| rest.get(..more.len()).is_some_and(|there| there.eq_ignore_ascii_case(more.as_bytes())));
    let rest = &rest[more.map_or(0, |more| more.len())..];
    match rest {
        [] => false,
        // A flag's value, or a word that says nothing; else an equals sign or a colon.
        [b' ' | b'\t', next, ..] => {
            !next.is_ascii_lowercase()
                || NEUTRAL.iter().any(|word| rest[1..].starts_with(word.as_bytes()))
                || bytes[at - NAME.run_before(bytes, at, LONGEST_NAME)..end].contains(&b'-')
        }
        [b'.' | b'-' | b'_', b' ' | b'\n', ..] => false,
        [b'b' | b'h' | b'j' | b'p' | b'r' | b'x' | b'z', ..] => true,
        [next, ..] => !next.is_ascii_lowercase(),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A name that is secret wherever it stands.
    Strong,
    /// A name that prose uses too.
    Weak,
    /// `Authorization` and cookies.
    Header,
    Signature,
    Pagerduty,
}

impl Kind {
    fn of(name: &[u8], keys: &Keys) -> Option<Self> {
        let ends = |ending: &[u8]| {
            name.len() >= ending.len() && name[name.len() - ending.len()..].eq_ignore_ascii_case(ending)
        };
        if ends(b"signature") {
            return Some(Self::Signature);
        }
        if !keys.is_sensitive(name) {
            return is_pagerduty(name).then_some(Self::Pagerduty);
        }
        let weak = [&b"token"[..], b"secret", b"credential", b"credentials", b"pass"]
            .iter()
            .any(|word| name.eq_ignore_ascii_case(word));
        Some(match () {
            () if ends(b"authorization") || ends(b"cookie") => Self::Header,
            () if weak => Self::Weak,
            () => Self::Strong,
        })
    }

    const fn rule(self) -> Rule {
        match self {
            Self::Signature => Rule::Signature,
            Self::Pagerduty => Rule::Pagerduty,
            Self::Strong | Self::Weak | Self::Header => Rule::Pair,
        }
    }

    /// What of the value is secret.
    fn range(self, text: &[u8], value: &Value) -> Option<std::ops::Range<usize>> {
        let content = &text[value.start..value.end];
        match self {
            Self::Strong => {}
            // `token: unexpected end` is prose.
            Self::Weak => {
                let plain = content.len() < 8 || !content.iter().any(u8::is_ascii_digit);
                if value.prose && plain {
                    return None;
                }
            }
            Self::Signature => {
                if content.len() < 20 || value.prose {
                    return None;
                }
            }
            Self::Pagerduty => {
                let end = value.start + 32;
                let alone = ALPHANUMERIC.run(text, value.start, 33) == 32 && !goes_on(text, end);
                return alone.then_some(value.start..end);
            }
            Self::Header => {
                let line = match value.quoted {
                    true => value.end,
                    false => value.start + header_line(&text[value.start..]),
                };
                let line = &text[value.start..line];
                let skip = scheme_of(line);
                let start = value.start + skip;
                let rest = &line[skip..];
                // Behind a scheme there is one token; prose may go on behind it.
                let end = if skip > 0 && !value.quoted { TOKEN68.run(rest, 0, LONGEST) } else { rest.len() };
                return Some(start..start + end);
            }
        }
        Some(value.start..value.end)
    }
}

/// Where a value stands.
struct Value {
    start: usize,
    end: usize,
    quoted: bool,
    /// Behind a colon and without quotes: it may be prose.
    prose: bool,
}

impl Value {
    /// The value after the name that ends at `at`.
    fn after(text: &[u8], at: usize, flag: bool) -> Option<Self> {
        let mut at = skip_quote(text, at).0;
        let spaces = blanks(text, at);
        let mut prose = false;
        match (text.get(at + spaces), text.get(at + spaces + 1)) {
            (Some(b'='), Some(b'>')) | (Some(b':'), Some(b'=')) => at += spaces + 2,
            (Some(b'='), _) => at += spaces + 1,
            (Some(b':'), _) => {
                at += spaces + 1;
                prose = true;
            }
            (Some(b'%'), Some(b'3'))
                if matches!(text.get(at + spaces + 2), Some(b'D' | b'd' | b'A' | b'a')) =>
            {
                at += spaces + 3
            }
            (Some(_), _) if flag && spaces > 0 => at += spaces,
            _ => return None,
        }
        at += blanks(text, at);
        let (start, quote) = skip_quote(text, at);
        let rest = &text[start..];
        let Some((quote, slashes)) = quote else {
            let length = placeholder(rest).unwrap_or_else(|| unquoted(text, start));
            return Some(Self { start, end: start + length, quoted: false, prose });
        };
        let close = rest.iter().take(LONGEST).enumerate().position(|(index, byte)| {
            *byte == quote && rest[..index].iter().rev().take_while(|byte| **byte == b'\\').count() == slashes
        });
        let end = close.map_or(rest.len().min(LONGEST), |close| close - slashes);
        Some(Self { start, end: start + end, quoted: true, prose: false })
    }
}

/// The length of a `${…}`, `{{…}}` or `[…]` that stands here, which may have blanks and delimiters in it.
fn placeholder(rest: &[u8]) -> Option<usize> {
    let close: &[u8] = if rest.starts_with(b"${{") || rest.starts_with(b"{{") {
        b"}}"
    } else if rest.starts_with(b"${") {
        b"}"
    } else if rest.starts_with(b"[") || rest.starts_with(b"ENC[") {
        b"]"
    } else {
        return None;
    };
    let end = rest.iter().take(128).enumerate().position(|(index, _)| rest[index..].starts_with(close))?
        + close.len();
    // What is glued to it is part of the value.
    let alone = !goes_on(rest, end);
    (alone && is_stand_in(&rest[..end])).then_some(end)
}

/// Skips a quote, escaped or not: where what is behind it starts, the quote and the backslashes before it.
fn skip_quote(text: &[u8], at: usize) -> (usize, Option<(u8, usize)>) {
    let slashes = text[at.min(text.len())..].iter().take(8).take_while(|byte| **byte == b'\\').count();
    match text.get(at + slashes) {
        Some(quote @ (b'"' | b'\'' | b'`')) => (at + slashes + 1, Some((*quote, slashes))),
        _ => (at, None),
    }
}

fn blanks(text: &[u8], at: usize) -> usize {
    text[at.min(text.len())..].iter().take(16).take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

/// How long a header's value is: to the end of the line, or to a quote that the whole header stands in.
fn header_line(rest: &[u8]) -> usize {
    let line = rest
        .iter()
        .take(LONGEST)
        .take_while(|byte| IN_QUOTES.has(**byte) || matches!(byte, b' ' | b'\t'))
        .count();
    rest[..line].trim_ascii_end().len()
}

/// The length of the scheme before the credentials, blanks included.
fn scheme_of(value: &[u8]) -> usize {
    const SCHEMES: [&str; 7] = ["bearer", "basic", "token", "apikey", "bot", "digest", "negotiate"];
    let word = value.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let known = SCHEMES.iter().any(|scheme| value[..word].eq_ignore_ascii_case(scheme.as_bytes()));
    let spaces = blanks(value, word);
    if known && spaces > 0 { word + spaces } else { 0 }
}

/// What follows `Bearer ` or `Basic `, which ends at `end`.
pub(super) fn scheme(text: &[u8], end: usize) -> Option<Found> {
    let run = TOKEN68.run(text, end, LONGEST);
    let token = &text[end..end + run];
    let basic = text[..end].ends_with(b"asic ");
    let secret = if basic {
        run >= 8 && crate::base64::decode(token).contains(&b':')
    } else {
        // Words of prose have no digits.
        run >= 16 && token.iter().any(u8::is_ascii_digit)
    };
    secret.then_some(Found { rule: Rule::Bearer, range: end..end + run })
}
