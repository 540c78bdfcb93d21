//! Timelines as a journal keeps them: a line an event.

use serde::{Deserialize, Serialize};
use throughline_change::timeline::{ChangeEvent, Timelines};
use throughline_component::{Replay, Unreadable};

/// All timelines.
pub(super) struct JournaledTimelines(pub(super) Timelines);

/// A line of the journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Entry {
    /// Something happened to a change.
    Event(Box<ChangeEvent>),
    /// A change has another name.
    Renamed { old: String, new: String },
}

#[derive(Serialize)]
#[serde(untagged)]
enum Line<'a> {
    Event(&'a ChangeEvent),
    Renamed { old: &'a str, new: &'a str },
}

impl Entry {
    /// Appends the line.
    pub(super) fn write(&self, into: &mut Vec<u8>) {
        write(self, into);
    }
}

fn write(line: &impl Serialize, into: &mut Vec<u8>) {
    if serde_json::to_writer(&mut *into, line).is_ok() {
        into.push(b'\n');
    }
}

impl JournaledTimelines {
    /// Takes an entry; says whether it was new.
    pub(super) fn take(&mut self, entry: &Entry) -> bool {
        match entry {
            Entry::Event(event) => self.0.take(event),
            Entry::Renamed { old, new } => self.0.rename(old, new),
        }
    }
}

impl Replay for JournaledTimelines {
    fn replay(&mut self, entry: &[u8]) -> Result<(), Unreadable> {
        for line in entry.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            self.take(&serde_json::from_slice(line).map_err(|_| Unreadable)?);
        }
        Ok(())
    }

    fn snapshot(&self) -> Vec<u8> {
        let (events, renamed) = self.0.contents();
        let mut lines = Vec::new();
        events.into_iter().for_each(|event| write(&Line::Event(event), &mut lines));
        renamed.into_iter().for_each(|(old, new)| write(&Line::Renamed { old, new }, &mut lines));
        lines
    }
}
