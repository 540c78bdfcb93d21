//! Passwords in URLs and connection strings: what stands between `://` and `@`. RFC 3986, section 3.2.1.

use super::{Found, Rule};
use crate::allow::is_stand_in;
use crate::class::{ALPHANUMERIC, Class};
use crate::tag::replacement;

/// Userinfo does not go on beyond these.
const INSIDE: Class = Class::visible_but(b"\"'`<>\\");
/// What a host starts with: names, addresses in brackets, placeholders, escapes, and nothing at all.
const HOST: Class = Class::alphanumeric_and(b"[${/:%_-.");
/// How far before the `@` it may start.
const REACH: usize = 512;
/// A lone name this long is a token.
const TOKEN: usize = 20;

/// Goes through the `@`s of a text from front to back. Looks at no byte twice, whatever the text.
#[derive(Default)]
pub(crate) struct Userinfo {
    seen: usize,
    /// Where the innermost run of visible characters starts, and the authority in it.
    run: usize,
    authority: Option<usize>,
}

impl Userinfo {
    /// The password in front of the `@` at `at`.
    pub(crate) fn find(&mut self, text: &[u8], at: usize) -> Option<Found> {
        password(text, self.start(text, at)?, at)
    }

    /// Whether there may be a password in front of the `@` at `at` of undivided bytes.
    pub(crate) fn is_plausible(&mut self, bytes: &[u8], at: usize) -> bool {
        self.start(bytes, at).is_some()
    }

    /// Where the userinfo in front of the `@` starts.
    fn start(&mut self, text: &[u8], at: usize) -> Option<usize> {
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
        let mut from = self.seen;
        if at - from > REACH {
            from = at - REACH;
            (self.run, self.authority) = (from, None);
        }
        if let Some(outside) = text[from..at].iter().rposition(|byte| !INSIDE.has(*byte)) {
            from += outside + 1;
            (self.run, self.authority) = (from, None);
        }
        for index in from.max(self.run + 2)..at {
            if text[index] == b'/' && &text[index - 2..index] == b":/" {
                self.authority = Some(index + 1);
            }
        }
        self.seen = at;
    }
}

fn password(text: &[u8], start: usize, at: usize) -> Option<Found> {
    let userinfo = text.get(start..at)?;
    let Some(colon) = colon(userinfo) else {
        return lone(userinfo, start);
    };
    let (user, password) = (&userinfo[..colon], &userinfo[colon + 1..]);
    // `host:8080/path?mail=a@b` is no password, and neither is `host/a:b@c`.
    let port = password.split(|byte| matches!(byte, b'/' | b'?' | b'#')).next().unwrap_or_default();
    let no_port = port.len() == password.len() || !port.iter().all(u8::is_ascii_digit);
    let fine = no_port
        && !user.iter().any(|byte| matches!(byte, b'/' | b'?' | b'#'))
        && !is_stand_in(password)
        && replacement(password).is_none();
    fine.then_some(Found { rule: Rule::Userinfo, range: start + colon + 1..at })
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
    (hex || token).then_some(Found { rule, range: start..start + user.len() })
}
