//! Reading the labels of one record, in one look at its attributes.

use throughline_change::labels::{COMMIT, COPIED, PULL_REQUEST, REPOSITORY};
use throughline_change::{Repository, Sha};
use throughline_otlp::view::{AnyValue, Attributes};

/// What a record says of its own change and place.
#[derive(Clone, Default)]
pub(super) struct Seen<'a> {
    pub(super) change_id: Option<&'a str>,
    pub(super) repository: Option<&'a str>,
    pub(super) pull_request: Option<u64>,
    pub(super) commit: Option<Sha>,
    pub(super) merge_commit: Option<Sha>,
    /// Which of the labels are there already, in the order of `identity_labels`.
    pub(super) has: Has,
    /// Values for [`COPIED`] labels that are not there: by index.
    pub(super) copied: [Option<&'a str>; COPIED.len()],
}

/// Labels that are there and must not be overwritten.
#[derive(Clone, Copy, Default)]
pub(super) struct Has {
    pub(super) change_id: bool,
    pub(super) commit_sha: bool,
    pub(super) pull_request: bool,
    pub(super) repository: bool,
}

impl<'a> Seen<'a> {
    pub(super) fn read(attributes: Attributes<'a>) -> Self {
        let mut seen = Self::default();
        let mut ranks = [usize::MAX; 3];
        let mut copied_ranks = [usize::MAX; COPIED.len()];
        let mut present = [false; COPIED.len()];
        for (key, value) in attributes.iter() {
            // All keys of interest start with one of these; most attributes are none of them.
            if !matches!(
                key.as_bytes().first(),
                Some(b'a'..=b'e' | b'g' | b'k' | b'm' | b'o'..=b'p' | b'r'..=b't' | b'v')
            ) {
                continue;
            }
            match key {
                "change_id" => {
                    seen.has.change_id = true;
                    seen.change_id = value.as_str();
                }
                "merge_commit_sha" => seen.merge_commit = value.as_str().and_then(Sha::parse),
                _ => seen.place(key, value, &mut ranks, &mut copied_ranks, &mut present),
            }
        }
        for (slot, present) in seen.copied.iter_mut().zip(present) {
            if present {
                *slot = None;
            }
        }
        seen
    }

    fn place(
        &mut self,
        key: &str,
        value: AnyValue<'a>,
        ranks: &mut [usize; 3],
        copied_ranks: &mut [usize; COPIED.len()],
        present: &mut [bool; COPIED.len()],
    ) {
        let rank = |list: &[&str]| list.iter().position(|name| *name == key);
        if let Some(at) = rank(COMMIT) {
            self.has.commit_sha |= at == 0;
            if let Some(sha) = value.as_str().and_then(Sha::parse).filter(|_| at < ranks[0]) {
                (self.commit, ranks[0]) = (Some(sha), at);
            }
        } else if let Some(at) = rank(PULL_REQUEST) {
            self.has.pull_request |= at == 0;
            if let Some(number) = number(value).filter(|_| at < ranks[1]) {
                (self.pull_request, ranks[1]) = (Some(number), at);
            }
        } else if let Some(at) = rank(REPOSITORY) {
            self.has.repository |= at == 0;
            if let Some(text) = value.as_str().filter(|_| at < ranks[2]) {
                (self.repository, ranks[2]) = (Some(text), at);
            }
        } else {
            for (index, (label, inputs)) in COPIED.iter().enumerate() {
                present[index] |= key == *label;
                if let Some(at) = rank(inputs).filter(|at| *at < copied_ranks[index]) {
                    (self.copied[index], copied_ranks[index]) = (value.as_str(), at);
                }
            }
        }
    }

    /// The repository's canonical name.
    pub(super) fn repository(&self) -> Option<Repository> {
        self.repository.and_then(Repository::parse)
    }
}

/// Pull request numbers come as integers and as text.
fn number(value: AnyValue<'_>) -> Option<u64> {
    match value {
        AnyValue::Int(number) => u64::try_from(number).ok(),
        AnyValue::Str(text) => text.trim_start_matches('#').parse().ok(),
        _ => None,
    }
}
