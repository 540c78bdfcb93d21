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

    /// A request is in flight from `now` on; the number is for [`Self::request_settled`].
    pub fn request_started(&self, now: u64) -> u64 {
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.in_flight.insert(number, now);
        number
    }

    /// The request of this number has settled.
    pub fn request_settled(&self, number: u64) {
        self.lock().in_flight.remove(&number);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn it_is_ready_between_its_start_and_its_drain_unless_a_part_is_dead_or_refuses_everything() {
        let health = Health::default();
        let trouble = || health.trouble(0, 0);
        assert_eq!(trouble().as_deref(), Some("starting"));
        health.started();
        assert_eq!(trouble(), None);
        health.refuses("exporter file", "the disk is full");
        let refuses = "exporter file refuses everything: the disk is full";
        assert_eq!(trouble().as_deref(), Some(refuses));
        health.died("receiver otlp", "it panicked");
        assert_eq!(trouble().as_deref(), Some("receiver otlp is dead: it panicked"));
        health.revived("receiver otlp");
        assert_eq!(trouble().as_deref(), Some(refuses));
        health.accepts("exporter file");
        assert_eq!(trouble(), None);
        health.stopping();
        assert_eq!(trouble().as_deref(), Some("stopping"));
    }

    #[test]
    fn who_fails_and_keeps_its_data_is_shown_and_leaves_the_agent_ready() {
        let health = Health::default();
        health.started();
        health.failing("exporter otlp_grpc", 7, "UNAUTHENTICATED".into());
        let failing = Failing { part: "exporter otlp_grpc".into(), since: 7, why: "UNAUTHENTICATED".into() };
        assert_eq!(health.all_failing(), [failing]);
        assert_eq!(health.trouble(0, 0), None);
        health.recovered("exporter otlp_grpc");
        assert_eq!(health.all_failing(), []);
    }

    #[test]
    fn the_oldest_request_that_nobody_has_answered_must_not_be_older_than_the_bound() {
        let health = Health::default();
        health.started();
        assert_eq!((health.in_flight(), health.oldest_unacknowledged(9)), (0, 0));
        let numbers = [2 * SECOND, 5 * SECOND, 6 * SECOND].map(|now| health.request_started(now));
        let at = |now: u64| (health.in_flight(), health.oldest_unacknowledged(now * SECOND) / SECOND);
        assert_eq!(at(8), (3, 6));
        assert_eq!(health.trouble(8 * SECOND, 6 * SECOND), None, "it is as old as it may be");
        let trouble = health.trouble(8 * SECOND, 6 * SECOND - 1);
        assert_eq!(trouble.as_deref(), Some("the oldest unacknowledged request is 6 s old"));
        health.request_settled(numbers[1]);
        assert_eq!(at(8), (2, 6));
        health.request_settled(numbers[0]);
        assert_eq!(at(8), (1, 2));
        health.request_settled(numbers[2]);
        assert_eq!(at(8), (0, 0));
    }
}
