//! The first stage: where a secret may be.

use aho_corasick::packed::{Config, MatchKind, Searcher};
use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, Span};

use crate::order::arrange;

/// Finds every occurrence of some literals, overlapping ones too, with vector instructions where the machine has them.
#[derive(Clone, Debug)]
pub(crate) struct Anchors {
    engine: Engine,
}

#[derive(Clone, Debug)]
enum Engine {
    /// Teddy: eight or sixteen buckets, looked up for many positions at once; and which of its literals is which of ours.
    Packed(Searcher, Vec<usize>),
    Automaton(Box<AhoCorasick>),
}

/// An anchor that was found: which, and where it starts and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) literal: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Anchors {
    /// For these literals.
    pub(crate) fn new(literals: &[String]) -> Self {
        let order = arrange(literals);
        // The limit of 64 is about common literals; these are rare ones.
        let packed = Config::new()
            .match_kind(MatchKind::LeftmostFirst)
            .heuristic_pattern_limits(false)
            .builder()
            .extend(order.iter().map(|index| &literals[*index]))
            .build();
        let engine = match packed {
            Some(searcher) => Engine::Packed(searcher, order),
            None => Engine::Automaton(Box::new(automaton(literals))),
        };
        Self { engine }
    }

    /// The first hit that starts at `from` or behind it.
    pub(crate) fn next(&self, bytes: &[u8], from: usize) -> Option<Hit> {
        if from >= bytes.len() {
            return None;
        }
        let span = Span::from(from..bytes.len());
        let (found, literal) = match &self.engine {
            Engine::Packed(searcher, order) => {
                let found = searcher.find_in(bytes, span)?;
                (found, order[found.pattern().as_usize()])
            }
            Engine::Automaton(automaton) => {
                let found = automaton.find(Input::new(bytes).span(span))?;
                (found, found.pattern().as_usize())
            }
        };
        Some(Hit { literal, start: found.start(), end: found.end() })
    }
}

fn automaton(literals: &[String]) -> AhoCorasick {
    AhoCorasick::builder()
        .match_kind(aho_corasick::MatchKind::LeftmostFirst)
        .kind(Some(AhoCorasickKind::DFA))
        .build(literals)
        .expect("a few hundred short literals make a small automaton")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_engines_find_the_same() {
        let literals = ["AKIA", "IAKI", "token", "sig="].map(str::to_owned);
        let packed = Anchors::new(&literals);
        let plain = Anchors { engine: Engine::Automaton(Box::new(automaton(&literals))) };
        let text = b"xxAKIAKIA tokentoken &sig=sig= and a tail that is long enough for vectors AKI tok";
        let all = |anchors: &Anchors| {
            let mut hits = Vec::new();
            let mut from = 0;
            while let Some(hit) = anchors.next(text, from) {
                from = hit.start + 1;
                hits.push(hit);
            }
            hits
        };
        assert_eq!(all(&packed), all(&plain));
        assert_eq!(all(&packed).len(), 7);
    }
}
