//! Names in text: where they begin and end, and what they may be once escapes are taken off.

use throughline_otlp::steps;

use super::unquoted::begins;
use crate::class::{BACKSLASH, Class, NAME};
use crate::escape;
use crate::keys::NEUTRAL;

/// Of what stands before the stem of a name, this much is looked at.
const LONGEST: usize = 256;

/// More levels of text in text are not told apart.
const DEEPEST: usize = 127;

/// How a word goes on that a stem only begins.
const CONTINUATIONS: [&str; 8] = ["words", "word", "wd", "phrase", "ation", "onfig", "key", "s"];

const DIGITS: Class = Class::of(b"0123456789");
const BLANK: Class = Class::of(b" \t");
/// What names of variables are made of, but for digits.
const CAPITALS_OF_NAMES: Class = Class::of(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ_");

/// A quote: the mark, and the backslashes before it where text is quoted in other text.
pub(crate) type Quote = (u8, usize);

/// A name in front of a value.
pub(super) struct Name {
    pub(super) start: usize,
    /// Whether more of it stands before its start than was looked at.
    cut: bool,
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
        let start = at - NAME.run_before(text, at, LONGEST);
        let cut = at - start == LONGEST;
        // Of an escape that is cut the last digits are left: `%25…2526`.
        let escaped = if cut { DIGITS.run(text, start, LONGEST) } else { escape::rest(text, start) };
        let unescaped = (start + escaped).min(end);
        // How a name begins that is too long to tell is no reason to leave its value.
        let flag = cut || text[start] == b'-' || text.get(unescaped) == Some(&b'-');
        let quote = quote(text, end);
        let (behind, quote) = quote.map_or((end, None), |(behind, quote)| (behind, Some(quote)));
        Self { start, cut, unescaped, end, quote, behind, flag }
    }

    /// What it may be: without the rest of an escape that stands before it, and as it stands there.
    pub(super) fn readings<'t>(&self, text: &'t [u8]) -> [Option<&'t [u8]>; 2] {
        let from = |start: usize| {
            let lead = text[start..self.end].iter().take_while(|byte| matches!(byte, b'-' | b'.')).count();
            &text[start + if self.cut { 0 } else { lead }..self.end]
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
        let [b'=' | b':', value @ ..] = without_blanks(name_ends) else { return false };
        let path = is_path(without_quote(without_blanks(value)));
        !path || is_of_a_connection(text, self.start.max(self.unescaped), self.end)
    }
}

/// Whether this begins like a path: `/home`, `~/x`, `./x`, `$HOME`, `C:\\x`.
fn is_path(value: &[u8]) -> bool {
    match value {
        [b'/' | b'~' | b'\\' | b'"' | b'\'', ..] | [] | [b'.'] => true,
        [b'.', rest @ ..] => match rest.strip_prefix(b".").unwrap_or(rest) {
            [] => true,
            [next, ..] => !next.is_ascii_alphanumeric(),
        },
        [b'$', b'(', ..] => true,
        [b'$', b'{', ..] => begins(value, 0) > 0,
        [b'$', rest @ ..] => {
            let variable = CAPITALS_OF_NAMES.run(rest, 0, usize::MAX);
            variable > 0 && !rest.get(variable).is_some_and(u8::is_ascii_alphanumeric)
        }
        [drive, b':', b'\\' | b'/', ..] => drive.is_ascii_alphabetic(),
        _ => false,
    }
}

fn without_quote(text: &[u8]) -> &[u8] {
    match text {
        [b'"' | b'\'', rest @ ..] => rest,
        text => text,
    }
}

fn without_blanks(text: &[u8]) -> &[u8] {
    &text[BLANK.run(text, 0, usize::MAX)..]
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
    // A pair goes back to the one in front of it: no two share a byte.
    let ends = |byte: &u8| matches!(byte, b';' | b'"' | b'\'' | b'\n');
    let before =
        text[..start].trim_ascii_end().strip_suffix(b";").and_then(|pairs| pairs.rsplit(ends).next());
    steps::add(before.map_or(0, <[u8]>::len));
    let behind = &text[end..text.len().min(end + LONGEST)];
    let after = behind.iter().position(|byte| *byte == b';').map(|at| end + at + 1);
    let after = after.map(|at| &text[at..text.len().min(at + 32)]);
    // What goes on for longer without a break is no path that anybody works in.
    let endless = behind.len() == LONGEST && !behind.iter().any(|byte| ends(byte) || *byte == b' ');
    before.is_some_and(is_key) || after.is_some_and(is_key) || endless
}

/// The quote at `at`, escaped or not, and where what is behind it starts.
pub(super) fn quote(text: &[u8], at: usize) -> Option<(usize, Quote)> {
    let slashes = BACKSLASH.run(text, at, usize::MAX);
    let mark = text.get(at + slashes).filter(|mark| matches!(mark, b'"' | b'\'' | b'`'))?;
    // Text in text in text has 1, 3, 7 … of them. Any other number counts as the next below that is one.
    let level = if slashes <= 8 { slashes } else { ((slashes + 2).next_power_of_two() / 2 - 1).min(DEEPEST) };
    Some((at + slashes + 1, (*mark, level)))
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
    let is_flag = || {
        let before = NAME.run_before(bytes, at, LONGEST);
        before == LONGEST || bytes[at - before..end].contains(&b'-')
    };
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
