//! Deliveries that have settled.

use std::collections::{HashSet, VecDeque};

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

    /// Remembers an id; an empty one (a sender without ids) is no id.
    pub(super) fn insert(&mut self, id: String) {
        if id.is_empty() || id.len() > 128 || !self.ids.insert(id.clone()) {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > CAPACITY
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}
