//! Deliveries that have settled.

use std::collections::{HashMap, HashSet, VecDeque};

use throughline_component::{Replay, Unreadable};
use tokio::sync::watch;

/// How many are remembered. GitHub redelivers for three days at most, by hand.
const CAPACITY: usize = 100_000;

/// A bounded set of delivery ids, oldest out first.
#[derive(Debug, Default)]
pub(super) struct RecentDeliveries {
    ids: HashSet<String>,
    order: VecDeque<String>,
    /// Those that a request has in hand now. Never journaled: after a restart nobody has.
    in_hand: HashMap<String, watch::Receiver<()>>,
}

/// How a delivery stands.
pub(super) enum State {
    /// It has settled.
    Settled,
    /// Nobody had it; now whoever asked has it, until [`RecentDeliveries::let_go`]. Dropping the sender wakes who waits.
    Free(watch::Sender<()>),
    /// A request has it; the receiver hears when that one lets go.
    InHand(watch::Receiver<()>),
}

impl RecentDeliveries {
    pub(super) fn contains(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    /// How a delivery stands; one that is free is taken in hand. Without an id there is nothing to tell deliveries apart by.
    pub(super) fn state(&mut self, id: &str) -> State {
        if let Some(other) = self.in_hand.get(id) {
            return State::InHand(other.clone());
        }
        if self.contains(id) {
            return State::Settled;
        }
        let (wakes, other) = watch::channel(());
        if !id.is_empty() {
            self.in_hand.insert(id.to_owned(), other);
        }
        State::Free(wakes)
    }

    /// Nobody has the delivery in hand any more.
    pub(super) fn let_go(&mut self, id: &str) {
        self.in_hand.remove(id);
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
impl Replay for RecentDeliveries {
    fn replay(&mut self, entry: &[u8]) -> Result<(), Unreadable> {
        for id in entry.split(|byte| *byte == b'\n') {
            self.insert(String::from_utf8_lossy(id).into_owned());
        }
        Ok(())
    }

    fn snapshot(&self) -> Vec<u8> {
        self.order.iter().map(String::as_str).collect::<Vec<_>>().join("\n").into_bytes()
    }
}
