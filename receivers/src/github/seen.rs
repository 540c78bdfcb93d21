//! Deliveries that have settled.

use std::collections::{HashSet, VecDeque};

use throughline_component::Replay;

/// How many are remembered. GitHub redelivers for three days at most, by hand.
const CAPACITY: usize = 100_000;

/// A bounded set of delivery ids, oldest out first.
#[derive(Debug, Default)]
pub(super) struct Seen {
    ids: HashSet<String>,
    order: VecDeque<String>,
}

impl Seen {
    pub(super) fn contains(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    /// Remembers an id; says whether it was new. An empty one (a sender without ids) is no id.
    pub(super) fn insert(&mut self, id: String) -> bool {
        if id.is_empty() || id.len() > 128 || !self.ids.insert(id.clone()) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > CAPACITY
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

/// A journal has an id a line.
impl Replay for Seen {
    fn replay(&mut self, entry: &[u8]) {
        for id in entry.split(|byte| *byte == b'\n') {
            self.insert(String::from_utf8_lossy(id).into_owned());
        }
    }

    fn snapshot(&self) -> Vec<u8> {
        self.order.iter().map(String::as_str).collect::<Vec<_>>().join("\n").into_bytes()
    }
}
