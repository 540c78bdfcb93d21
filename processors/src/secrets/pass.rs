//! One walk: only records in which the scan found an anchor are looked into.

use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;
use throughline_component::{Barrier, Pass, Verdict};
use throughline_otlp::edit::{Leaf, Record, Rewrite, rewrite_groups};
use throughline_otlp::{Signal, steps};
use throughline_redaction::{Counts, Scanner};

use super::Secrets;

pub(super) struct SecretsPass<'a> {
    secrets: &'a Secrets,
    hits: Hits,
    counts: Counts,
}

impl<'a> SecretsPass<'a> {
    /// `None` if there is nothing to mask.
    pub(super) fn new(secrets: &'a Secrets, bytes: &[u8]) -> Option<Self> {
        let offsets = secrets.scanner.hits(bytes);
        (!offsets.is_empty()).then(|| Self {
            secrets,
            hits: Hits { offsets, next: 0 },
            counts: Counts::default(),
        })
    }
}

impl Pass for SecretsPass<'_> {
    fn edit(&mut self, record: &mut Record<'_>) -> Verdict {
        // Only what stood there when it began was searched; what editors behind this one write is theirs to answer for.
        if self.hits.any_in(&record.source_range()) {
            mask(&self.secrets.scanner, record, &mut self.counts);
        }
        Verdict::Keep
    }

    fn groups(&mut self, signal: Signal, request: &Bytes) -> Option<Bytes> {
        let (scanner, counts) = (&self.secrets.scanner, &mut self.counts);
        rewrite_groups(signal, request, &mut |leaf| {
            plain(scanner, &leaf, counts).map_or(Rewrite::Keep, Rewrite::Replace)
        })
    }

    fn finish(self: Box<Self>) -> Option<Barrier> {
        self.secrets.count(&self.counts);
        None
    }
}

/// Where the chunk has anchors, in ascending order; asked in ascending order too, as the walk goes.
struct Hits {
    offsets: Vec<usize>,
    next: usize,
}

impl Hits {
    fn any_in(&mut self, range: &Range<usize>) -> bool {
        while self.offsets.get(self.next).is_some_and(|offset| *offset < range.start) {
            self.next += 1;
        }
        self.offsets.get(self.next).is_some_and(|offset| *offset < range.end)
    }
}

fn mask(scanner: &Scanner, record: &mut Record<'_>, counts: &mut Counts) {
    let (mut names, mut above) = (Names::default(), EnclosingKeys::default());
    record.rewrite_strings_and_unknown(&mut |leaf| {
        let masked = if leaf.is_id() {
            None
        } else if leaf.is_key() {
            names.distinct(scanner.mask(leaf.bytes, counts), leaf.bytes)
        } else if !leaf.is_unknown() && above.is_secret(scanner, leaf.keys) {
            scanner.mask_whole(leaf.bytes, counts)
        } else {
            plain(scanner, &leaf, counts)
        };
        masked.map_or(Rewrite::Keep, Rewrite::Replace)
    });
}

/// A string masked, or a field that nobody knows overwritten.
fn plain(scanner: &Scanner, leaf: &Leaf<'_>, counts: &mut Counts) -> Option<Vec<u8>> {
    if leaf.is_unknown() { scanner.overwrite(leaf.bytes, counts) } else { scanner.mask(leaf.bytes, counts) }
}

/// The names around the string that was looked at last, each with whether it or one above it is secret. Strings side by side have
/// most of them in common, and each is judged once.
#[derive(Default)]
struct EnclosingKeys(Vec<(Range<*const u8>, bool)>);

impl EnclosingKeys {
    fn is_secret(&mut self, scanner: &Scanner, keys: &[&[u8]]) -> bool {
        let same =
            self.0.iter().zip(keys).take_while(|((known, _), key)| *known == key.as_ptr_range()).count();
        self.0.truncate(same);
        for key in &keys[same..] {
            let secret = self.last() || scanner.is_sensitive(key);
            self.0.push((key.as_ptr_range(), secret));
        }
        self.last()
    }

    fn last(&self) -> bool {
        self.0.last().is_some_and(|(_, secret)| *secret)
    }
}

/// Names that were masked in one record, and how many copies of each there are: equal ones get a suffix, so that no entry
/// of a map hides another.
#[derive(Default)]
struct Names(HashMap<Vec<u8>, usize>);

impl Names {
    fn distinct(&mut self, masked: Option<Vec<u8>>, original: &[u8]) -> Option<Vec<u8>> {
        // One that came masked can stand in the way as well.
        let (mut name, changed) = match masked {
            Some(name) => (name, true),
            None if original.starts_with(b"[REDACTED:") => (original.to_vec(), false),
            None => return None,
        };
        let Some(&copies) = self.0.get(&name) else {
            self.0.insert(name.clone(), 1);
            return changed.then_some(name);
        };
        // Each suffix is tried once, however many copies come.
        let (plain, mut last) = (name.clone(), copies);
        loop {
            steps::add(name.len());
            last += 1;
            name.truncate(plain.len());
            name.extend_from_slice(format!("#{last}").as_bytes());
            if !self.0.contains_key(&name) {
                break;
            }
        }
        self.0.insert(plain, last);
        self.0.insert(name.clone(), 1);
        Some(name)
    }
}

#[cfg(test)]
mod tests;
