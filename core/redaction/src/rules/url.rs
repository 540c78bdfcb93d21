//! Passwords in URLs and connection strings: what stands between `://` and `@`. RFC 3986, section 3.2.1.

use throughline_otlp::steps;

use super::{Found, Rule};
use crate::allow::is_stand_in;
use crate::class::{ALPHANUMERIC, Class};
use crate::escape;
use crate::tag::replacement;

/// Userinfo does not go on beyond these.
const INSIDE: Class = Class::visible_but(b"\"'`");
/// What a host starts with: names in any script, addresses in brackets, placeholders, escapes, and nothing at all.
const HOST: Class = Class::visible_but(b"\"'`>)}],;@&=");
/// A lone name this long is a token.
const TOKEN: usize = 20;

/// All passwords in a text.
pub(crate) fn passwords(text: &[u8], found: &mut Vec<Found>) {
    let mut userinfo = Userinfo::default();
    // The `@`s behind one start: the userinfo may go to any of them.
    let (mut start, mut ats) = (0, Vec::new());
    for at in memchr::memchr_iter(b'@', text) {
        let Some(from) = userinfo.start(text, at) else { continue };
        if from != start {
            password(text, start, &ats, found);
            start = from;
            ats.clear();
        }
        ats.push(at);
    }
    password(text, start, &ats, found);
}

/// Goes through the `@`s of a text from front to back. Looks at no byte twice, whatever the text.
#[derive(Default)]
pub(crate) struct Userinfo {
    seen: usize,
    /// Where the innermost run of visible characters starts, and the authority in it.
    run: usize,
    authority: Option<usize>,
}

impl Userinfo {
    /// Where the userinfo in front of the `@` at `at` starts, if there may be one. In undivided bytes there is one wherever there is
    /// one in any part of them.
    pub(crate) fn start(&mut self, text: &[u8], at: usize) -> Option<usize> {
        // Most bytes that happen to be an `@` are told by their neighbours.
        let after = text.get(at + 1..).unwrap_or_default();
        if !HOST.has(*after.first()?) || at == 0 || !INSIDE.has(text[at - 1]) {
            return None;
        }
        self.advance(text, at);
        // Go's DSN for MySQL: `user:password@tcp(host:3306)/db`.
        let dsn = after.starts_with(b"tcp(") || after.starts_with(b"unix(");
        self.authority.or(dsn.then_some(self.run))
    }

    fn advance(&mut self, text: &[u8], at: usize) {
        let seen = self.seen;
        let outside = (seen..at).rev().find_map(|index| end_of_outside(text, index, at));
        if let Some(end) = outside {
            (self.run, self.authority) = (end, None);
        }
        let from = seen.max(self.run);
        steps::add(at - from + 1);
        for slash in (from..at).rev().filter(|index| text[*index] == b'/') {
            if follows_a_scheme(&text[self.run..slash]) {
                self.authority = Some(slash + 1);
                break;
            }
        }
        self.seen = at;
    }
}

/// Where what cannot be in a userinfo ends, if the byte at `index` is that, or begins the escape of it.
#[inline]
fn end_of_outside(text: &[u8], index: usize, at: usize) -> Option<usize> {
    let byte = text[index];
    // A placeholder is part of it, the end of an element is not.
    if !INSIDE.has(byte) || byte == b'<' && matches!(text[index + 1], b'/' | b'!') {
        return Some(index + 1);
    }
    if !matches!(byte, b'n' | b'r' | b't' | b'u') || index == 0 || text[index - 1] != b'\\' {
        return None;
    }
    if byte != b'u' {
        return Some(index + 1);
    }
    let spelled = escape::unicode(&text[index + 1..at])?;
    let outside = u8::try_from(spelled).is_ok_and(|byte| byte != b'\\' && !INSIDE.has(byte));
    outside.then_some(index + 5)
}

/// Whether this ends in `:/`, or in that as JSON may spell it: `:\/\`, with any number of backslashes.
fn follows_a_scheme(before: &[u8]) -> bool {
    let without_escape = |bytes: &[u8]| {
        let slashes = bytes.iter().rev().take_while(|byte| **byte == b'\\').count();
        steps::add(slashes + 1);
        bytes.len() - slashes
    };
    let before = &before[..without_escape(before)];
    let Some(before) = before.strip_suffix(b"/") else { return false };
    before[..without_escape(before)].ends_with(b":")
}

/// What is secret in the userinfo from `start` to one of `ats`: as much as may be.
fn password(text: &[u8], start: usize, ats: &[usize], found: &mut Vec<Found>) {
    let (Some(&first), Some(&last)) = (ats.first(), ats.last()) else { return };
    steps::add(last - start);
    found.extend(lone(&text[start..first], start));
    let Some(colon) = colon(&text[start..last]).map(|colon| start + colon) else { return };
    let delimits = |byte: &u8| matches!(byte, b'/' | b'?' | b'#');
    // `host/a:b@c` is no password.
    if text[start..colon].iter().any(delimits) {
        return;
    }
    // `host:8080/path?mail=a@b` is none either.
    let port = text[colon + 1..last].iter().position(delimits).map_or(last, |length| colon + 1 + length);
    let is_port = text[colon + 1..port].iter().all(|byte| byte.is_ascii_digit() || *byte == b'\\');
    let end = ats.iter().rev().copied().take_while(|at| *at > colon).find(|at| {
        steps::add(1);
        (*at <= port || !is_port) && !is_stand_in(&text[colon + 1..*at])
    });
    found.extend(end.map(|end| Found::new(Rule::Userinfo, colon + 1..end)));
}

/// The first colon that is not inside a replacement.
fn colon(userinfo: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match userinfo.get(at)? {
            b':' => return Some(at),
            b'[' => at += replacement(&userinfo[at..]).unwrap_or(1),
            _ => at += 1,
        }
    }
}

/// Userinfo without a password: a token if it looks like one, as in a Sentry DSN.
fn lone(user: &[u8], start: usize) -> Option<Found> {
    let hex = user.len() == 32 && user.iter().all(u8::is_ascii_hexdigit);
    let token = user.len() >= TOKEN
        && user.iter().all(|byte| ALPHANUMERIC.has(*byte) || *byte == b'_')
        && user.iter().any(u8::is_ascii_digit);
    let rule = if hex { Rule::Sentry } else { Rule::Userinfo };
    (hex || token).then(|| Found::new(rule, start..start + user.len()))
}
