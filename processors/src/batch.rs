//! Merges requests on their way, so that exporters send fewer and larger ones.
//!
//! It keeps settlements with what it merges, and waits no longer than `timeout`: a sender hears what became of its data.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use smallvec::SmallVec;
use std::sync::Arc;
use throughline_component::port::Clock;
use throughline_component::{Batch, Build, Chunk, ConfigError, Factory, Metadata, Outlet, Processor};
use throughline_config as config;
use throughline_otlp::Signal;

pub(crate) const FACTORY: Factory = Factory::processor::<Merge>("batch");

/// Merges requests into batches.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("x-not-supported" = ["metadata_cardinality_limit"]))]
pub(crate) struct Config {
    /// A batch of this many items goes at once.
    send_batch_size: u32,
    /// The longest that data waits for company. `0s`: not at all.
    timeout: config::Duration,
    /// No batch has more items than this; `0`: no limit. A single request that has more goes alone, as it came.
    send_batch_max_size: u32,
    /// Only requests with equal values of these metadata keys are merged.
    metadata_keys: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            send_batch_size: 8192,
            timeout: config::Duration::from_millis(200),
            send_batch_max_size: 0,
            metadata_keys: Vec::new(),
        }
    }
}

type Group = (Signal, Vec<Option<Vec<String>>>);

pub(crate) struct Merge {
    config: Config,
    clock: Arc<dyn Clock>,
    waiting: BTreeMap<Group, Waiting>,
}

struct Waiting {
    chunks: SmallVec<[Chunk; 1]>,
    items: u64,
    since: u64,
}

impl Processor for Merge {
    type Config = Config;

    fn build(config: Config, cx: &Build) -> Result<Self, ConfigError> {
        if config.send_batch_max_size > 0 && config.send_batch_max_size < config.send_batch_size {
            let message = format!("must not be less than send_batch_size ({})", config.send_batch_size);
            return Err(ConfigError::new("send_batch_max_size", message));
        }
        Ok(Self { config, clock: Arc::clone(&cx.clock), waiting: BTreeMap::new() })
    }

    fn accept(&mut self, batch: Batch, out: &mut Outlet) {
        let (now, signal) = (self.clock.monotonic_nanos(), batch.signal);
        let max = u64::from(self.config.send_batch_max_size);
        for chunk in batch.chunks {
            let items = u64::from(chunk.items);
            let key = (signal, values(&self.config.metadata_keys, &chunk.context.metadata));
            if max > 0 && self.waiting.get(&key).is_some_and(|waiting| waiting.items + items > max) {
                self.send(&key, out);
            }
            let waiting = self.waiting.entry(key.clone()).or_insert_with(|| Waiting {
                chunks: SmallVec::new(),
                items: 0,
                since: now,
            });
            waiting.chunks.push(chunk);
            waiting.items += items;
            if waiting.items >= u64::from(self.config.send_batch_size) || self.config.timeout.get().is_zero()
            {
                self.send(&key, out);
            }
        }
    }

    fn wakes_at(&self) -> Option<u64> {
        let timeout = u64::try_from(self.config.timeout.get().as_nanos()).unwrap_or(u64::MAX);
        self.waiting.values().map(|waiting| waiting.since.saturating_add(timeout)).min()
    }

    fn tick(&mut self, now: u64, out: &mut Outlet) {
        let timeout = u64::try_from(self.config.timeout.get().as_nanos()).unwrap_or(u64::MAX);
        let due = self.waiting.iter().filter(|(_, waiting)| waiting.since.saturating_add(timeout) <= now);
        let due: Vec<Group> = due.map(|(key, _)| key.clone()).collect();
        due.iter().for_each(|key| self.send(key, out));
    }

    fn flush(&mut self, out: &mut Outlet) {
        let all: Vec<Group> = self.waiting.keys().cloned().collect();
        all.iter().for_each(|key| self.send(key, out));
    }
}

impl Merge {
    fn send(&mut self, key: &Group, out: &mut Outlet) {
        if let Some(waiting) = self.waiting.remove(key) {
            out.send(Batch { signal: key.0, chunks: waiting.chunks });
        }
    }
}

fn values(keys: &[String], metadata: &Metadata) -> Vec<Option<Vec<String>>> {
    keys.iter().map(|key| metadata.0.get(&key.to_ascii_lowercase()).cloned()).collect()
}
