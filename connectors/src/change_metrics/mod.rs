//! Counts and times the transitions of changes: metrics with their exact names, each a row of [`table::METRICS`].
//!
//! An event counts once, by its id, and events may come in any order: an observation is made of all that is known once its end
//! was heard of `lateness` ago, and what is told later is counted as late. Ages, and what is active, are shown as they are known.

mod change_state;
mod moment;
mod state;
mod table;
mod write;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use smallvec::smallvec;
use throughline_change::timeline::{self, ChangeEvent};
use throughline_component::port::Clock;
use throughline_component::{
    Batch, Build, Chunk, ComponentId, ConfigError, Context, Counter, Emitter, Factory, Journaled, Outcome,
    Processor, Settle,
};
use throughline_config as config;
use throughline_otlp::view::{Record, Request, ResourceLookup};
use throughline_otlp::{Signal, batch};

use state::{Settings, State, Taken};

pub(crate) const FACTORY: Factory = Factory::connector::<ChangeMetrics>("change_metrics");

/// Counts and times the transitions of changes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// How often all series are emitted. Changes are emitted at once.
    flush_interval: config::Duration,
    /// How long an observation waits, after its last event has arrived, for events that arrive in another order.
    /// Events that come later are counted as late, and change nothing.
    lateness: config::Duration,
    /// How many changes are remembered. If there are more, the oldest is forgotten, and counted.
    max_changes: u32,
    /// How many series each metric may have; observations for further series are left out, and counted.
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
            lateness: config::Duration::from_secs(60),
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
    /// When something will be final next.
    next_final: u64,
    /// When all series may be emitted again: what takes long is done seldom.
    not_before: u64,
    /// Something was counted that has not been emitted.
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
        let (interval, now) = (config.flush_interval.nanos(), cx.clock.unix_nanos());
        let settings = Settings {
            bounds: config.buckets,
            lateness: config.lateness.nanos(),
            max_changes: config.max_changes as usize,
            max_series: config.max_series as usize,
            forgotten: cx.counter("throughline_change_metrics_forgotten_changes", None),
            refused: cx.counter("throughline_change_metrics_refused_observations", None),
            late: cx.counter("throughline_change_metrics_late_events", None),
        };
        let state = Journaled::of(cx, config.storage.as_deref(), || State::new(settings, now))?;
        Ok(Self {
            id: cx.id.clone(),
            state,
            clock: Arc::clone(&cx.clock),
            flush_interval: interval,
            next_flush: cx.clock.monotonic_nanos(),
            next_final: cx.clock.monotonic_nanos(),
            not_before: 0,
            due: false,
            repeated: cx.counter("throughline_change_metrics_repeated_events", None),
        })
    }

    fn accept(&mut self, batch: Batch, out: &mut Emitter) {
        let mut state = match self.state.open() {
            Ok(state) => state,
            Err(error) => return out.settle(batch, &Outcome::retry(error.to_string())),
        };
        let now = self.clock.unix_nanos();
        self.due |= state.advance(now);
        let mut entry = Vec::new();
        for chunk in &batch.chunks {
            let mut resource = None;
            for (group, _, record) in Request::new(batch.signal, &chunk.bytes).records() {
                let Record::Log(log) = record else { continue };
                let before = resource.take();
                let resource = resource.insert(ResourceLookup::of(group, before));
                if let Some((old, new)) = timeline::superseded(log) {
                    if state.rename(old, new) {
                        state::write_renamed(old, new, now, &mut entry);
                    }
                    continue;
                }
                let Some(event) = ChangeEvent::read(log, resource) else { continue };
                match state.take(&event, now) {
                    Taken::New => state::write(&event, now, &mut entry),
                    Taken::Repeated => self.repeated.add(1),
                    Taken::Unread => {}
                }
            }
        }
        state.advance(now);
        self.next_final = wakes(&*self.clock, &state, now);
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
        let soon = if self.due { self.not_before } else { u64::MAX };
        Some(self.next_flush.min(soon).min(self.next_final))
    }

    fn tick(&mut self, now: u64, out: &mut Emitter) {
        if now >= self.next_final {
            let unix = self.clock.unix_nanos();
            if let Ok(mut state) = self.state.open() {
                self.due |= state.advance(unix);
                self.next_final = wakes(&*self.clock, &state, unix);
            }
        }
        let flush = now >= self.next_flush;
        if flush {
            self.next_flush = now.saturating_add(self.flush_interval);
        }
        if flush || (self.due && now >= self.not_before) {
            self.emit(out);
        }
    }
}

/// All series are emitted at once, and again only after this many times longer than it took.
const REST: u64 = 20;

impl ChangeMetrics {
    fn emit(&mut self, out: &mut Emitter) {
        let began = self.clock.monotonic_nanos();
        self.write(out);
        let ended = self.clock.monotonic_nanos();
        self.due = false;
        self.not_before = ended.saturating_add(ended.saturating_sub(began).saturating_mul(REST));
    }

    fn write(&self, out: &mut Emitter) {
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

/// When something becomes final next, by the monotonic clock.
fn wakes(clock: &dyn Clock, state: &State, now: u64) -> u64 {
    let wait = |at: u64| clock.monotonic_nanos().saturating_add(at.saturating_sub(now));
    state.next_final().map_or(u64::MAX, wait)
}

#[cfg(test)]
mod tests;
