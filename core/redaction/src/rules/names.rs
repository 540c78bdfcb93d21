//! Names in text: where they begin and end, and what they may be once escapes are taken off.

use crate::class::{BACKSLASH, NAME};
use crate::escape;
use crate::keys::NEUTRAL;

/// Of a name that is longer, this much of its end is looked at.
const LONGEST: usize = 256;

/// More backslashes before a quote than this are not looked at: they double with each text in another.
const DEEPEST: usize = 128;

/// How a word goes on that a stem only begins.
const CONTINUATIONS: [&str; 8] = ["words", "word", "wd", "phrase", "ation", "onfig", "key", "s"];

/// A quote: the mark, and the backslashes before it where text is quoted in other text.
pub(crate) type Quote = (u8, usize);

/// A name in front of a value.
pub(super) struct Name {
    pub(super) start: usize,
    /// Where it starts if what stands there is the rest of an escape.
    unescaped: usize,
    pub(super) end: usize,
    /// The quote that it ends with.
    pub(super) quote: Option<Quote>,
    /// Where it ends, its quote included.
    pub(super) behind: usize,
    /// Whether it is a flag of a command.
    pub(super) flag: bool,
}

impl Name {
    /// The name with a stem at `at` that ends at `end`.
    pub(super) fn around(text: &[u8], at: usize, end: usize) -> Self {
        // The separator may be part of the stem.
        let end = if text[end - 1] == b'=' { end - 1 } else { end + NAME.run(text, end, usize::MAX) };
        let start = (at - NAME.run_before(text, at, LONGEST)).max(end.saturating_sub(LONGEST).min(at));
        let unescaped = (start + escape::rest(text, start)).min(end);
        let flag = text[start] == b'-' || text.get(unescaped) == Some(&b'-');
        let quote = quote(text, end);
        let (behind, quote) = quote.map_or((end, None), |(behind, quote)| (behind, Some(quote)));
        Self { start, unescaped, end, quote, behind, flag }
    }

    /// What it may be: without the rest of an escape that stands before it, and as it stands there.
    pub(super) fn readings<'t>(&self, text: &'t [u8]) -> [Option<&'t [u8]>; 2] {
        let from = |start: usize| {
            let lead = text[start..self.end].iter().take_while(|byte| matches!(byte, b'-' | b'.')).count();
            &text[start + lead..self.end]
        };
        let unescaped = (self.unescaped > self.start).then(|| from(self.unescaped));
        // The shell's working directory is what it is, whatever it is glued to.
        if unescaped.is_some_and(is_directory) {
            [unescaped, None]
        } else {
            [unescaped, Some(from(self.start))]
        }
    }

    /// Whether it is `PWD`, which is a password in a connection string (`Server=…;PWD=…`) and a directory in a shell. A shell's
    /// is a path, and in no list with a server or a user.
    pub(super) fn is_password_of_a_connection(&self, text: &[u8]) -> bool {
        let is_pwd = self.readings(text).into_iter().flatten().any(|name| name == b"PWD");
        if !is_pwd {
            return false;
        }
        // `PWD=…`, `PWD = …`, `"PWD": "…"`.
        let name_ends = without_quote(&text[self.end..]);
        let [b'=' | b':', value @ ..] = without_spaces(name_ends) else { return false };
        let value = without_quote(without_spaces(value));
        let path = match value {
            [b'/' | b'~' | b'\\' | b'$' | b'.' | b'"' | b'\'', ..] | [] => true,
            [drive, b':', b'\\' | b'/', ..] => drive.is_ascii_alphabetic(),
            _ => false,
        };
        !path || is_of_a_connection(text, self.start.max(self.unescaped), self.end)
    }
}

fn without_quote(text: &[u8]) -> &[u8] {
    match text {
        [b'"' | b'\'', rest @ ..] => rest,
        text => text,
    }
}

/// A few of them: a list that is laid out in columns is none of pairs.
fn without_spaces(text: &[u8]) -> &[u8] {
    let spaces = text.iter().take(4).take_while(|byte| **byte == b' ').count();
    &text[spaces..]
}

/// The shell's working directories: no secrets by their name alone.
pub(crate) fn is_directory(name: &[u8]) -> bool {
    matches!(name, b"PWD" | b"OLDPWD")
}

/// Whether the pair in front of the name, or behind its value, is one of a connection string.
fn is_of_a_connection(text: &[u8], start: usize, end: usize) -> bool {
    const KEYS: [&str; 13] = [
        "server",
        "data source",
        "datasource",
        "host",
        "address",
        "addr",
        "uid",
        "user id",
        "user",
        "username",
        "database",
        "initial catalog",
        "driver",
    ];
    let is_key = |pair: &[u8]| {
        let key = pair.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
        KEYS.iter().any(|known| key.eq_ignore_ascii_case(known.as_bytes()))
    };
    let before = text[start.saturating_sub(LONGEST)..start].trim_ascii_end();
    let ends = |byte: &u8| matches!(byte, b';' | b'"' | b'\'' | b'\n');
    let before = before.strip_suffix(b";").and_then(|pairs| pairs.rsplit(ends).next());
    let after = text[end..].iter().take(LONGEST).position(|byte| *byte == b';').map(|at| end + at + 1);
    let after = after.map(|at| &text[at..text.len().min(at + 32)]);
    before.is_some_and(is_key) || after.is_some_and(is_key)
}

/// The quote at `at`, escaped or not, and where what is behind it starts.
pub(super) fn quote(text: &[u8], at: usize) -> Option<(usize, Quote)> {
    let slashes = BACKSLASH.run(text, at, DEEPEST);
    // Text in text in text has 1, 3, 7 … of them; few others, so that few quotes can be open at a time.
    let some = slashes <= 8 || (slashes + 1).is_power_of_two();
    match text.get(at + slashes) {
        Some(mark @ (b'"' | b'\'' | b'`')) if some => Some((at + slashes + 1, (*mark, slashes))),
        _ => None,
    }
}

/// Whether a stem at `end` of undivided bytes may end a name: a cheap look, which may say yes too often. What follows a
/// name in protobuf is a tag, which can be any letter but most lower-case ones.
pub(super) fn follows_a_name(bytes: &[u8], at: usize, end: usize) -> bool {
    if end > 0 && bytes[end - 1] == b'=' {
        return true;
    }
    let rest = bytes.get(end..).unwrap_or_default();
    // The rest of a word that was only begun: `pass|word`.
    let more = CONTINUATIONS
        .iter()
        .find(|more| rest.get(..more.len()).is_some_and(|there| there.eq_ignore_ascii_case(more.as_bytes())));
    let rest = &rest[more.map_or(0, |more| more.len())..];
    let is_flag = || bytes[at - NAME.run_before(bytes, at, LONGEST)..end].contains(&b'-');
    let is_neutral = |rest: &[u8]| {
        let begins = |word: &&str| {
            rest.get(..word.len()).is_some_and(|there| there.eq_ignore_ascii_case(word.as_bytes()))
        };
        NEUTRAL.iter().any(begins)
    };
    match rest {
        [] => false,
        // A flag's value, or a word that says nothing; else an equals sign or a colon.
        [b' ' | b'\t', next, ..] => !next.is_ascii_lowercase() || is_neutral(&rest[1..]) || is_flag(),
        // The end of a sentence, most likely.
        [b'.' | b'-' | b'_', b'\n', ..] | [b'.' | b'-' | b'_', b' '] => false,
        [b'.' | b'-' | b'_', b' ', next, ..] => {
            !next.is_ascii_alphabetic() || is_neutral(&rest[2..]) || is_flag()
        }
        [b'b' | b'h' | b'j' | b'p' | b'r' | b'x' | b'z', ..] => true,
        [next, ..] => !next.is_ascii_lowercase(),
    }
}
