//! Text that is JSON stays JSON: what is masked in it stays inside its strings.

use std::ops::Range;

use throughline_otlp::steps;

use crate::allow::is_stand_in;
use crate::rules::Found;

/// What JSON consists of, as far as masking needs to know.
struct Token {
    kind: Kind,
    /// Of a string, what is between its quotes.
    range: Range<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Name,
    Number,
    Word,
    /// `{`, `}`, `[`, `]`, `:` or `,`.
    Mark(u8),
}

/// What is found in JSON, or in several JSON values one behind the other, cut to what of it is in strings and numbers: names that are
/// found together with their values stay. `None` if the text is no JSON, which is asked only if anything was found.
pub(crate) fn inside_strings(text: &[u8], found: &[Found]) -> Option<Vec<Found>> {
    let first = text.iter().find(|byte| !byte.is_ascii_whitespace())?;
    if found.is_empty() || !matches!(first, b'{' | b'[' | b'"') {
        return None;
    }
    // Twice, so that not all tokens have to be kept: there may be one in every other byte.
    each_token(text, &mut |_| {})?;
    let (mut inside, mut next) = (Vec::with_capacity(found.len()), 0);
    each_token(text, &mut |token| {
        while let Some(secret) = found.get(next).filter(|secret| secret.range.start < token.range.end) {
            steps::add(1);
            if token.range.start < secret.range.end {
                inside.extend(part(text, secret, &token));
            }
            if secret.range.end > token.range.end {
                break;
            }
            next += 1;
        }
    })?;
    Some(inside)
}

/// The part of a secret that is in a token.
fn part(text: &[u8], secret: &Found, token: &Token) -> Option<Found> {
    let (all, cut) = (token.range.clone(), &secret.range);
    let whole = cut.start <= all.start && all.end <= cut.end;
    let beyond = cut.start < all.start || all.end < cut.end;
    match token.kind {
        Kind::Number => Some(Found { quote: Some((b'"', 0)), range: all, ..*secret }),
        Kind::Name if whole && beyond => None,
        Kind::Name | Kind::Text => {
            if whole && beyond && is_stand_in(&text[all.clone()]) {
                return None;
            }
            let start = escape_around(text, &all, cut.start.max(all.start)).start;
            let end = escape_around(text, &all, cut.end.min(all.end)).end;
            (start < end).then(|| Found {
                quote: secret.quote.filter(|_| !beyond),
                range: start..end,
                ..*secret
            })
        }
        Kind::Word | Kind::Mark(_) => None,
    }
}

/// The escape that `at` is inside of, or nothing at `at`.
fn escape_around(text: &[u8], string: &Range<usize>, at: usize) -> Range<usize> {
    // An escape is as long as `\u0000` at most.
    for start in (at.saturating_sub(5).max(string.start)..at).filter(|start| text[*start] == b'\\') {
        let before = text[string.start..start].iter().rev().take_while(|byte| **byte == b'\\').count();
        steps::add(before + 1);
        let length = if text.get(start + 1) == Some(&b'u') { 6 } else { 2 };
        if before % 2 == 0 && start + length > at {
            return start..start + length;
        }
    }
    at..at
}

/// Gives the tokens of JSON values one behind the other to `on`, but for marks; `None` if the text is anything else. RFC 8259.
fn each_token(text: &[u8], on: &mut dyn FnMut(Token)) -> Option<()> {
    steps::add(text.len());
    let (mut open, mut at) = (Vec::new(), 0);
    // What may stand here: a value, a name, or what follows a value.
    let mut state = State::Value;
    while let Some(&byte) = text.get(at) {
        if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            at += 1;
            continue;
        }
        let (kind, range, end) = match byte {
            b'"' => {
                let end = string(text, at + 1)?;
                let kind =
                    if matches!(state, State::Name | State::FirstName) { Kind::Name } else { Kind::Text };
                (kind, at + 1..end, end + 1)
            }
            b'{' | b'}' | b'[' | b']' | b':' | b',' => (Kind::Mark(byte), at..at + 1, at + 1),
            b'-' | b'0'..=b'9' => {
                let end = number(text, at)?;
                (Kind::Number, at..end, end)
            }
            _ => {
                let word =
                    ["true", "false", "null"].iter().find(|word| text[at..].starts_with(word.as_bytes()))?;
                (Kind::Word, at..at + word.len(), at + word.len())
            }
        };
        state = state.then(kind, &mut open)?;
        if !matches!(kind, Kind::Mark(_)) {
            on(Token { kind, range });
        }
        at = end;
    }
    (open.is_empty() && state == State::End).then_some(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Value,
    FirstValue,
    Name,
    FirstName,
    Colon,
    /// Behind a value.
    End,
}

impl State {
    /// The state behind this token; `open` are the objects (`true`) and arrays around it.
    fn then(self, kind: Kind, open: &mut Vec<bool>) -> Option<Self> {
        let top = open.last().copied();
        let values = matches!(self, Self::Value | Self::FirstValue) || self == Self::End && top.is_none();
        Some(match (self, kind) {
            (Self::Name | Self::FirstName, Kind::Name) => Self::Colon,
            (Self::Colon, Kind::Mark(b':')) => Self::Value,
            (Self::FirstName, Kind::Mark(b'}')) | (Self::FirstValue, Kind::Mark(b']')) => {
                open.pop();
                Self::End
            }
            (Self::End, Kind::Mark(b'}')) if top == Some(true) => {
                open.pop();
                Self::End
            }
            (Self::End, Kind::Mark(b']')) if top == Some(false) => {
                open.pop();
                Self::End
            }
            (Self::End, Kind::Mark(b',')) => {
                if top? {
                    Self::Name
                } else {
                    Self::Value
                }
            }
            (_, Kind::Mark(b'{')) if values => {
                open.push(true);
                Self::FirstName
            }
            (_, Kind::Mark(b'[')) if values => {
                open.push(false);
                Self::FirstValue
            }
            (_, Kind::Text | Kind::Number | Kind::Word) if values => Self::End,
            _ => return None,
        })
    }
}

/// Where the string that starts at `start` has its closing quote.
fn string(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        match *text.get(at)? {
            b'"' => return Some(at),
            b'\\' => {
                at += match *text.get(at + 1)? {
                    b'u' => {
                        crate::escape::unicode(&text[at + 2..])?;
                        6
                    }
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
                    _ => return None,
                }
            }
            0..0x20 => return None,
            _ => at += 1,
        }
    }
}

/// Where the number that starts at `start` ends.
fn number(text: &[u8], start: usize) -> Option<usize> {
    let digits =
        |at: usize| text[at.min(text.len())..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = start + usize::from(text[start] == b'-');
    let whole = digits(at);
    if whole == 0 || whole > 1 && text[at] == b'0' {
        return None;
    }
    at += whole;
    if text.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        at += 1 + fraction;
        if fraction == 0 {
            return None;
        }
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1;
        at += usize::from(matches!(text.get(at), Some(b'+' | b'-')));
        let exponent = digits(at);
        at += exponent;
        if exponent == 0 {
            return None;
        }
    }
    Some(at)
}
