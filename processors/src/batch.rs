//! Merges requests on their way, so that exporters send fewer and larger ones.
//!
//! It keeps settlements with what it merges, and waits no longer than `timeout`: a sender hears what became of its data.

mod divided;

use std::collections::{BTreeMap, VecDeque};

use schemars::JsonSchema;
use serde::Deserialize;
use smallvec::SmallVec;
use std::sync::Arc;
use throughline_component::port::{Budget, Clock};
use throughline_component::{
    Batch, Build, Chunk, ConfigError, Counter, Emitter, Factory, Histogram, Metadata, Processor,
};
use throughline_config as config;
use throughline_otlp::Signal;

use divided::{Divided, Next};

pub(crate) const FACTORY: Factory = Factory::processor::<Merge>("batch");

/// Merges requests into batches.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// A batch with this many items is sent at once.
    send_batch_size: u32,
    /// How long data may wait until a batch is full. `0s`: not at all.
    timeout: config::Duration,
    /// No batch has more items than this; `0`: no limit. A request that has more is divided. Each part repeats the resource
    /// and the scope, and counts as memory that requests hold: while there is none, the next part waits for the one before.
    send_batch_max_size: u32,
    /// Only requests with equal values of these metadata keys are merged.
    metadata_keys: Vec<String>,
    /// How many combinations of these values may wait at once; `0`: no limit. If there is one more, the batch
    /// that has waited longest is sent.
    metadata_cardinality_limit: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            send_batch_size: 8192,
            timeout: config::Duration::from_millis(200),
            send_batch_max_size: 0,
            metadata_keys: Vec::new(),
            metadata_cardinality_limit: 1000,
        }
    }
}

type Group = (Signal, Vec<Option<Vec<String>>>);

pub(crate) struct Merge {
    config: Config,
    clock: Arc<dyn Clock>,
    waiting: BTreeMap<Group, Waiting>,
    /// Requests whose next part waits for memory, and when it is looked for again.
    divided: VecDeque<(Group, Divided)>,
    look_at: u64,
    budget: Option<Arc<Budget>>,
    postponed: Counter,
    sent: Sent,
}

/// How long a part waits before memory is looked for again: 20 ms, in nanoseconds.
const PAUSE: u64 = 20_000_000;

/// What left, as the Collector counts it.
struct Sent {
    items: Histogram,
    bytes: Histogram,
    by_size: Counter,
    by_timeout: Counter,
}

/// The Collector's buckets for items.
const ITEMS: [u64; 22] = [
    10, 25, 50, 75, 100, 250, 500, 750, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 10_000, 20_000,
    30_000, 50_000, 100_000,
];
/// Its buckets for bytes: from 128 to 16 MiB, each twice the one before.
const BYTES: [u64; 18] = {
    let mut bounds = [128; 18];
    let mut at = 1;
    while at < bounds.len() {
        bounds[at] = bounds[at - 1] * 2;
        at += 1;
    }
    bounds
};

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
        let (clock, sent) = (Arc::clone(&cx.clock), Sent::new(cx));
        Ok(Self {
            config,
            clock,
            waiting: BTreeMap::new(),
            divided: VecDeque::new(),
            look_at: 0,
            budget: cx.services.get::<Budget>(),
            postponed: cx.counter("throughline_batch_postponed_requests", None),
            sent,
        })
    }

    fn accept(&mut self, batch: Batch, out: &mut Emitter) {
        let max = self.max();
        for chunk in batch.chunks {
            let key = (batch.signal, values(&self.config.metadata_keys, &chunk.context.metadata));
            if chunk.items <= max {
                self.part(&key, chunk, out);
                continue;
            }
            let mut request = Divided::new(batch.signal, chunk, max);
            if !self.go_on(&key, &mut request, out) {
                self.postponed.add(1);
                self.look_at = self.clock.monotonic_nanos().saturating_add(PAUSE);
                self.divided.push_back((key, request));
            }
        }
    }

    fn wakes_at(&self) -> Option<u64> {
        let timeout = self.config.timeout.nanos();
        let due = self.waiting.values().map(|waiting| waiting.since.saturating_add(timeout));
        due.chain((!self.divided.is_empty()).then_some(self.look_at)).min()
    }

    fn tick(&mut self, now: u64, out: &mut Emitter) {
        let timeout = self.config.timeout.nanos();
        let due = self.waiting.iter().filter(|(_, waiting)| waiting.since.saturating_add(timeout) <= now);
        let due: Vec<Group> = due.map(|(key, _)| key.clone()).collect();
        self.sent.by_timeout.add(due.len() as u64);
        due.iter().for_each(|key| self.send(key, out));
        if !self.divided.is_empty() && self.look_at <= now {
            self.divide(out);
            self.look_at = now.saturating_add(PAUSE);
        }
    }

    fn flush(&mut self, out: &mut Emitter) {
        self.divide(out);
        for (_, request) in self.divided.drain(..) {
            request.give_back(out);
        }
        let all: Vec<Group> = self.waiting.keys().cloned().collect();
        all.iter().for_each(|key| self.send(key, out));
    }
}

impl Merge {
    fn max(&self) -> u32 {
        match self.config.send_batch_max_size {
            0 => u32::MAX,
            max => max,
        }
    }

    /// Takes parts of the requests that wait, as many as there is memory for.
    fn divide(&mut self, out: &mut Emitter) {
        for _ in 0..self.divided.len() {
            let Some((key, mut request)) = self.divided.pop_front() else { return };
            if !self.go_on(&key, &mut request, out) {
                self.divided.push_back((key, request));
            }
        }
    }

    /// Takes parts of a request; says whether that was all of it.
    fn go_on(&mut self, key: &Group, request: &mut Divided, out: &mut Emitter) -> bool {
        loop {
            match request.next(self.budget.as_ref()) {
                Next::Part(part) => self.part(key, part, out),
                Next::Wait => return false,
                Next::End => return true,
            }
        }
    }

    fn part(&mut self, key: &Group, part: Chunk, out: &mut Emitter) {
        let (items, max) = (u64::from(part.items), u64::from(self.max()));
        if self.waiting.get(key).is_some_and(|waiting| waiting.items + items > max) {
            self.sent.by_size.add(1);
            self.send(key, out);
        }
        if !self.waiting.contains_key(key) {
            self.make_room(out);
            let since = self.clock.monotonic_nanos();
            self.waiting.insert(key.clone(), Waiting { chunks: SmallVec::new(), items: 0, since });
        }
        let Some(waiting) = self.waiting.get_mut(key) else { return };
        waiting.chunks.push(part);
        waiting.items += items;
        if waiting.items >= u64::from(self.config.send_batch_size) || self.config.timeout.get().is_zero() {
            self.sent.by_size.add(1);
            self.send(key, out);
        }
    }

    /// Sends what waits longest if as many combinations wait as may.
    fn make_room(&mut self, out: &mut Emitter) {
        let limit = self.config.metadata_cardinality_limit as usize;
        if limit == 0 || self.waiting.len() < limit {
            return;
        }
        let oldest = self.waiting.iter().min_by_key(|(_, waiting)| waiting.since);
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            self.sent.by_size.add(1);
            self.send(&key, out);
        }
    }

    fn send(&mut self, key: &Group, out: &mut Emitter) {
        if let Some(waiting) = self.waiting.remove(key) {
            let bytes: usize = waiting.chunks.iter().map(|chunk| chunk.bytes.len()).sum();
            self.sent.items.record(waiting.items);
            self.sent.bytes.record(bytes as u64);
            out.send(Batch { signal: key.0, chunks: waiting.chunks });
        }
    }
}

impl Sent {
    fn new(cx: &Build) -> Self {
        Self {
            items: cx.histogram("otelcol_processor_batch_batch_send_size", &ITEMS),
            bytes: cx.histogram("otelcol_processor_batch_batch_send_size_bytes", &BYTES),
            by_size: cx.counter("otelcol_processor_batch_batch_size_trigger_send", None),
            by_timeout: cx.counter("otelcol_processor_batch_timeout_trigger_send", None),
        }
    }
}

fn values(keys: &[String], metadata: &Metadata) -> Vec<Option<Vec<String>>> {
    keys.iter().map(|key| metadata.0.get(&key.to_ascii_lowercase()).cloned()).collect()
}

#[cfg(test)]
mod tests;
