//! Whether the agent is well: no dead part, none that refuses everything, and nothing unacknowledged for too long.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What the supervisor knows. A service of the graph; `health_check` reads it. Parts are named with their kind: `exporter file`.
#[derive(Debug, Default)]
pub struct Health {
    state: Mutex<State>,
}

/// A part that fails at what it does, while nothing is lost and nobody is refused because of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    /// The part, with its kind.
    pub part: String,
    /// Since when, in nanoseconds since the Unix epoch.
    pub since: u64,
    /// What is wrong, in the words of whoever refuses.
    pub why: Arc<str>,
}

#[derive(Debug, Default)]
struct State {
    started: bool,
    stopping: bool,
    dead: BTreeMap<String, String>,
    refusing: BTreeMap<String, String>,
    failing: BTreeMap<String, Failing>,
    in_flight: BTreeMap<u64, u64>,
    next: u64,
}

impl State {
    fn oldest(&self, now: u64) -> u64 {
        self.in_flight.first_key_value().map_or(0, |(_, since)| now.saturating_sub(*since))
    }
}

impl Health {
    /// All parts run.
    pub fn started(&self) {
        self.lock().started = true;
    }

    /// The drain has begun.
    pub fn stopping(&self) {
        self.lock().stopping = true;
    }

    /// A part died of `why`; it stays dead until it is [revived](Self::revived).
    pub fn died(&self, part: &str, why: &str) {
        self.lock().dead.insert(part.to_owned(), why.to_owned());
    }

    /// A part runs again.
    pub fn revived(&self, part: &str) {
        self.lock().dead.remove(part);
    }

    /// A part refuses all that it is given, and its senders are told to try again, until it [accepts](Self::accepts).
    pub fn refuses(&self, part: &str, why: &str) {
        self.lock().refusing.insert(part.to_owned(), why.to_owned());
    }

    /// A part takes in data again.
    pub fn accepts(&self, part: &str) {
        self.lock().refusing.remove(part);
    }

    /// A part fails since a moment (nanoseconds since the Unix epoch), and keeps its data. The agent stays ready.
    pub fn failing(&self, part: &str, since: u64, why: Arc<str>) {
        let failing = Failing { part: part.to_owned(), since, why };
        self.lock().failing.insert(part.to_owned(), failing);
    }

    /// A part does its work again.
    pub fn recovered(&self, part: &str) {
        self.lock().failing.remove(part);
    }

    /// The parts that fail, sorted.
    pub fn all_failing(&self) -> Vec<Failing> {
        self.lock().failing.values().cloned().collect()
    }

    /// Why the agent is not ready, or `None` if it is. `now` is monotonic nanoseconds, `bound` how old the oldest
    /// unacknowledged request may be.
    pub fn trouble(&self, now: u64, bound: u64) -> Option<String> {
        let state = self.lock();
        if !state.started {
            return Some("starting".into());
        }
        if state.stopping {
            return Some("stopping".into());
        }
        if let Some((part, why)) = state.dead.first_key_value() {
            return Some(format!("{part} is dead: {why}"));
        }
        if let Some((part, why)) = state.refusing.first_key_value() {
            return Some(format!("{part} refuses everything: {why}"));
        }
        let oldest = state.oldest(now);
        (oldest > bound)
            .then(|| format!("the oldest unacknowledged request is {} s old", oldest / 1_000_000_000))
    }

    /// How old the oldest unacknowledged request is, in nanoseconds.
    pub fn oldest_unacknowledged(&self, now: u64) -> u64 {
        self.lock().oldest(now)
    }

    /// How many requests are unacknowledged.
    pub fn in_flight(&self) -> usize {
        self.lock().in_flight.len()
    }

    /// A request is in flight from `now` on; the number is for [`Self::landed`].
    pub fn took_off(&self, now: u64) -> u64 {
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.in_flight.insert(number, now);
        number
    }

    /// The request of this number has settled.
    pub fn landed(&self, number: u64) {
        self.lock().in_flight.remove(&number);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
