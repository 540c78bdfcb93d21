//! The ledger: at every hop, items in plus created equal out plus held plus merged plus dropped plus rejected.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use throughline_component::Transport;
use throughline_otlp::Signal;

/// The accounts of all hops. A service of the graph; self-telemetry reads it.
#[derive(Debug, Default)]
pub struct Ledger {
    hops: Mutex<BTreeMap<(Direction, String, Signal), Arc<Hop>>>,
}

/// Where in the graph a hop stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// A receiver: what was offered over this transport, and what pipelines accepted.
    Receiver(Transport),
    /// A processor or connector in one pipeline.
    Stage,
    /// An exporter.
    Exporter,
}

/// The account of one hop, in items. Updated once a chunk.
#[derive(Debug, Default)]
pub struct Hop {
    /// Items that came in.
    pub taken: AtomicU64,
    /// Items that the hop made itself.
    pub created: AtomicU64,
    /// Items that went on.
    pub out: AtomicU64,
    /// Items merged into others.
    pub merged: AtomicU64,
    /// Items given back to the sender, to be sent again.
    pub returned: AtomicU64,
    /// Of the returned items those that found the queue full.
    pub overflowed: AtomicU64,
    /// Items in the hop now.
    pub held: AtomicI64,
    /// Batches that wait in an exporter's queue now or are on their way, without those that lie in a storage. Signals share
    /// the queue; each account has its own batches.
    pub batches: AtomicI64,
    /// How many batches may wait in that queue.
    pub capacity: AtomicU64,
    /// How many are on their way at once.
    pub consumers: AtomicU64,
    /// Whole requests whose items could not be counted, since they do not parse.
    pub malformed: AtomicU64,
    dropped: Mutex<BTreeMap<&'static str, u64>>,
    rejected: Mutex<BTreeMap<&'static str, u64>>,
}

/// One hop's account at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of Hop")]
pub struct Row {
    pub direction: Direction,
    pub name: String,
    pub signal: Signal,
    pub taken: u64,
    pub created: u64,
    pub out: u64,
    pub merged: u64,
    pub returned: u64,
    pub overflowed: u64,
    pub held: i64,
    pub batches: i64,
    pub capacity: u64,
    pub consumers: u64,
    pub malformed: u64,
    pub dropped: BTreeMap<&'static str, u64>,
    pub rejected: BTreeMap<&'static str, u64>,
}

/// A hop whose account does not balance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imbalance {
    /// The hop.
    pub name: String,
    /// Credit minus debit, in items.
    pub difference: i64,
}

impl Ledger {
    /// The account of a hop, opened on first use. Accounts outlive reloads: they never go back.
    pub fn hop(&self, direction: Direction, name: &str, signal: Signal) -> Arc<Hop> {
        let mut hops = self.hops.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(hops.entry((direction, name.to_owned(), signal)).or_default())
    }

    /// All accounts, sorted.
    pub fn rows(&self) -> Vec<Row> {
        let hops = self.hops.lock().unwrap_or_else(PoisonError::into_inner);
        hops.iter().map(|((direction, name, signal), hop)| hop.row(*direction, name, *signal)).collect()
    }

    /// The hops that do not balance. Only meaningful while nothing moves.
    pub fn imbalances(&self) -> Vec<Imbalance> {
        let rows = self.rows();
        let differences = rows.into_iter().map(|row| (row.difference(), row.name));
        differences
            .filter(|(d, _)| *d != 0)
            .map(|(difference, name)| Imbalance { name, difference })
            .collect()
    }
}

impl Hop {
    /// Counts items that left for a reason.
    pub fn drop_items(&self, reason: &'static str, items: u64) {
        bump(&self.dropped, reason, items);
    }

    /// Counts items that were refused for good.
    pub fn reject_items(&self, reason: &'static str, items: u64) {
        bump(&self.rejected, reason, items);
    }

    /// Counts a request that does not parse.
    pub(crate) fn reject_requests(&self) {
        add(&self.malformed, 1);
    }

    fn row(&self, direction: Direction, name: &str, signal: Signal) -> Row {
        let copy = |of: &Mutex<BTreeMap<&'static str, u64>>| {
            of.lock().unwrap_or_else(PoisonError::into_inner).clone()
        };
        Row {
            direction,
            name: name.to_owned(),
            signal,
            taken: self.taken.load(Ordering::Relaxed),
            created: self.created.load(Ordering::Relaxed),
            out: self.out.load(Ordering::Relaxed),
            merged: self.merged.load(Ordering::Relaxed),
            returned: self.returned.load(Ordering::Relaxed),
            overflowed: self.overflowed.load(Ordering::Relaxed),
            held: self.held.load(Ordering::Relaxed),
            batches: self.batches.load(Ordering::Relaxed),
            capacity: self.capacity.load(Ordering::Relaxed),
            consumers: self.consumers.load(Ordering::Relaxed),
            malformed: self.malformed.load(Ordering::Relaxed),
            dropped: copy(&self.dropped),
            rejected: copy(&self.rejected),
        }
    }
}

impl Row {
    /// `in + created - out - held - merged - returned - dropped - rejected`: zero in a sound hop.
    pub fn difference(&self) -> i64 {
        let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let gone: u64 = self.dropped.values().chain(self.rejected.values()).sum();
        signed(self.taken) + signed(self.created)
            - signed(self.out)
            - self.held
            - signed(self.merged)
            - signed(self.returned)
            - signed(gone)
    }
}

fn bump(counts: &Mutex<BTreeMap<&'static str, u64>>, reason: &'static str, items: u64) {
    if items > 0 {
        *counts.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += items;
    }
}

/// Adds to a counter; a hop's counters need no order among each other.
pub(crate) fn add(counter: &AtomicU64, items: u64) {
    counter.fetch_add(items, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hop_is_in_balance_if_what_came_and_was_made_is_what_went_is_held_and_was_counted_away() {
        let ledger = Ledger::default();
        let hop = ledger.hop(Direction::Stage, "batch", Signal::Logs);
        let balance = || ledger.imbalances().first().map_or(0, |imbalance| imbalance.difference);
        add(&hop.taken, 100);
        assert_eq!(balance(), 100);
        add(&hop.created, 27);
        add(&hop.out, 1);
        hop.held.fetch_add(2, Ordering::Relaxed);
        add(&hop.merged, 4);
        add(&hop.returned, 8);
        hop.drop_items("old", 16);
        hop.drop_items("editor", 32);
        assert_eq!(balance(), 64);
        hop.reject_items("invalid", 60);
        let expected = [Imbalance { name: "batch".into(), difference: 4 }];
        assert_eq!(ledger.imbalances(), expected);
        hop.reject_items("invalid", 4);
        assert_eq!(ledger.imbalances(), []);
        add(&hop.out, 1);
        assert_eq!(balance(), -1);
    }

    #[test]
    fn accounts_are_told_apart_by_direction_name_and_signal_and_outlive_who_opened_them() {
        let ledger = Ledger::default();
        let [http, grpc] = [Transport::Http, Transport::Grpc].map(Direction::Receiver);
        for (direction, name, signal) in [
            (Direction::Exporter, "otlp", Signal::Logs),
            (http, "otlp", Signal::Logs),
            (grpc, "otlp", Signal::Logs),
            (grpc, "otlp", Signal::Traces),
            (grpc, "otlp", Signal::Logs),
        ] {
            add(&ledger.hop(direction, name, signal).taken, 1);
        }
        let rows = ledger.rows();
        let taken: Vec<_> = rows.iter().map(|row| (row.direction, row.signal, row.taken)).collect();
        let expected = [
            (grpc, Signal::Traces, 1),
            (grpc, Signal::Logs, 2),
            (http, Signal::Logs, 1),
            (Direction::Exporter, Signal::Logs, 1),
        ];
        assert_eq!(taken, expected);
    }

    #[test]
    fn reasons_appear_with_their_first_item_and_requests_that_do_not_parse_are_no_items() {
        let ledger = Ledger::default();
        let hop = ledger.hop(Direction::Exporter, "otlp", Signal::Logs);
        hop.drop_items("editor", 0);
        hop.reject_items("invalid", 0);
        hop.reject_requests();
        let row = ledger.rows().remove(0);
        assert_eq!((row.dropped.len(), row.rejected.len(), row.malformed), (0, 0, 1));
        assert_eq!(ledger.imbalances(), []);
    }
}
