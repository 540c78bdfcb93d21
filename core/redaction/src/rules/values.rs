//! Values in text: where they begin and end behind a name.

use std::ops::Range;

use throughline_otlp::steps;

use super::names::{Name, Quote, quote};
use super::unquoted::{begins, goes_on, spells_an_end, unquoted};
use crate::class::{BACKSLASH, Class, NUMBER};
use crate::escape;

/// In a header a value goes to the end of the line or the quotes.
const IN_LINE: Class = Class::visible_but(b"\"'\\");
const BLANK: Class = Class::of(b" \t");
const SPACE: Class = Class::of(b" \t\r\n");

/// How a value stands there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Up to the first delimiter.
    Unquoted,
    /// In quotes.
    Quoted,
    /// A JSON number.
    Number,
    /// A JSON object or array, whose end is not known yet.
    Composite,
    /// Unquoted, and begins with a bracket, as objects and lists do where names have no quotes.
    Enclosed,
    /// `${…}` or `{{…}}` that does not only refer to something: there is text in it.
    Template,
}

/// Where a value stands.
pub(super) struct Value {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) shape: Shape,
    /// Behind a colon and without quotes: it may be prose.
    pub(super) prose: bool,
    /// The quotes of its name.
    quote: Quote,
}

impl Value {
    /// All of an object, an array or a template, if there is anything in it.
    pub(super) fn composite(&self, text: &[u8]) -> Option<Range<usize>> {
        let end = end_of_composite(text, self.start, self.quote);
        let inside = &text[self.start + 1..end.max(self.start + 1)];
        let nothing = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'}' | b']');
        (!inside.iter().all(nothing)).then_some(self.start..end)
    }
}

/// Where what begins at `start` has its last bracket. What does not end goes to the end of the text, or of the string it stands in.
fn end_of_composite(text: &[u8], start: usize, (mark, level): Quote) -> usize {
    let (mut depth, mut slashes, mut in_string, mut end) = (0_usize, 0, false, text.len());
    for (at, byte) in text.iter().enumerate().skip(start) {
        match byte {
            b'\\' => {
                slashes += 1;
                continue;
            }
            byte if *byte == mark && slashes < level => {
                end = at - slashes;
                break;
            }
            byte if *byte == mark && closes(slashes, level) => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    end = at + 1;
                    break;
                }
            }
            _ => {}
        }
        slashes = 0;
    }
    steps::add(end - start);
    end
}

/// Whether `${` or `{{` stands there.
const fn is_template(rest: &[u8]) -> bool {
    matches!(rest, [b'{', b'{', ..] | [b'$', b'{', ..])
}

/// Whether a quote behind so many backslashes ends a string whose quotes have `level` of them. In JSON an escaped quote has twice
/// as many and one more, and each escaped backslash in front of a quote adds twice as many and two.
const fn closes(slashes: usize, level: usize) -> bool {
    slashes % (2 * level + 2) == level
}

/// The values of a text from front to back: where those end that others may begin in.
#[derive(Default)]
pub(super) struct Values {
    unquoted: Range<usize>,
    /// The last digit in it, once it was looked for.
    digit: Option<Option<usize>>,
    line: Range<usize>,
    /// The end of the line without the blanks there.
    trimmed: usize,
}

impl Values {
    /// The value after a name. Where it ends in quotes is looked for only if it is `wanted`.
    pub(super) fn after(&mut self, text: &[u8], name: &Name, wanted: bool) -> Option<Value> {
        let mut at = name.behind;
        let spaces = blanks_and_colours(text, at);
        let mut prose = false;
        match text.get(at + spaces..).unwrap_or_default() {
            [b'=', b'>', ..] | [b':', b'=', ..] => at += spaces + 2,
            [b'=', ..] => at += spaces + 1,
            [b':', ..] => {
                at += spaces + 1;
                prose = true;
            }
            rest if let Some((length, colon)) = escape::separator(rest) => {
                at += spaces + length;
                prose = colon;
            }
            // A command as a list: `["--password", "…"]`.
            [b',', ..] if name.flag && name.quote.is_some() => {
                at += spaces + 1;
                at += SPACE.run(text, at, usize::MAX);
                quote(text, at)?;
            }
            [_, ..] if name.flag && spaces > 0 => at += spaces,
            _ => return None,
        }
        at += blanks_and_colours(text, at);
        let value = |start, end, shape, prose| Value {
            start,
            end,
            shape,
            prose,
            quote: name.quote.unwrap_or((b'"', 0)),
        };
        if let Some((start, quote)) = quote(text, at) {
            let end = if wanted { end_of_quoted(text, start, quote, start - 1 - at) } else { start };
            return Some(value(start, end, Shape::Quoted, false));
        }
        let rest = text.get(at..).unwrap_or_default();
        let behind = at + begins(text, at);
        if behind > at {
            return Some(value(at, self.end_of_unquoted(text, at, behind), Shape::Unquoted, prose));
        }
        if name.quote.is_some() {
            let number = NUMBER.run(text, at, usize::MAX);
            if number > 0 && !goes_on(text, at + number) {
                return Some(value(at, at + number, Shape::Number, prose));
            }
            if let [b'{' | b'[', ..] = rest {
                return Some(value(at, at, Shape::Composite, false));
            }
        }
        let shape = match rest {
            rest if is_template(rest) => Shape::Template,
            [b'{' | b'[', ..] | [b'&', b'{' | b'[', ..] => Shape::Enclosed,
            _ => Shape::Unquoted,
        };
        Some(value(at, self.end_of_unquoted(text, at, at), shape, prose))
    }

    /// Where a value without quotes ends that starts at `start` and is secret, whatever it looks like.
    pub(super) fn end_of_secret(&mut self, text: &[u8], start: usize) -> usize {
        let behind = start + begins(text, start);
        let rest = text.get(behind..).unwrap_or_default();
        match rest {
            [] => behind,
            rest if is_template(rest) => end_of_composite(text, behind, (b'"', 0)),
            _ => self.end_of_unquoted(text, start, behind),
        }
    }

    /// Whether there is a digit in a value without quotes.
    pub(super) fn has_digit(&mut self, text: &[u8], value: &Value) -> bool {
        let last = |range: Range<usize>| {
            steps::add(range.len());
            text[range.clone()].iter().rposition(u8::is_ascii_digit).map(|at| range.start + at)
        };
        if value.start < self.unquoted.start || value.end != self.unquoted.end {
            return last(value.start..value.end).is_some();
        }
        let digit = *self.digit.get_or_insert_with(|| last(self.unquoted.clone()));
        digit.is_some_and(|digit| digit >= value.start)
    }

    /// Where a value ends that starts at `start` with placeholders up to `behind`.
    fn end_of_unquoted(&mut self, text: &[u8], start: usize, behind: usize) -> usize {
        // At its start a value can end where another goes on.
        let begun = behind > start || !matches!(text.get(start), Some(b',' | b';' | b'&'));
        if !(begun && self.unquoted.contains(&behind)) {
            (self.unquoted, self.digit) = (behind..behind + unquoted(text, start, behind), None);
        }
        self.unquoted.end
    }

    /// Where a header's value ends: with the line, or at a quote that the whole header stands in.
    pub(super) fn line_end(&mut self, text: &[u8], start: usize) -> usize {
        if !self.line.contains(&start) {
            let mut end = start;
            loop {
                end += IN_LINE.run(text, end, usize::MAX);
                end += match text.get(end) {
                    Some(b' ' | b'\t') => blanks(text, end),
                    Some(b'\\') => match spells_an_end(text, end) {
                        Ok(length) => length,
                        Err(()) => break,
                    },
                    _ => break,
                };
            }
            steps::add(end - start);
            (self.line, self.trimmed) = (start..end, start + text[start..end].trim_ascii_end().len());
        }
        self.trimmed.max(start)
    }
}

/// Where the string ends that starts at `start`, behind this quote with so many backslashes before it.
fn end_of_quoted(text: &[u8], start: usize, (mark, level): Quote, opening: usize) -> usize {
    let (mut at, mut end) = (start, text.len());
    while let Some(next) = memchr::memchr(mark, &text[at..]) {
        let mark = at + next;
        let slashes = BACKSLASH.run_before(text, mark, mark - at);
        if slashes < level || slashes == opening || closes(slashes, level) {
            end = mark - slashes.min(opening);
            break;
        }
        at = mark + 1;
    }
    steps::add(end - start);
    end
}

/// How many bytes at `at` are blanks, and what sets colours between them.
fn blanks_and_colours(text: &[u8], at: usize) -> usize {
    let mut end = at;
    loop {
        let more = blanks(text, end);
        let colours = escape::colours(text, end + more);
        end += more + colours;
        if colours == 0 {
            return end - at;
        }
    }
}

/// How many blanks stand at `at`.
pub(super) fn blanks(text: &[u8], at: usize) -> usize {
    BLANK.run(text, at, usize::MAX)
}
