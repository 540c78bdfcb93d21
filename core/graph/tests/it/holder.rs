//! A processor that holds: a stream before it, whose cursor moves when its output has settled (architecture, "A processor
//! that keeps data keeps the settle tokens with it").

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use throughline_component::{Batch, Build, ConfigError, Emitter, Exporter, Factory, Outcome, Processor};
use throughline_graph::Role;
use throughline_testkit::{Fault, Keep, LossyDisk, Rng};

use crate::harness::{Harness, NoSettings, Running, script, time, until};

/// What one life of the agent shares with the test.
#[derive(Default)]
struct Life {
    held: Mutex<Vec<u64>>,
    exported: Mutex<Vec<u64>>,
    /// Tells the holder to panic.
    panics: AtomicBool,
}

/// Holds what it is given until there are five, then lets go of them together.
struct Five {
    life: Arc<Life>,
    held: Vec<Batch>,
}

impl Processor for Five {
    type Config = NoSettings;
    fn build(_: NoSettings, cx: &Build) -> Result<Self, ConfigError> {
        Ok(Self { life: script(cx), held: Vec::new() })
    }
    fn holds(&self) -> bool {
        true
    }
    fn accept(&mut self, batch: Batch, out: &mut Emitter) {
        assert!(!self.life.panics.load(Ordering::Relaxed), "told to");
        self.life.held.lock().expect("no panic").extend(batch.chunks.iter().map(|chunk| time(&chunk.bytes)));
        self.held.push(batch);
        if self.held.len() == 5 {
            self.flush(out);
        }
    }
    fn flush(&mut self, out: &mut Emitter) {
        self.held.drain(..).for_each(|batch| out.send(batch));
    }
}

struct Sink(Arc<Life>);

impl Exporter for Sink {
    type Config = NoSettings;
    fn build(_: NoSettings, cx: &Build) -> Result<Self, ConfigError> {
        Ok(Self(script(cx)))
    }
    async fn export(&self, batch: &Batch) -> Outcome {
        self.0.exported.lock().expect("no panic").extend(batch.chunks.iter().map(|chunk| time(&chunk.bytes)));
        Outcome::DONE
    }
}

async fn start(disk: &LossyDisk) -> (Running, Arc<Life>) {
    let life = Arc::<Life>::default();
    let world = Harness::new(&life)
        .storage("file_storage", Arc::new(disk.clone()), Path::new("/data/log"))
        .processor(Factory::processor::<Five>("five"), Role::Processor { holds: true })
        .exporter("sink", Factory::exporter::<Sink>("sink"), Value::Null, (Some("file_storage"), &[]));
    (world.start().await, life)
}

async fn send(running: &Running, times: std::ops::Range<u64>) {
    for time in times {
        assert_eq!(running.send(time).await, Outcome::DONE, "it is on the disk");
    }
}

/// A list of a life in order of time, once it has `count`.
async fn awaited(list: &Mutex<Vec<u64>>, count: usize) -> Vec<u64> {
    until("all came", || list.lock().expect("no panic").len() >= count).await;
    let mut times = list.lock().expect("no panic").clone();
    times.sort_unstable();
    times
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_holder_held_at_a_crash_is_read_again_and_what_it_let_go_of_is_not() {
    for keep in [Keep::All, Keep::Nothing, Keep::Some(Rng::new(7))] {
        let disk = LossyDisk::default();
        let (running, life) = start(&disk).await;
        // The senders need not wait for the holder.
        send(&running, 0..3).await;
        awaited(&life.held, 3).await;
        assert!(life.exported.lock().expect("no panic").is_empty());
        // From here on nothing of this life reaches the disk, not even what it does as it ends.
        disk.fail(Some(Fault::DeadAfter(0)));
        running.die().await;
        disk.crash(keep);
        disk.fail(None);

        let (running, life) = start(&disk).await;
        send(&running, 3..5).await;
        assert_eq!(awaited(&life.exported, 5).await, [0, 1, 2, 3, 4]);
        running.end().await;

        let (running, life) = start(&disk).await;
        send(&running, 5..10).await;
        let exported = awaited(&life.exported, 5).await;
        assert_eq!(exported, [5, 6, 7, 8, 9], "the cursor has passed what was let go of");
        running.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_panics_behind_its_stream_turns_readiness_red_and_loses_nothing() {
    let (running, life) = start(&LossyDisk::default()).await;
    life.panics.store(true, Ordering::Relaxed);
    send(&running, 0..5).await;
    until("readiness is red", || running.trouble().is_some_and(|why| why.contains("told to"))).await;
    life.panics.store(false, Ordering::Relaxed);
    assert_eq!(awaited(&life.exported, 5).await, [0, 1, 2, 3, 4]);
    assert_eq!(running.trouble(), None);
    running.end().await;
}
