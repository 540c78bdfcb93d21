//! A pull sink: it says Done once the data is in its registry, and its cursor waits for the registry's snapshot
//! (architecture, "A pull sink").

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use throughline_component::{
    Batch, Build, ComponentId, ConfigError, Delivery, Exporter, Factory, Fatal, Journaled, Outcome, Replay,
    SnapshotWatermark, Stop, Unreadable,
};
use throughline_testkit::{Keep, LossyDisk, Rng};
use tokio::sync::Notify;

use crate::harness::{Harness, NoSettings, Running, script, time, until};

/// What one life of the agent shares with the test.
#[derive(Default)]
struct Life {
    /// Asks the sink for a snapshot.
    snapshot: Notify,
    synced: Notify,
    /// What was folded in this life.
    folded: Mutex<Vec<u64>>,
    /// Makes the one who feeds the sink panic, once.
    feeder_dies: AtomicBool,
}

/// The times of all records it was given, and the newest position of the one stream that feeds it.
#[derive(Default)]
struct Times {
    times: Vec<u64>,
    taken: Option<(u64, u64)>,
}

impl Replay for Times {
    fn replay(&mut self, entry: &[u8]) -> Result<(), Unreadable> {
        let mut numbers =
            entry.chunks_exact(8).map(|bytes| u64::from_le_bytes(bytes.try_into().expect("eight")));
        self.taken = numbers.next().zip(numbers.next());
        self.times = numbers.collect();
        Ok(())
    }
    fn snapshot(&self) -> Vec<u8> {
        let (stream, sequence) = self.taken.unwrap_or_default();
        [stream, sequence].iter().chain(&self.times).flat_map(|number| number.to_le_bytes()).collect()
    }
}

struct Page {
    life: Arc<Life>,
    times: Arc<Journaled<Times>>,
    kept: Arc<SnapshotWatermark>,
}

impl Exporter for Page {
    type Config = NoSettings;
    const DELIVERY: Delivery = Delivery::Direct;

    fn build(_: NoSettings, cx: &Build) -> Result<Self, ConfigError> {
        let life = script(cx);
        let times = Journaled::of(cx, Some("file_storage"), Times::default)?;
        Ok(Self { life, times, kept: Arc::new(SnapshotWatermark::new(ComponentId::new("file_storage"))) })
    }

    async fn export(&self, batch: &Batch) -> Outcome {
        let mut times = self.times.open().expect("the disk is sound while it runs");
        for chunk in &batch.chunks {
            let position = chunk.position.expect("it is fed from a stream");
            let at = (position.stream, position.sequence);
            if times.taken.is_none_or(|taken| taken < at) {
                let time = time(&chunk.bytes);
                times.times.push(time);
                times.taken = Some(at);
                self.life.folded.lock().expect("no panic").push(time);
            }
        }
        Outcome::DONE
    }

    fn snapshot_watermark(&self) -> Option<Arc<SnapshotWatermark>> {
        assert!(!self.life.feeder_dies.swap(false, Ordering::Relaxed), "told to");
        Some(Arc::clone(&self.kept))
    }

    async fn run(&self, mut stop: Stop) -> Result<(), Fatal> {
        let taken = self.times.open().map_err(|error| Fatal(error.to_string()))?.taken;
        self.kept.publish(taken.into_iter().collect());
        stop.ready();
        loop {
            tokio::select! {
                () = stop.stopped() => return Ok(()),
                () = self.life.snapshot.notified() => {}
            }
            let (ticket, taken) = {
                let mut times = self.times.open().map_err(|error| Fatal(error.to_string()))?;
                (times.compact(), times.taken)
            };
            if ticket.await == Outcome::DONE {
                self.kept.publish(taken.into_iter().collect());
                self.life.synced.notify_one();
            }
        }
    }
}

async fn start(disk: &LossyDisk, life: &Arc<Life>) -> Running {
    let page = Factory::exporter::<Page>("page");
    let world = Harness::new(life)
        .storage("file_storage", Arc::new(disk.clone()), Path::new("/data/log"))
        .exporter("page", page, Value::Null, (Some("file_storage"), &[]));
    world.start().await
}

async fn started(disk: &LossyDisk) -> (Running, Arc<Life>) {
    let life = Arc::<Life>::default();
    (start(disk, &life).await, life)
}

async fn send(running: &Running, times: std::ops::Range<u64>) {
    for time in times {
        assert_eq!(running.send(time).await, Outcome::DONE, "it is on the disk");
    }
}

/// What was folded in a life, once it is `count`.
async fn folded(life: &Life, count: usize) -> Vec<u64> {
    until("all was folded", || life.folded.lock().expect("no panic").len() >= count).await;
    life.folded.lock().expect("no panic").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_what_no_snapshot_holds_is_folded_again_and_nothing_else_is() {
    for keep in [Keep::All, Keep::Nothing, Keep::Some(Rng::new(7))] {
        let disk = LossyDisk::default();
        let (running, life) = started(&disk).await;
        send(&running, 0..30).await;
        folded(&life, 30).await;
        life.snapshot.notify_one();
        life.synced.notified().await;
        // More than a reader may have out at once: what is folded takes no room, whenever the snapshot comes.
        send(&running, 30..1100).await;
        assert_eq!(folded(&life, 1100).await, (0..1100).collect::<Vec<_>>());
        disk.crash(keep);
        running.graph.stop(std::time::Duration::ZERO).await;

        let (running, life) = started(&disk).await;
        send(&running, 1100..1110).await;
        assert_eq!(folded(&life, 1080).await, (30..1110).collect::<Vec<_>>());
        life.snapshot.notify_one();
        life.synced.notified().await;
        running.end().await;

        let (running, life) = started(&disk).await;
        send(&running, 1110..1111).await;
        assert_eq!(folded(&life, 1).await, [1110], "the snapshot holds the rest");
        running.end().await;
    }
}

#[tokio::test]
async fn who_feeds_a_destination_and_dies_is_restarted() {
    let (disk, life) = (LossyDisk::default(), Arc::<Life>::default());
    life.feeder_dies.store(true, Ordering::Relaxed);
    let running = start(&disk, &life).await;
    send(&running, 0..3).await;
    until("readiness is red", || running.trouble().is_some_and(|why| why.contains("told to"))).await;
    assert_eq!(folded(&life, 3).await, [0, 1, 2]);
    until("readiness is green", || running.trouble().is_none()).await;
    running.end().await;
}
