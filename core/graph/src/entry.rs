//! Where receivers hand data over: admission, accounts, and the fork into pipelines.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use bytes::Bytes;
use throughline_component::port::Clock;
use throughline_component::{
    Batch, Chunk, ComponentId, Health, Origin, Outcome, RejectKind, Sender, Settle, Ticket, Transport,
    Warnings,
};
use throughline_otlp::{Admitted, Limits, Signal, admit};

use crate::ledger::{Direction, Hop, Ledger, add};
use crate::pipeline::Pipeline;

/// What stands behind a receiver's `Output`.
pub(crate) struct Entry {
    pub(crate) id: ComponentId,
    /// Where its data goes now. A reload that does not change the receiver changes this.
    pub(crate) pipelines: RwLock<Arc<Taking>>,
    pub(crate) accounts: Accounts,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) health: Arc<Health>,
    pub(crate) warnings: Arc<Warnings>,
}

/// The pipelines that take a receiver's data, by signal.
pub(crate) type Taking = [Vec<Arc<Pipeline>>; 3];

/// A receiver's accounts by signal and transport, opened on first use: most receivers speak one transport only.
pub(crate) struct Accounts {
    ledger: Arc<Ledger>,
    opened: [[OnceLock<Arc<Hop>>; Transport::ALL.len()]; Signal::ALL.len()],
}

impl Accounts {
    pub(crate) fn new(ledger: &Arc<Ledger>) -> Self {
        Self { ledger: Arc::clone(ledger), opened: Default::default() }
    }

    fn of(&self, id: &ComponentId, signal: Signal, transport: Transport) -> &Arc<Hop> {
        self.opened[signal as usize][transport as usize]
            .get_or_init(|| self.ledger.hop(Direction::Receiver(transport), id.as_str(), signal))
    }
}

impl Entry {
    /// Where its data goes now.
    pub(crate) fn taking(&self) -> Arc<Taking> {
        Arc::clone(&self.pipelines.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on its data goes there.
    pub(crate) fn redirect(&self, to: Arc<Taking>) {
        *self.pipelines.write().unwrap_or_else(PoisonError::into_inner) = to;
    }

    fn push(signal: Signal, chunk: Chunk, pipelines: &[Arc<Pipeline>]) {
        let batch = Batch::one(signal, chunk);
        match pipelines {
            [only] => only.push(batch),
            several => several
                .iter()
                .zip(batch.fork(several.len()))
                .for_each(|(pipeline, batch)| pipeline.push(batch)),
        }
    }
}

impl Sender for Entry {
    fn takes(&self, signal: Signal) -> bool {
        !self.taking()[signal as usize].is_empty()
    }

    fn dropped(&self, signal: Signal, transport: Transport, reason: &'static str, items: u64) {
        let hop = self.accounts.of(&self.id, signal, transport);
        add(&hop.taken, items);
        hop.drop_items(reason, items);
    }

    fn send(&self, signal: Signal, request: Bytes, from: Origin) -> Ticket {
        let Origin { context, charge, position } = from;
        let (settle, ticket) = Settle::ticket();
        let hop = self.accounts.of(&self.id, signal, context.transport);
        let admitted = match admit(signal, request, &Limits::default()) {
            Ok(admitted) => admitted,
            Err(malformed) => {
                hop.reject_requests();
                self.warnings.warn(
                    &self.id,
                    "requests are refused: they do not parse",
                    0,
                    &malformed.to_string(),
                );
                settle.settle(Outcome::reject(RejectKind::Invalid, malformed.to_string()));
                return ticket;
            }
        };
        let Admitted { bytes, items, rejected, why, .. } = admitted;
        add(&hop.taken, u64::from(items) + u64::from(rejected));
        hop.reject_items("invalid_utf8", u64::from(rejected));
        if rejected > 0 {
            let why = why.as_deref().unwrap_or_default();
            self.warnings.warn(
                &self.id,
                "records are cut out of requests: their text is damaged",
                rejected.into(),
                why,
            );
        }
        if items == 0 {
            settle.settle(Outcome::Done { rejected, why: why.map(Into::into) });
            return ticket;
        }
        let number = self.health.request_started(self.clock.monotonic_nanos());
        let held = i64::from(items);
        hop.held.fetch_add(held, Ordering::Relaxed);
        let (account, health) = (Arc::clone(hop), Arc::clone(&self.health));
        let settle = Settle::hook(move |outcome| {
            drop(charge);
            health.request_settled(number);
            account.held.fetch_sub(held, Ordering::Relaxed);
            settle.settle(account_for(&account, items, outcome, rejected, why));
        });
        let chunk = Chunk { bytes, items, position, context, settle };
        Self::push(signal, chunk, &self.taking()[signal as usize]);
        ticket
    }
}

/// Books the outcome of `items`, and adds what admission had cut out to what the sender is told.
fn account_for(hop: &Hop, items: u32, outcome: Outcome, cut: u32, why: Option<String>) -> Outcome {
    match outcome {
        Outcome::Done { rejected, why: theirs } => {
            add(&hop.out, u64::from(items));
            let why = match (why, theirs) {
                (Some(ours), Some(theirs)) => Some(format!("{ours}; {theirs}").into()),
                (ours, theirs) => ours.map(Into::into).or(theirs),
            };
            Outcome::Done { rejected: rejected.saturating_add(cut), why }
        }
        Outcome::Retry { .. } => {
            add(&hop.returned, u64::from(items));
            outcome
        }
        Outcome::Reject { kind, .. } => {
            hop.reject_items(kind.as_str(), u64::from(items));
            outcome
        }
    }
}
