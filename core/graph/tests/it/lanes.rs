//! Within a lane order holds, over retries, panics and restarts; lanes keep nobody else waiting. What fares differently in a batch is
//! tried again by itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use throughline_component::{
    Batch, Build, Chunk, ConfigError, Exporter, Factory, Lane, Outcome, Outcomes, RejectKind,
};
use throughline_graph::Role;
use throughline_otlp::Signal;
use throughline_otlp::view::{Record as View, Request};
use throughline_testkit::{LossyDisk, Rng};

use crate::harness::{Harness, NoSettings, Running, of, until};

const LANES: u64 = 4;

/// What the destination does, and what it saw.
struct Script {
    rng: Mutex<Rng>,
    /// Of so many attempts one passes; zero: every one.
    fails: AtomicU64,
    panics: AtomicBool,
    /// Nothing of this lane passes.
    stuck: AtomicU64,
    /// By lane, in the order of delivery.
    delivered: Mutex<BTreeMap<u64, Vec<u64>>>,
    in_flight: Mutex<BTreeMap<u64, u32>>,
    overlapped: AtomicBool,
}

impl Script {
    fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            rng: Mutex::new(Rng::new(seed)),
            fails: AtomicU64::new(0),
            panics: AtomicBool::new(false),
            stuck: AtomicU64::new(u64::MAX),
            delivered: Mutex::default(),
            in_flight: Mutex::default(),
            overlapped: AtomicBool::new(false),
        })
    }

    fn below(&self, most: u64) -> u64 {
        self.rng.lock().expect("no panic").below(most as usize) as u64
    }

    fn count(&self) -> usize {
        self.delivered.lock().expect("no panic").values().map(Vec::len).sum()
    }
}

fn times(batch: &Batch) -> Vec<u64> {
    let of = |chunk: &Chunk| {
        let (_, _, record) = Request::new(batch.signal, &chunk.bytes).records().next().expect("a record");
        let View::Log(log) = record else { panic!("a log record") };
        log.time_unix_nano()
    };
    batch.chunks.iter().map(of).collect()
}

/// A request that is on its way, until it is answered or given up.
struct Left<'a>(&'a Script, u64);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        *self.0.in_flight.lock().expect("no panic").entry(self.1).or_default() -= 1;
    }
}

struct Partitions(Arc<Script>);

impl Exporter for Partitions {
    type Config = NoSettings;
    fn build(_: NoSettings, cx: &Build) -> Result<Self, ConfigError> {
        Ok(Self(cx.services.get().expect("the test offers it")))
    }

    fn lane(&self, signal: Signal, chunk: &Chunk) -> Lane {
        let (_, _, record) = Request::new(signal, &chunk.bytes).records().next().expect("a record");
        let View::Log(log) = record else { panic!("a log record") };
        Lane::Of(log.time_unix_nano() % LANES)
    }

    async fn export(&self, batch: &Batch) -> Outcome {
        let (script, times) = (&self.0, times(batch));
        let lane = times[0] % LANES;
        assert!(times.iter().all(|time| time % LANES == lane), "a batch has chunks of one lane");
        let busy = {
            let mut in_flight = script.in_flight.lock().expect("no panic");
            let busy = in_flight.entry(lane).or_default();
            *busy += 1;
            *busy
        };
        let left = Left(script, lane);
        if busy > 1 {
            script.overlapped.store(true, Ordering::Relaxed);
        }
        tokio::time::sleep(Duration::from_micros(script.below(300))).await;
        drop(left);
        let fails = script.fails.load(Ordering::Relaxed);
        if script.stuck.load(Ordering::Relaxed) == lane || (fails > 0 && script.below(fails) > 0) {
            return Outcome::retry("not now");
        }
        assert!(!script.panics.swap(false, Ordering::Relaxed), "told to");
        script.delivered.lock().expect("no panic").entry(lane).or_default().extend(times);
        Outcome::DONE
    }
}

fn quick() -> Value {
    json!({ "retry_on_failure": { "initial_interval": "1ms", "max_interval": "2ms", "max_elapsed_time": "0s" } })
}

/// In memory, or from a storage.
async fn start(script: &Arc<Script>, disk: Option<&Arc<LossyDisk>>) -> Running {
    let world = Harness::new(script);
    let mut settings = quick();
    let world = match disk {
        None => world,
        Some(disk) => {
            settings["sending_queue"] = json!({ "storage": "disk" });
            world.storage("disk", Arc::clone(disk) as _, std::path::Path::new("/data"))
        }
    };
    let storage = disk.map(|_| "disk");
    let factory = Factory::exporter::<Partitions>("partitions");
    world.exporter("partitions", factory, settings, (storage, &[])).start().await
}

/// That within each lane the times go up: repetitions are of what came just before a restart.
fn assert_in_order(script: &Script, repeats: bool) {
    assert!(!script.overlapped.load(Ordering::Relaxed), "two requests of one lane at once");
    for (lane, times) in &*script.delivered.lock().expect("no panic") {
        let ordered = times.windows(2).filter(|pair| pair[0] >= pair[1]).count();
        assert!(ordered == 0 || repeats, "lane {lane}: {times:?}");
        let mut once: Vec<u64> = Vec::new();
        for time in times {
            if !once.contains(time) {
                once.push(*time);
            }
        }
        assert!(once.is_sorted(), "lane {lane}: {times:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn order_holds_within_a_lane_whatever_fails() {
    for seed in 0..of(20) {
        let script = Script::new(seed);
        let running = start(&script, None).await;
        script.fails.store(seed % 4, Ordering::Relaxed);
        script.panics.store(seed % 5 == 4, Ordering::Relaxed);
        let tickets: Vec<_> = (1..=200).map(|time| running.send(time)).collect();
        for ticket in tickets {
            assert_eq!(ticket.await, Outcome::DONE, "seed {seed}");
        }
        assert_eq!(script.count(), 200, "seed {seed}");
        assert_in_order(&script, false);
        running.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn order_holds_within_a_lane_of_what_is_stored_over_restarts() {
    for seed in 0..of(8) {
        let (script, disk) = (Script::new(seed), Arc::new(LossyDisk::default()));
        script.fails.store(seed % 3 + 1, Ordering::Relaxed);
        for life in 0..3_u64 {
            let running = start(&script, Some(&disk)).await;
            for time in life * 100 + 1..=(life + 1) * 100 {
                assert_eq!(running.send(time).await, Outcome::DONE);
            }
            if life < 2 {
                running.die().await;
            } else {
                script.fails.store(0, Ordering::Relaxed);
                let last = |lane: u64| (1..=300).rev().find(|time| time % LANES == lane);
                let all = || {
                    let delivered = script.delivered.lock().expect("no panic");
                    (0..LANES).all(|lane| {
                        delivered.get(&lane).and_then(|times| times.last().copied()) == last(lane)
                    })
                };
                until("all arrive", all).await;
                running.die().await;
            }
        }
        assert_in_order(&script, true);
        let delivered = script.delivered.lock().expect("no panic");
        let mut all: Vec<u64> = delivered.values().flatten().copied().collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all, (1..=300).collect::<Vec<_>>(), "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_fails_keeps_no_other_waiting() {
    let script = Script::new(1);
    script.stuck.store(2, Ordering::Relaxed);
    let running = start(&script, None).await;
    let tickets: Vec<_> = (1..=80).map(|time| running.send(time)).collect();
    until("the others got through", || script.count() == 60).await;
    assert!(!script.delivered.lock().expect("no panic").contains_key(&2));
    script.stuck.store(u64::MAX, Ordering::Relaxed);
    for ticket in tickets {
        assert_eq!(ticket.await, Outcome::DONE);
    }
    assert_in_order(&script, false);
    running.end().await;
}

/// Tells of each chunk by itself: times divisible by three fail at first, those by five are bad.
struct Picky(Arc<Recorder>);

#[derive(Default)]
struct Recorder {
    attempts: Mutex<BTreeMap<u64, u32>>,
}

impl Exporter for Picky {
    type Config = NoSettings;
    fn build(_: NoSettings, cx: &Build) -> Result<Self, ConfigError> {
        Ok(Self(cx.services.get().expect("the test offers it")))
    }
    async fn export(&self, _: &Batch) -> Outcome {
        panic!("it tells of each chunk")
    }
    async fn export_each(&self, batch: &Batch) -> Outcomes {
        let mut attempts = self.0.attempts.lock().expect("no panic");
        let each = times(batch).into_iter().map(|time| {
            let attempt = attempts.entry(time).or_default();
            *attempt += 1;
            match (time % 3, time % 5) {
                (0, _) if *attempt < 3 => Outcome::retry("not yet"),
                (_, 0) => Outcome::reject(RejectKind::Invalid, "divisible by five"),
                _ => Outcome::DONE,
            }
        });
        Outcomes::Each(each.collect())
    }
}

/// Puts what comes into batches of ten chunks.
struct Tens(Vec<Batch>);

impl throughline_component::Processor for Tens {
    type Config = NoSettings;
    fn build(_: NoSettings, _: &Build) -> Result<Self, ConfigError> {
        Ok(Self(Vec::new()))
    }
    fn accept(&mut self, batch: Batch, out: &mut throughline_component::Emitter) {
        self.0.push(batch);
        if self.0.len() == 10 {
            self.flush(out);
        }
    }
    fn flush(&mut self, out: &mut throughline_component::Emitter) {
        let chunks = self.0.drain(..).flat_map(|batch| batch.chunks).collect();
        out.send(Batch { signal: Signal::Logs, chunks });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_chunk_of_a_batch_settles_by_what_became_of_it_and_only_what_failed_is_tried_again() {
    let seen = Arc::<Recorder>::default();
    let running = Harness::new(&seen)
        .processor(Factory::processor::<Tens>("tens"), Role::Processor { holds: false })
        .exporter("picky", Factory::exporter::<Picky>("picky"), quick(), (None, &[]))
        .start()
        .await;
    let tickets: Vec<_> = (1..=30).map(|time| (time, running.send(time))).collect();
    for (time, ticket) in tickets {
        let outcome = ticket.await;
        if time % 5 == 0 {
            assert!(matches!(outcome, Outcome::Reject { .. }), "{time}: {outcome:?}");
        } else {
            assert_eq!(outcome, Outcome::DONE, "{time}");
        }
    }
    for (time, attempts) in &*seen.attempts.lock().expect("no panic") {
        assert_eq!(*attempts, if time % 3 == 0 { 3 } else { 1 }, "{time}");
    }
    running.end().await;
}
