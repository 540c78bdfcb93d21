//! JSON Web Tokens: a base64url header that decodes to JSON with `alg` or `enc`, a dot, and more. RFC 7519, 7515, 7516.

use std::ops::Range;

use throughline_otlp::steps;

use super::{Found, Rule};
use crate::class::{BASE64URL, DOTTED};
use crate::{base64, escape};

/// `{"` before the first letters of the header fields that exist, `{ "`, and the start of a signed token's second part.
pub(super) const ANCHORS: [&str; 10] =
    ["eyJh", "eyJ0", "eyJr", "eyJl", "eyJj", "eyJq", "eyJ4", "eyJ6", "eyAi", ".eyJ"];

/// What follows a header at least.
const LEAST: usize = 8;

/// Goes through the anchors of a text from front to back. Headers have no bound, and a run of base64 can have an anchor in every
/// fourth byte, so a run is measured once and decoded once for each way of dividing it into groups of four digits.
#[derive(Default)]
pub(crate) struct Jwt {
    /// The run of base64url that was looked at last, from its first anchor on.
    run: Range<usize>,
    decoded: [Option<Decoded>; 4],
    /// Where the last token ends.
    end: usize,
}

/// What a run decodes to from some place on: where names stand in it for the last time.
#[derive(Clone, Copy)]
struct Decoded {
    from: usize,
    alg_or_enc: Option<usize>,
    /// Of Grafana's older keys, `{"k":"…","n":"…","id":1}`, all of it in one part.
    grafana: Option<usize>,
}

impl Decoded {
    fn new(text: &[u8], run: Range<usize>) -> Self {
        let decoded = base64::decode(&text[run.clone()]);
        steps::add(4 * decoded.len());
        let last = |name: &[u8]| decoded.windows(name.len()).rposition(|window| window == name);
        let grafana = last(b"\"k\":").zip(last(b"\"n\":")).map(|(k, n)| k.min(n));
        Self { from: run.start, alg_or_enc: last(b"\"alg\"").max(last(b"\"enc\"")), grafana }
    }

    /// The rule of a header that starts at `at`, which is whole groups behind `from`.
    fn rule(&self, at: usize) -> Option<Rule> {
        let skipped = at.saturating_sub(self.from) / 4 * 3;
        let holds = |last: Option<usize>| last.is_some_and(|last| last >= skipped);
        if holds(self.grafana) { Some(Rule::Grafana) } else { holds(self.alg_or_enc).then_some(Rule::Jwt) }
    }
}

impl Jwt {
    /// The token around an anchor at `at`.
    pub(super) fn find(&mut self, text: &[u8], at: usize) -> Option<Found> {
        if at < self.end {
            return None;
        }
        let found = if text[at] == b'.' {
            let start = at - BASE64URL.run_before(text, at, at - self.end);
            // What stands before the header may be the rest of an escape.
            let begins = [start + escape::rest(text, start).min(at - start), start];
            begins.into_iter().find_map(|start| {
                let starts = base64::decode(&text[start..at.min(start + 4)]).first() == Some(&b'{');
                let rule = starts.then(|| Decoded::new(text, start..at).rule(start))?;
                token(rule?, text, start..at, usize::MAX)
            })
        } else {
            let (rule, end) = self.header(text, at)?;
            token(rule, text, at..end, usize::MAX)
        };
        self.end = found.as_ref().map_or(self.end, |found| found.range.end);
        found
    }

    /// Whether there may be a token at an anchor in undivided bytes.
    pub(super) fn is_plausible(&mut self, bytes: &[u8], at: usize) -> bool {
        // Where the first part starts cannot be told from what precedes the string.
        bytes[at] == b'.'
            || self.header(bytes, at).is_some_and(|(rule, end)| token(rule, bytes, at..end, LEAST).is_some())
    }

    /// The rule of the header at `at`, and where it ends.
    fn header(&mut self, text: &[u8], at: usize) -> Option<(Rule, usize)> {
        if !self.run.contains(&at) {
            *self =
                Self { run: at..at + BASE64URL.run(text, at, usize::MAX), decoded: [None; 4], end: self.end };
        }
        let end = self.run.end;
        // Grafana's older keys start with their own letter; all others have a dot behind their header.
        if text.get(end) != Some(&b'.') && !text[at..].starts_with(b"eyJr") {
            return None;
        }
        let decoded = self.decoded[at % 4].get_or_insert_with(|| Decoded::new(text, at..end));
        Some((decoded.rule(at)?, end))
    }
}

/// The token with this header; at most so many bytes behind it are looked at.
fn token(rule: Rule, text: &[u8], header: Range<usize>, most: usize) -> Option<Found> {
    if rule == Rule::Grafana {
        return Some(Found::new(rule, header));
    }
    let Range { start, end } = header;
    if text.get(end) != Some(&b'.') {
        return None;
    }
    let rest = DOTTED.run(text, end, most);
    (rest >= LEAST).then(|| Found::new(rule, start..end + rest))
}
