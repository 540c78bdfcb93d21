//! The events of many changes, within a bound of memory.

use std::collections::{BTreeMap, HashMap};

use super::change_event::ChangeEvent;
use super::report::{Report, Summary};
use super::story;
use crate::{Repository, Sha, change_key};

/// How much is remembered.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of memory for all events; beyond it the change of which nothing was heard for longest is forgotten.
    pub memory: usize,
    /// Events of one change; beyond it the oldest that is no milestone is left out.
    pub events_per_change: usize,
}

/// What is known of each change.
#[derive(Debug)]
pub struct Timelines {
    limits: Limits,
    changes: HashMap<Box<str>, Entry>,
    /// Changes by when something was last heard of them.
    heard: BTreeMap<u64, Box<str>>,
    /// Former names and what they are now.
    renamed: HashMap<Box<str>, Box<str>>,
    next: u64,
    bytes: usize,
    forgotten: u64,
}

#[derive(Debug, Default)]
struct Entry {
    events: Vec<ChangeEvent>,
    former_names: Vec<Box<str>>,
    left_out: u64,
    heard: u64,
}

/// What a question for one change finds.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// The change.
    One(Box<Report>),
    /// Several fit; their names, sorted.
    Several(Vec<String>),
    /// None fits.
    None,
}

/// What a change is asked for by.
enum Wanted {
    Id(String),
    /// The beginning of a commit, or a change's key.
    Hex(String),
    /// `#` and a number, or the end of a repository's name and these.
    End(String),
}

/// Fewer digits name too many commits.
const FEWEST_DIGITS: usize = 7;

/// What a name takes in memory, with its places in the tables.
fn named(name: &str) -> usize {
    512 + 4 * name.len()
}

impl Timelines {
    /// None yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            changes: HashMap::new(),
            heard: BTreeMap::new(),
            renamed: HashMap::new(),
            next: 0,
            bytes: 0,
            forgotten: 0,
        }
    }

    /// Takes an event; says whether it was new to any of its changes.
    pub fn take(&mut self, event: &ChangeEvent) -> bool {
        let mut new = false;
        for change in &event.change_ids {
            let change = self.renamed.get(change).unwrap_or(change).clone();
            new |= self.file(&change, event.clone());
        }
        new
    }

    /// A change has another name from now on; says whether that was new.
    pub fn rename(&mut self, old: &str, new: &str) -> bool {
        if old == new || self.renamed.contains_key(old) {
            return false;
        }
        let mut before = self.remove(old).unwrap_or_default();
        before.former_names.push(old.into());
        // Names that led to the old one lead to the new one.
        for name in &before.former_names {
            self.renamed.insert(name.clone(), new.into());
        }
        for event in before.events {
            self.file(new, event);
        }
        let entry = self.entry(new);
        let names: usize = before.former_names.iter().map(|name| named(name)).sum();
        entry.former_names.extend(before.former_names);
        entry.left_out += before.left_out;
        self.bytes += names;
        self.forget();
        true
    }

    fn file(&mut self, change: &str, event: ChangeEvent) -> bool {
        let most = self.limits.events_per_change.max(1);
        let entry = self.entry(change);
        if entry.events.iter().any(|known| known.event_id == event.event_id) {
            return false;
        }
        let added = event.size();
        entry.events.push(event);
        let mut freed = 0;
        if entry.events.len() > most {
            entry.left_out += 1;
            // A change that is opened, merged or closed is so once; jobs come by the hundred.
            let is_milestone = |event: &ChangeEvent| {
                matches!(
                    event.kind.name,
                    "ChangeOpened" | "ChangeMerged" | "ChangeClosed" | "ApprovalGranted"
                )
            };
            let index = (0..entry.events.len()).min_by_key(|at| {
                let event = &entry.events[*at];
                (is_milestone(event), event.at)
            });
            freed = index.map_or(0, |index| entry.events.swap_remove(index).size());
        }
        self.bytes = (self.bytes + added).saturating_sub(freed);
        self.touch(change);
        self.forget();
        true
    }

    fn entry(&mut self, change: &str) -> &mut Entry {
        if !self.changes.contains_key(change) {
            self.bytes += named(change);
            self.changes.insert(change.into(), Entry::default());
            self.touch(change);
        }
        self.changes.entry(change.into()).or_default()
    }

    fn touch(&mut self, change: &str) {
        self.next += 1;
        if let Some(entry) = self.changes.get_mut(change) {
            self.heard.remove(&entry.heard);
            entry.heard = self.next;
            self.heard.insert(self.next, change.into());
        }
    }

    fn remove(&mut self, change: &str) -> Option<Entry> {
        let entry = self.changes.remove(change)?;
        self.heard.remove(&entry.heard);
        let events: usize = entry.events.iter().map(ChangeEvent::size).sum();
        let names: usize = entry.former_names.iter().map(|name| named(name)).sum();
        self.bytes = self.bytes.saturating_sub(named(change) + events + names);
        Some(entry)
    }

    /// Forgets until all fits; what was heard last stays.
    fn forget(&mut self) {
        while self.bytes > self.limits.memory && self.changes.len() > 1 {
            let Some((_, oldest)) = self.heard.pop_first() else { return };
            if let Some(entry) = self.remove(&oldest) {
                entry.former_names.iter().for_each(|name| drop(self.renamed.remove(name)));
            }
            self.forgotten += 1;
        }
    }

    /// How many changes are known.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// How many changes were forgotten to stay within bounds.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// The changes, in no order.
    pub fn ids(&self) -> Vec<Box<str>> {
        self.changes.keys().cloned().collect()
    }

    /// A change in one line, by its id.
    pub fn summary(&self, id: &str) -> Option<Summary> {
        self.changes.get(id).map(|entry| story::summary(id, &entry.events))
    }

    /// The change that a person means: by its id, its key, the address of its pull request, a commit of it (seven digits or
    /// more), or the end of its id (`infra-live#482`, `#482`).
    pub fn find(&self, wanted: &str) -> Found {
        let wanted = wanted.trim();
        let exact = self.renamed.get(wanted).map_or(wanted, |name| name);
        if let Some(entry) = self.changes.get(exact) {
            return Found::One(Box::new(entry.report(exact)));
        }
        let wanted = Wanted::read(wanted);
        let mut fitting: Vec<&str> =
            self.changes.iter().filter(|(id, entry)| wanted.fits(id, entry)).map(|(id, _)| &**id).collect();
        fitting.sort_unstable();
        match fitting.as_slice() {
            [] => Found::None,
            [only] => {
                self.changes.get(*only).map_or(Found::None, |entry| Found::One(Box::new(entry.report(only))))
            }
            several => Found::Several(several.iter().map(ToString::to_string).collect()),
        }
    }

    /// All that was taken, to be journaled as a snapshot: the events in the order of the changes' ids, then the renamings.
    pub fn contents(&self) -> (Vec<&ChangeEvent>, Vec<(&str, &str)>) {
        let mut changes: Vec<_> = self.changes.iter().collect();
        changes.sort_unstable_by_key(|(_, entry)| entry.heard);
        let events = changes.into_iter().flat_map(|(_, entry)| &entry.events).collect();
        let mut renamed: Vec<_> = self.renamed.iter().map(|(old, new)| (&**old, &**new)).collect();
        renamed.sort_unstable();
        (events, renamed)
    }
}

impl Entry {
    fn report(&self, id: &str) -> Report {
        story::report(id, &self.events, &self.former_names, self.left_out)
    }
}

impl Wanted {
    fn read(text: &str) -> Self {
        let address = text.split_once("://").map(|(_, rest)| rest);
        let pull = address.and_then(|rest| {
            let (repository, number) =
                rest.split_once("/pull/").or_else(|| rest.split_once("/-/merge_requests/"))?;
            let digits =
                number.split(|c: char| !c.is_ascii_digit()).next().filter(|digits| !digits.is_empty())?;
            Some(format!("{}#{digits}", Repository::parse(repository)?))
        });
        let commit = address.and_then(|rest| {
            let (_, sha) = rest.split_once("/commit/")?;
            Sha::parse(sha.get(..40)?).map(|sha| sha.to_string())
        });
        let lower = text.to_ascii_lowercase();
        match (pull, commit) {
            (Some(pull), _) => Self::Id(pull),
            (_, Some(commit)) => Self::Hex(commit),
            _ if lower.len() >= FEWEST_DIGITS && lower.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                Self::Hex(lower)
            }
            _ => Self::End(lower),
        }
    }

    fn fits(&self, id: &str, entry: &Entry) -> bool {
        match self {
            Self::Id(wanted) => id == wanted,
            Self::Hex(digits) => {
                let commits = || entry.events.iter().flat_map(|event| [&*event.commit, &*event.merge_commit]);
                hex::encode(change_key(id)) == *digits
                    || id.split_once('@').is_some_and(|(_, sha)| sha.starts_with(digits.as_str()))
                    || commits().any(|commit| commit.starts_with(digits.as_str()))
            }
            // A whole part of the id: `live#4` is not the end of `infra-live#4`.
            Self::End(end) => {
                let rest = id.to_ascii_lowercase();
                let rest = rest.strip_suffix(end.as_str());
                !end.is_empty()
                    && rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('/') || end.starts_with('#'))
            }
        }
    }
}

#[cfg(test)]
mod tests;
