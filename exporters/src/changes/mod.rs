//! Keeps what is known of each change, and serves it on the telemetry endpoint: `GET /changes`, `GET /changes/ID`.
//!
//! It takes domain events (any other log record is none of its business) and keeps names, ids and times of them, no
//! payloads. Done is said once that is journaled, where a storage is configured. `throughline changes` and
//! `throughline change` print what it serves.

mod journal;
mod serve;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use throughline_change::timeline::{ChangeEvent, Limits, Timelines, superseded};
use throughline_component::{
    Batch, Build, ConfigError, Counter, Delivery, Exporter, Factory, Journaled, Outcome,
};
use throughline_config::ByteSize;
use throughline_net::{Route, TelemetryRoutes};
use throughline_otlp::Signal;
use throughline_otlp::view::{Record, Request, ResourceLookup};

use journal::{Entry, JournaledTimelines};
use serve::{Page, Pages};

pub(crate) const FACTORY: Factory = Factory::exporter::<Changes>("changes");

/// Keeps the timeline of each change and serves it on the telemetry endpoint.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// How much memory timelines may take. If it is exceeded, the change without an event for longest is
    /// forgotten, and counted.
    max_memory: ByteSize,
    /// How many events of one change are kept. Beyond it the oldest that neither opened, approved, merged nor closed it is left
    /// out.
    max_events_per_change: u32,
    /// The storage extension that keeps timelines over a restart. Unset: in memory.
    storage: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_memory: ByteSize::mib(64), max_events_per_change: 200, storage: None }
    }
}

/// The exporter.
pub(crate) struct Changes {
    known: Arc<Journaled<JournaledTimelines>>,
    repeated: Counter,
    forgotten: Counter,
}

impl Exporter for Changes {
    type Config = Config;
    const SIGNALS: &'static [Signal] = &[Signal::Logs];
    const DELIVERY: Delivery = Delivery::Direct;

    fn build(config: Config, cx: &Build) -> Result<Self, ConfigError> {
        let memory = usize::try_from(config.max_memory.bytes()).unwrap_or(usize::MAX);
        if memory < 1 << 20 {
            return Err(ConfigError::new("max_memory", "must be at least 1MiB"));
        }
        if config.max_events_per_change < 10 {
            return Err(ConfigError::new("max_events_per_change", "must be at least 10"));
        }
        let limits = Limits { memory, events_per_change: config.max_events_per_change as usize };
        let known =
            Journaled::of(cx, config.storage.as_deref(), || JournaledTimelines(Timelines::new(limits)))?;
        let pages = Arc::new(Pages::new(Arc::clone(&known), Arc::clone(&cx.clock)));
        // Tests build components without an agent around them.
        if let Some(routes) = cx.services.get::<TelemetryRoutes>() {
            for path in ["/changes", "/changes/*"] {
                routes
                    .add(&cx.id, Route { path: path.into(), handler: Arc::new(Page(Arc::clone(&pages))) })?;
            }
        }
        Ok(Self {
            known,
            repeated: cx.counter("throughline_changes_repeated_events", None),
            forgotten: cx.counter("throughline_changes_forgotten", None),
        })
    }

    async fn export(&self, batch: &Batch) -> Outcome {
        let ticket = {
            let mut known = match self.known.open() {
                Ok(known) => known,
                Err(error) => return Outcome::retry(error.to_string()),
            };
            let before = known.0.forgotten();
            let mut journal = Vec::new();
            for chunk in &batch.chunks {
                for entry in entries(batch.signal, &chunk.bytes) {
                    if known.take(&entry) {
                        entry.write(&mut journal);
                    } else {
                        self.repeated.add(1);
                    }
                }
            }
            self.forgotten.add(known.0.forgotten() - before);
            known.append_and_wait(journal)
        };
        match ticket.await {
            Outcome::Done { .. } => Outcome::DONE,
            failed => failed,
        }
    }
}

/// What a request says of changes.
fn entries(signal: Signal, bytes: &[u8]) -> Vec<Entry> {
    let (mut entries, mut resource) = (Vec::new(), None);
    for (group, _, record) in Request::new(signal, bytes).records() {
        let Record::Log(log) = record else { continue };
        let before = resource.take();
        let resource = resource.insert(ResourceLookup::of(group, before));
        if let Some((old, new)) = superseded(log) {
            entries.push(Entry::Renamed { old: old.to_owned(), new: new.to_owned() });
        }
        entries.extend(ChangeEvent::read(log, resource).map(|event| Entry::Event(Box::new(event))));
    }
    entries
}

#[cfg(test)]
mod tests;
