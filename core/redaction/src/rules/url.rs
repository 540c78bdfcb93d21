//! Passwords in URLs and connection strings: what stands between `://` and `@`. RFC 3986, section 3.2.1.

use super::{Found, Rule};
use crate::allow::is_stand_in;
use crate::class::{ALPHANUMERIC, Class};
use crate::tag::replacement;

/// Userinfo does not go on beyond these.
const INSIDE: Class = Class::visible_but(b"\"'`<>\\");
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
        self.advance(text, at);
        let after = text.get(at + 1..).unwrap_or_default();
        if after.starts_with(b"tcp(") || after.starts_with(b"unix(") {
            // Go's DSN for MySQL: `user:password@tcp(host:3306)/db`.
            return self.password(text, self.authority.unwrap_or(self.run), at);
        }
        let host = after.first().is_some_and(|byte| {
            ALPHANUMERIC.has(*byte) || matches!(byte, b'[' | b'$' | b'{' | b'/' | b':' | b'%' | 0x80..)
        });
        self.authority.filter(|_| host).and_then(|start| self.password(text, start, at))
    }

    /// Whether there may be a password in front of the `@` at `at` of undivided bytes.
    pub(crate) fn is_plausible(&mut self, bytes: &[u8], at: usize) -> bool {
        self.advance(bytes, at);
        let after = &bytes[at + 1..];
        self.authority.is_some() || after.starts_with(b"tcp(") || after.starts_with(b"unix(")
    }

    fn advance(&mut self, text: &[u8], at: usize) {
        if at.saturating_sub(self.seen) > REACH {
            (self.seen, self.run, self.authority) = (at - REACH, at - REACH, None);
        }
        for index in self.seen..at {
            if !INSIDE.has(text[index]) {
                (self.run, self.authority) = (index + 1, None);
            } else if text[index] == b'/' && index >= 2 && &text[index - 2..index] == b":/" {
                self.authority = Some(index + 1);
            }
        }
        self.seen = at;
    }

    fn password(&self, text: &[u8], start: usize, at: usize) -> Option<Found> {
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
