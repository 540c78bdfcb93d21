//! Names and values in text: `NAME=value`, `name: value`, `"name": "value"`, `--name value`, and headers.

use std::ops::Range;

use super::names::Name;
use super::unquoted::goes_on;
use super::values::{Shape, Value, Values};
use super::{Found, Rule};
use crate::allow::is_stand_in;
use crate::class::{ALPHANUMERIC, TOKEN68};
use crate::keys::{Keys, is_pagerduty};
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

/// Goes through the stems of a text from front to back. Names and values have no bound, and there can be a stem in every
/// third byte, so each name is judged once, and the end of a value that has stems in it is looked for once.
#[derive(Default)]
pub(crate) struct Pairs {
    /// From the first stem to the end of the name that was judged last.
    judged: Range<usize>,
    values: Values,
}

impl Pairs {
    /// The secret in a pair whose name has a stem at `at`, ending at `end`.
    pub(crate) fn find(
        &mut self,
        text: &[u8],
        at: usize,
        end: usize,
        keys: &Keys,
        is_on: impl Fn(Rule) -> bool,
    ) -> Option<Found> {
        if self.judged.start <= at && end <= self.judged.end {
            return None;
        }
        let name = Name::around(text, at, end);
        self.judged = at..name.end;
        let kind = Kind::of(text, &name, keys).filter(|kind| is_on(kind.rule()))?;
        let value = self.values.after(text, &name, kind != Kind::Pagerduty)?;
        let mut range = kind.range(text, &value, &mut self.values)?;
        if range.is_empty() {
            return None;
        }
        if value.shape != Shape::Quoted && value.shape != Shape::Number {
            range.end = self.end_of_glued(text, range.end);
        }
        if is_stand_in(without_full_stop(&text[range.clone()])) {
            return None;
        }
        let quote = name.quote.filter(|_| matches!(value.shape, Shape::Number | Shape::Composite));
        Some(Found { rule: kind.rule(), range, quote })
    }
}

impl Pairs {
    /// Where that ends which is glued to a value that ends at `end`: masks and what follows them, or what follows a bracket.
    fn end_of_glued(&mut self, text: &[u8], mut end: usize) -> usize {
        while replacement(&text[end..]).is_some()
            || end > 0 && matches!(text[end - 1], b'}' | b']') && goes_on(text, end)
        {
            end = self.values.end_of_secret(text, end);
        }
        end
    }
}

/// A placeholder at the end of a sentence is still one.
fn without_full_stop(value: &[u8]) -> &[u8] {
    match value {
        [rest @ .., b'.' | b':' | b'!' | b'?'] if matches!(rest.last(), Some(b']' | b'}' | b'>')) => rest,
        value => value,
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
    fn of(text: &[u8], name: &Name, keys: &Keys) -> Option<Self> {
        name.readings(text)
            .into_iter()
            .flatten()
            .find_map(|reading| Self::of_words(reading, name.quote.is_some(), keys))
            .or_else(|| name.is_password_of_a_connection(text).then_some(Self::Strong))
    }

    fn of_words(name: &[u8], quoted: bool, keys: &Keys) -> Option<Self> {
        let ends = |ending: &[u8]| {
            name.len() >= ending.len() && name[name.len() - ending.len()..].eq_ignore_ascii_case(ending)
        };
        if ends(b"signature") {
            return Some(Self::Signature);
        }
        if !keys.is_sensitive(name) {
            return is_pagerduty(name).then_some(Self::Pagerduty);
        }
        let is = |word: &&[u8]| name.eq_ignore_ascii_case(word);
        let weak = [&b"token"[..], b"secret", b"pass"].iter().any(is)
            || !quoted && [&b"credential"[..], b"credentials"].iter().any(is);
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
    fn range(self, text: &[u8], value: &Value, values: &mut Values) -> Option<Range<usize>> {
        let length = value.end - value.start;
        match (self, value.shape) {
            (Self::Strong | Self::Header, Shape::Composite)
            | (Self::Strong, Shape::Enclosed)
            | (Self::Strong | Self::Weak, Shape::Template) => return value.composite(text),
            (_, Shape::Composite) => return None,
            (Self::Strong | Self::Weak, Shape::Quoted) | (Self::Header, Shape::Number) => {}
            (Self::Strong, _) => {}
            // `token: unexpected end` is prose.
            (Self::Weak, _) => {
                if value.prose && (length < 8 || !values.has_digit(text, value)) {
                    return None;
                }
            }
            (Self::Signature, _) => {
                if length < 20 || value.prose {
                    return None;
                }
            }
            (Self::Pagerduty, _) => {
                let alone = ALPHANUMERIC.run(text, value.start, 33) == 32 && !goes_on(text, value.start + 32);
                return alone.then_some(value.start..value.start + 32);
            }
            (Self::Header, _) => {
                let quoted = value.shape == Shape::Quoted;
                let end = if quoted { value.end } else { values.line_end(text, value.start) };
                let start = value.start + scheme_of(&text[value.start..end]);
                if value.shape == Shape::Template {
                    let template = value.composite(text)?;
                    return Some(start..template.end.max(end));
                }
                // Behind a scheme there is one token; prose may go on behind it.
                let one = start > value.start && !quoted;
                return Some(start..if one { values.end_of_secret(text, start) } else { end });
            }
        }
        Some(value.start..value.end)
    }
}

/// The length of the scheme before the credentials, blanks included.
fn scheme_of(value: &[u8]) -> usize {
    const SCHEMES: [&str; 7] = ["bearer", "basic", "token", "apikey", "bot", "digest", "negotiate"];
    let word = value.iter().take(16).take_while(|byte| byte.is_ascii_alphabetic()).count();
    let known = SCHEMES.iter().any(|scheme| value[..word].eq_ignore_ascii_case(scheme.as_bytes()));
    let spaces = super::values::blanks(value, word);
    if known && spaces > 0 { word + spaces } else { 0 }
}

/// What follows `Bearer ` or `Basic `, which ends at `end`.
pub(super) fn scheme(text: &[u8], end: usize) -> Option<Found> {
    let run = TOKEN68.run_spelled(text, end, usize::MAX);
    let token = &text[end..end + run];
    let basic = text[..end].ends_with(b"asic ");
    let secret = if basic {
        run >= 8 && crate::base64::decode(token).contains(&b':')
    } else {
        // Words of prose have no digits.
        run >= 16 && token.iter().any(u8::is_ascii_digit)
    };
    secret.then(|| Found::new(Rule::Bearer, end..end + run))
}
