//! Counts and times the transitions of changes: five of the platform metrics, with their exact names.
//!
//! | metric | kind | from |
//! |---|---|---|
//! | `change_lead_time_seconds` | histogram | ChangeOpened → first successful DeploymentFinished in production (M0-01) |
//! | `plan_latency_seconds` | histogram | ChangeOpened or ChangeUpdated → PlanCompleted (M0-02) |
//! | `apply_duration_seconds` | histogram | ApplyStarted → ApplySucceeded or ApplyFailed (M0-06) |
//! | `change_apply_total` | counter by `result` | what the recording rule `apply_failure_rate` is made of (M0-10) |
//! | `apply_queue_age_seconds` | age | the oldest approved change whose apply has not started (M0-05) |
//!
//! An event counts once, by its id, and events may come in any order: what begins and what ends is put together once
//! both are known. (A lead time that was counted is not counted again when an earlier deployment turns up.)

mod state;
mod write;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use smallvec::smallvec;
use throughline_component::port::Clock;
use throughline_component::{
    Batch, Build, Chunk, ComponentId, ConfigError, Context, Counter, Factory, Journaled, Outcome, Outlet,
    Processor, Settle,
};
use throughline_config as config;
use throughline_otlp::view::{Record, Request, ResourceLookup};
use throughline_otlp::{Signal, batch};

use state::{Fact, Room, State};

pub(crate) const FACTORY: Factory = Factory::connector::<ChangeMetrics>("change_metrics");

/// Counts and times the transitions of changes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// How often all series are emitted. Changes are emitted at once.
    flush_interval: config::Duration,
    /// How many changes are remembered; beyond it the one first heard of longest ago is forgotten, and counted.
    max_changes: u32,
    /// How many series each metric may have; what comes on top is left out, and counted.
    max_series: u32,
    /// Upper bounds of the histograms' buckets, in seconds, ascending. Counts that a storage kept for other bounds start anew.
    buckets: Vec<f64>,
    /// The storage extension that keeps counts and ages over a restart. Unset: in memory.
    storage: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            flush_interval: config::Duration::from_secs(15),
            max_changes: 50_000,
            max_series: 10_000,
            // From seconds to a week: plans take minutes, reviews take days.
            buckets: vec![
                1.0, 10.0, 60.0, 300.0, 600.0, 1800.0, 3600.0, 14_400.0, 86_400.0, 259_200.0, 604_800.0,
            ],
            storage: None,
        }
    }
}

pub(crate) struct ChangeMetrics {
    id: ComponentId,
    state: Arc<Journaled<State>>,
    clock: Arc<dyn Clock>,
    flush_interval: u64,
    next_flush: u64,
    /// When all series may be told again: what takes long is told seldom.
    not_before: u64,
    /// Something was counted that has not been told.
    due: bool,
    repeated: Counter,
}

impl Processor for ChangeMetrics {
    type Config = Config;
    const SIGNALS: &'static [Signal] = &[Signal::Logs];
    const EMITS: &'static [Signal] = &[Signal::Metrics];

    fn build(config: Config, cx: &Build) -> Result<Self, ConfigError> {
        if config.buckets.is_empty() || !config.buckets.is_sorted_by(|a, b| a < b) {
            return Err(ConfigError::new("buckets", "bounds must be ascending, and at least one"));
        }
        if config.flush_interval.get().is_zero() {
            return Err(ConfigError::new("flush_interval", "must be greater than zero"));
        }
        let interval = config.flush_interval.nanos();
        let forgotten = cx.counter("throughline_change_metrics_forgotten_changes", None);
        let (buckets, max, now) = (config.buckets, config.max_changes as usize, cx.clock.unix_nanos());
        let refused = cx.counter("throughline_change_metrics_refused_observations", None);
        let room = Room { max_series: config.max_series as usize, refused };
        let state =
            Journaled::of(cx, config.storage.as_deref(), || State::new(buckets, max, now, forgotten, room))?;
        Ok(Self {
            id: cx.id.clone(),
            state,
            clock: Arc::clone(&cx.clock),
            flush_interval: interval,
            next_flush: cx.clock.monotonic_nanos(),
            not_before: 0,
            due: false,
            repeated: cx.counter("throughline_change_metrics_repeated_events", None),
        })
    }

    fn accept(&mut self, batch: Batch, out: &mut Outlet) {
        let mut state = match self.state.open() {
            Ok(state) => state,
            Err(error) => return out.settle(batch, &Outcome::retry(error.to_string())),
        };
        let mut entry = Vec::new();
        for chunk in &batch.chunks {
            let mut resource = None;
            for (group, _, record) in Request::new(batch.signal, &chunk.bytes).records() {
                let Record::Log(log) = record else { continue };
                let before = resource.take();
                let resource = resource.insert(ResourceLookup::of(group, before));
                let Some(fact) = Fact::read(log, resource) else { continue };
                if state.take(&fact) {
                    fact.write(&mut entry);
                } else {
                    self.repeated.add(1);
                }
            }
        }
        let journaled = state.append(entry);
        drop(state);
        // What is known already may still be on its way to the disk.
        let Some(journaled) = journaled else { return out.settle(batch, &Outcome::DONE) };
        out.fold(batch.items());
        // The input settles once what it taught is on disk.
        let senders: Vec<Settle> = batch.chunks.into_iter().map(|chunk| chunk.settle).collect();
        journaled.join(Settle::hook(move |outcome| {
            senders.into_iter().for_each(|sender| sender.settle(outcome.clone()));
        }));
        self.due = true;
        if self.clock.monotonic_nanos() >= self.not_before {
            self.emit(out);
        }
    }

    fn wakes_at(&self) -> Option<u64> {
        Some(if self.due { self.next_flush.min(self.not_before) } else { self.next_flush })
    }

    fn tick(&mut self, now: u64, out: &mut Outlet) {
        self.next_flush = now.saturating_add(self.flush_interval);
        self.emit(out);
    }
}

/// All series are told at once, and again only after this many times longer than it took.
const REST: u64 = 20;

impl ChangeMetrics {
    fn emit(&mut self, out: &mut Outlet) {
        let began = self.clock.monotonic_nanos();
        self.tell(out);
        let ended = self.clock.monotonic_nanos();
        self.due = false;
        self.not_before = ended.saturating_add(ended.saturating_sub(began).saturating_mul(REST));
    }

    fn tell(&self, out: &mut Outlet) {
        let now = self.clock.unix_nanos();
        // A journal that cannot be opened is said to those who send; there is nothing to show until then.
        let Ok(mut state) = self.state.open() else { return };
        let bytes = write::request(&mut state, now);
        drop(state);
        let items = batch::count(Signal::Metrics, &bytes);
        if items == 0 {
            return;
        }
        let context = Arc::new(Context::internal(self.id.clone(), now));
        // Series are cumulative: what is lost is in the next emission.
        let chunk = Chunk { bytes, items, position: None, context, settle: Settle::nobody() };
        out.send(Batch { signal: Signal::Metrics, chunks: smallvec![chunk] });
    }
}

#[cfg(test)]
mod tests;
