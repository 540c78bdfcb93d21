//! Merges requests on their way, so that exporters send fewer and larger ones.
//!
//! It keeps settlements with what it merges, and waits no longer than `timeout`: a sender hears what became of its data.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use smallvec::SmallVec;
use std::sync::Arc;
use throughline_component::port::Clock;
use throughline_component::{
    Batch, Build, Chunk, ConfigError, Counter, Factory, Histogram, Metadata, Outlet, Processor,
};
use throughline_config as config;
use throughline_otlp::{Signal, batch};

pub(crate) const FACTORY: Factory = Factory::processor::<Merge>("batch");

/// Merges requests into batches.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// A batch of this many items goes at once.
    send_batch_size: u32,
    /// The longest that data waits for company. `0s`: not at all.
    timeout: config::Duration,
    /// No batch has more items than this; `0`: no limit. A request that has more is divided.
    send_batch_max_size: u32,
    /// Only requests with equal values of these metadata keys are merged.
    metadata_keys: Vec<String>,
    /// How many combinations of these values may wait at once; `0`: no limit. One more, and what waits longest goes.
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
    sent: Sent,
}

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
        Ok(Self { config, clock, waiting: BTreeMap::new(), sent })
    }

    fn accept(&mut self, batch: Batch, out: &mut Outlet) {
        let max = match self.config.send_batch_max_size {
            0 => u32::MAX,
            max => max,
        };
        for chunk in batch.chunks {
            let key = (batch.signal, values(&self.config.metadata_keys, &chunk.context.metadata));
            for part in divided(batch.signal, chunk, max) {
                self.part(&key, part, u64::from(max), out);
            }
        }
    }

    fn wakes_at(&self) -> Option<u64> {
        let timeout = self.config.timeout.nanos();
        self.waiting.values().map(|waiting| waiting.since.saturating_add(timeout)).min()
    }

    fn tick(&mut self, now: u64, out: &mut Outlet) {
        let timeout = self.config.timeout.nanos();
        let due = self.waiting.iter().filter(|(_, waiting)| waiting.since.saturating_add(timeout) <= now);
        let due: Vec<Group> = due.map(|(key, _)| key.clone()).collect();
        self.sent.by_timeout.add(due.len() as u64);
        due.iter().for_each(|key| self.send(key, out));
    }

    fn flush(&mut self, out: &mut Outlet) {
        let all: Vec<Group> = self.waiting.keys().cloned().collect();
        all.iter().for_each(|key| self.send(key, out));
    }
}

impl Merge {
    fn part(&mut self, key: &Group, part: Chunk, max: u64, out: &mut Outlet) {
        let items = u64::from(part.items);
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
    fn make_room(&mut self, out: &mut Outlet) {
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

    fn send(&mut self, key: &Group, out: &mut Outlet) {
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

/// The chunk in parts of at most `max` items, as it is if it has no more.
fn divided(signal: Signal, chunk: Chunk, max: u32) -> Vec<Chunk> {
    if chunk.items <= max {
        return vec![chunk];
    }
    let Chunk { bytes, context, settle, .. } = chunk;
    let parts = batch::split(signal, &bytes, max);
    let items: Vec<u32> = parts.iter().map(|(_, items)| *items).collect();
    let settles = settle.divide(&items).into_iter();
    // A place in a stream belongs to a whole record: two parts with one would look like a replay of the first.
    let part = |((bytes, items), settle)| Chunk {
        bytes,
        items,
        position: None,
        context: Arc::clone(&context),
        settle,
    };
    parts.into_iter().zip(settles).map(part).collect()
}

fn values(keys: &[String], metadata: &Metadata) -> Vec<Option<Vec<String>>> {
    keys.iter().map(|key| metadata.0.get(&key.to_ascii_lowercase()).cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use throughline_component::port::SystemRandom;
    use throughline_component::{ComponentId, Context, Outcome, Services, Settle, Ticket};

    /// A clock that stands still unless it is told.
    #[derive(Default)]
    struct Still(Mutex<u64>);

    impl Clock for Still {
        fn unix_nanos(&self) -> u64 {
            *self.0.lock().expect("no panic")
        }
        fn monotonic_nanos(&self) -> u64 {
            self.unix_nanos()
        }
    }

    fn merge(config: Config) -> Result<Merge, ConfigError> {
        let (clock, random) = (Arc::new(Still::default()), Arc::new(SystemRandom::default()));
        Merge::build(
            config,
            &Build { id: ComponentId::new("batch"), clock, random, services: Services::default() },
        )
    }

    fn chunk(items: u32, tenant: &str) -> (Batch, Ticket) {
        let mut context = Context::internal(ComponentId::new("test"), 0);
        context.metadata.0.insert("tenant".into(), vec![tenant.into()]);
        let (settle, ticket) = Settle::ticket();
        let bytes = throughline_otlp::build::logs(|request| {
            request.resource(&[], |resource| {
                resource.scope("test", "1", |scope| (0..items).for_each(|_| scope.log_record(|_| {})));
            });
        });
        let chunk = Chunk { bytes, items, position: None, context: Arc::new(context), settle };
        (Batch::one(Signal::Logs, chunk), ticket)
    }

    fn sizes(out: &mut Outlet) -> Vec<u64> {
        out.take().0.iter().map(Batch::items).collect()
    }

    #[test]
    fn a_batch_goes_when_it_is_large_enough_or_its_time_is_up() {
        let mut batch = merge(Config { send_batch_size: 10, ..Config::default() }).expect("right");
        let mut out = Outlet::default();
        for items in [4, 5, 3, 2] {
            batch.accept(chunk(items, "a").0, &mut out);
        }
        assert_eq!(sizes(&mut out), [12], "4 + 5 + 3 reach 10");
        assert_eq!(batch.wakes_at(), Some(200_000_000));
        batch.tick(199_999_999, &mut out);
        assert!(sizes(&mut out).is_empty());
        batch.tick(200_000_000, &mut out);
        assert_eq!(sizes(&mut out), [2]);
        assert_eq!(batch.wakes_at(), None);
    }

    #[test]
    fn no_batch_is_larger_than_the_maximum_and_larger_requests_are_divided() {
        let config = Config { send_batch_size: 10, send_batch_max_size: 10, ..Config::default() };
        let mut batch = merge(config).expect("right");
        let mut out = Outlet::default();
        for items in [7, 7, 25, 1] {
            batch.accept(chunk(items, "a").0, &mut out);
        }
        batch.flush(&mut out);
        let sent = out.take().0;
        assert_eq!(sent.iter().map(Batch::items).collect::<Vec<_>>(), [7, 7, 10, 10, 6]);
        let really = |chunk: &Chunk| u64::from(batch::count(Signal::Logs, &chunk.bytes));
        assert!(sent.iter().all(|batch| batch.chunks.iter().map(really).sum::<u64>() == batch.items()));
        let wrong = Config { send_batch_size: 10, send_batch_max_size: 9, ..Config::default() };
        assert_eq!(merge(wrong).err().expect("max below size").path, ["send_batch_max_size"]);
    }

    #[test]
    fn requests_merge_only_if_the_metadata_asked_for_is_equal() {
        let mut batch =
            merge(Config { metadata_keys: vec!["Tenant".into()], ..Config::default() }).expect("right");
        let mut out = Outlet::default();
        for tenant in ["a", "b", "a"] {
            batch.accept(chunk(1, tenant).0, &mut out);
        }
        batch.flush(&mut out);
        assert_eq!(sizes(&mut out), [2, 1]);
    }

    #[test]
    fn a_divided_request_is_done_when_all_of_it_is() {
        let config = Config { send_batch_size: 10, send_batch_max_size: 10, ..Config::default() };
        let (mut batch, mut out) = (merge(config).expect("right"), Outlet::default());
        let (large, ticket) = chunk(25, "a");
        batch.accept(large, &mut out);
        batch.flush(&mut out);
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let (mut ticket, mut sent) = (Box::pin(ticket), out.take().0);
        sent.remove(1).settle(&Outcome::reject(throughline_component::RejectKind::Invalid, "no"));
        sent.remove(0).settle(&Outcome::DONE);
        assert!(ticket.as_mut().poll(&mut cx).is_pending());
        sent.remove(0).settle(&Outcome::DONE);
        let told = std::task::Poll::Ready(Outcome::Done { rejected: 10, why: Some("no".into()) });
        assert_eq!(ticket.as_mut().poll(&mut cx), told);
    }

    #[test]
    fn no_more_combinations_wait_than_may() {
        let config = Config {
            metadata_keys: vec!["tenant".into()],
            metadata_cardinality_limit: 2,
            ..Config::default()
        };
        let (mut batch, mut out) = (merge(config).expect("right"), Outlet::default());
        for (items, tenant) in [(1, "a"), (2, "b"), (3, "a"), (4, "c")] {
            batch.accept(chunk(items, tenant).0, &mut out);
        }
        assert_eq!(sizes(&mut out), [4], "those of a, which waited longest");
        batch.flush(&mut out);
        assert_eq!(sizes(&mut out), [2, 4]);
    }

    #[test]
    fn senders_hear_nothing_until_the_merged_batch_has_settled() {
        let mut batch = merge(Config::default()).expect("right");
        let mut out = Outlet::default();
        let tickets: Vec<Ticket> = (0..3)
            .map(|_| {
                let (one, ticket) = chunk(1, "a");
                batch.accept(one, &mut out);
                ticket
            })
            .collect();
        batch.flush(&mut out);
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let mut tickets: Vec<_> = tickets.into_iter().map(Box::pin).collect();
        assert!(tickets.iter_mut().all(|ticket| ticket.as_mut().poll(&mut cx).is_pending()));
        out.take().0.into_iter().for_each(|batch| batch.settle(&Outcome::DONE));
        assert!(tickets.iter_mut().all(|ticket| ticket.as_mut().poll(&mut cx).is_ready()));
    }
}
