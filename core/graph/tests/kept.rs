//! A pull sink: it says Done once the data is in its registry, and its cursor waits for the registry's snapshot
//! (architecture, "A pull sink").

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use throughline_component::port::{Charge, Clock, Journals, Random, SystemClock, SystemRandom};
use throughline_component::{
    Batch, Build, ComponentId, ConfigError, Context, Delivery, Exporter, Factory, Fatal, Health, Journaled,
    Kept, Kind, Outcome, Output, Receiver, Replay, Services, Stop,
};
use throughline_graph::{Fact, Facts, Graph, Ledger, Plan, Setup, Wire, Wiring};
use throughline_otlp::Signal;
use throughline_queue::{Ports, Settings, Storage};
use throughline_testkit::{Keep, LossyDisk, Rng};
use tokio::sync::Notify;

/// What one life of the agent shares with the test.
#[derive(Default)]
struct Life {
    door: Mutex<Option<Output>>,
    /// Asks the sink for a snapshot.
    snapshot: Notify,
    synced: Notify,
    /// What was folded in this life.
    folded: Mutex<Vec<u64>>,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct NoSettings {}

struct Door(Arc<Life>);

impl Receiver for Door {
    type Config = NoSettings;
    fn build(_: NoSettings, cx: &Build) -> Result<Self, ConfigError> {
        Ok(Self(cx.services.get().expect("the test offers it")))
    }
    async fn run(self, out: Output, mut stop: Stop) -> Result<(), Fatal> {
        *self.0.door.lock().expect("no panic") = Some(out);
        stop.ready();
        stop.stopped().await;
        *self.0.door.lock().expect("no panic") = None;
        Ok(())
    }
}

/// The times of all records it was given, and the newest position of the one stream that feeds it.
#[derive(Default)]
struct Times {
    times: Vec<u64>,
    taken: Option<(u64, u64)>,
}

impl Replay for Times {
    fn replay(&mut self, entry: &[u8]) {
        let mut numbers =
            entry.chunks_exact(8).map(|bytes| u64::from_le_bytes(bytes.try_into().expect("eight")));
        self.taken = numbers.next().zip(numbers.next());
        self.times = numbers.collect();
    }
    fn snapshot(&self) -> Vec<u8> {
        let (stream, sequence) = self.taken.unwrap_or_default();
        [stream, sequence].iter().chain(&self.times).flat_map(|number| number.to_le_bytes()).collect()
    }
}

struct Page {
    life: Arc<Life>,
    times: Arc<Journaled<Times>>,
    kept: Arc<Kept>,
}

impl Exporter for Page {
    type Config = NoSettings;
    const DELIVERY: Delivery = Delivery::Direct;

    fn build(_: NoSettings, cx: &Build) -> Result<Self, ConfigError> {
        let life = cx.services.get().expect("the test offers it");
        let times = Journaled::of(cx, Some("file_storage"), Times::default)?;
        Ok(Self { life, times, kept: Arc::new(Kept::new(ComponentId::new("file_storage"))) })
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

    fn kept(&self) -> Option<Arc<Kept>> {
        Some(Arc::clone(&self.kept))
    }

    async fn run(&self, mut stop: Stop) -> Result<(), Fatal> {
        let taken = self.times.open().map_err(|error| Fatal(error.to_string()))?.taken;
        self.kept.say(taken.into_iter().collect());
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
                self.kept.say(taken.into_iter().collect());
                self.life.synced.notify_one();
            }
        }
    }
}

/// One resource, one scope, one log record with a time.
fn request(time: u64) -> bytes::Bytes {
    [&[0x0a, 13, 0x12, 11, 0x12, 9, 0x09][..], &time.to_le_bytes()].concat().into()
}

fn time(request: &[u8]) -> u64 {
    u64::from_le_bytes(request[7..].try_into().expect("a request of this test"))
}

async fn start(disk: &LossyDisk) -> (Graph, Arc<Life>, Arc<Ledger>) {
    let (door, page) = (ComponentId::new("door"), ComponentId::new("page"));
    let storage = ComponentId::new("file_storage");
    let wire = Wire {
        id: "logs".into(),
        signal: Signal::Logs,
        receivers: vec![door.clone()],
        processors: Vec::new(),
        exporters: vec![page.clone()],
    };
    let facts = Facts::from([(
        (Kind::Exporter, page),
        Fact::Exporter { storage: Some(storage.clone()), metadata: Vec::new() },
    )]);
    let plan = Plan::new(&Wiring { pipelines: vec![wire] }, &facts, None);
    let (clock, random): (Arc<dyn Clock>, Arc<dyn Random>) =
        (Arc::new(SystemClock::default()), Arc::new(SystemRandom::default()));
    let life = Arc::<Life>::default();
    let ports =
        Ports { disk: Arc::new(disk.clone()), clock: Arc::clone(&clock), random: Arc::clone(&random) };
    let settings = Settings {
        create_directory: true,
        lock_timeout: std::time::Duration::from_secs(60),
        tail_bytes: 400,
        ..Settings::new(PathBuf::from("/data/log"))
    };
    let log = Arc::new(Storage::new(ports, settings));
    let mut services = Services::default();
    services.offer(Arc::clone(&life));
    services.offer_as(storage.clone(), Arc::clone(&log));
    services.offer_as::<dyn Journals>(storage, log);
    let cx = Build {
        id: door,
        clock: Arc::clone(&clock),
        random: Arc::clone(&random),
        services: services.clone(),
    };
    let make = move |kind, id: &ComponentId| {
        let cx = Build { id: id.clone(), ..cx.clone() };
        let factory = match kind {
            Kind::Receiver => Factory::receiver::<Door>("door"),
            _ => Factory::exporter::<Page>("page"),
        };
        factory.build(serde_json::Value::Null, &cx)
    };
    let (ledger, health) = (Arc::<Ledger>::default(), Arc::<Health>::default());
    let ledger_too = Arc::clone(&ledger);
    let setup =
        Setup { plan, make: Arc::new(make), services, extensions: Vec::new(), clock, random, ledger, health };
    (Graph::start(setup).await.expect("nothing is wrong"), life, ledger_too)
}

async fn send(life: &Life, times: std::ops::Range<u64>) {
    let out = life.door.lock().expect("no panic").clone().expect("the receiver runs");
    for time in times {
        let context = Arc::new(Context::internal(ComponentId::new("door"), 1));
        assert_eq!(out.send(Signal::Logs, request(time), context, Charge::none()).await, Outcome::DONE);
    }
}

/// What was folded in a life, once it is `count`.
async fn folded(life: &Life, count: usize) -> Vec<u64> {
    for _ in 0..60_000 {
        let folded = life.folded.lock().expect("no panic").clone();
        if folded.len() >= count {
            return folded;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    panic!("{count} are awaited, {} came", life.folded.lock().expect("no panic").len());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_what_no_snapshot_holds_is_folded_again_and_nothing_else_is() {
    for keep in [Keep::All, Keep::Nothing, Keep::Some(Rng::new(7))] {
        let disk = LossyDisk::default();
        let (graph, life, _) = start(&disk).await;
        send(&life, 0..30).await;
        folded(&life, 30).await;
        life.snapshot.notify_one();
        life.synced.notified().await;
        // More than a reader may have out at once: what is folded takes no room, whenever the snapshot comes.
        send(&life, 30..1100).await;
        assert_eq!(folded(&life, 1100).await, (0..1100).collect::<Vec<_>>());
        disk.crash(keep);
        graph.stop(std::time::Duration::ZERO).await;

        let (graph, life, ledger) = start(&disk).await;
        send(&life, 1100..1110).await;
        assert_eq!(folded(&life, 1080).await, (30..1110).collect::<Vec<_>>());
        life.snapshot.notify_one();
        life.synced.notified().await;
        graph.stop(std::time::Duration::from_secs(60)).await;
        assert_eq!(ledger.imbalances(), []);

        let (graph, life, _) = start(&disk).await;
        send(&life, 1110..1111).await;
        assert_eq!(folded(&life, 1).await, [1110], "the snapshot holds the rest");
        graph.stop(std::time::Duration::from_secs(60)).await;
    }
}
