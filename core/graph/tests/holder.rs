//! A processor that holds: a stream before it, whose cursor moves when its output has settled (architecture, "A processor
//! that keeps data keeps the settle tokens with it").

use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use throughline_component::port::{Charge, Clock, Journals, Random, SystemClock, SystemRandom};
use throughline_component::{
    Batch, Build, ComponentId, ConfigError, Context, Exporter, Factory, Fatal, Health, Kind, Outcome, Outlet,
    Output, Processor, Receiver, Services, Stop,
};
use throughline_graph::{Fact, Facts, Graph, Ledger, Plan, Setup, Wire, Wiring};
use throughline_otlp::Signal;
use throughline_queue::{Ports, Settings, Storage};
use throughline_testkit::{Fault, Keep, LossyDisk, Rng};

/// What one life of the agent shares with the test.
#[derive(Default)]
struct Life {
    door: Mutex<Option<Output>>,
    held: Mutex<Vec<u64>>,
    exported: Mutex<Vec<u64>>,
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

/// Holds what it is given until there are five, then lets go of them together.
struct Five {
    life: Arc<Life>,
    held: Vec<Batch>,
}

impl Processor for Five {
    type Config = NoSettings;
    fn build(_: NoSettings, cx: &Build) -> Result<Self, ConfigError> {
        Ok(Self { life: cx.services.get().expect("the test offers it"), held: Vec::new() })
    }
    fn holds(&self) -> bool {
        true
    }
    fn accept(&mut self, batch: Batch, out: &mut Outlet) {
        self.life.held.lock().expect("no panic").extend(batch.chunks.iter().map(|chunk| time(&chunk.bytes)));
        self.held.push(batch);
        if self.held.len() == 5 {
            self.flush(out);
        }
    }
    fn flush(&mut self, out: &mut Outlet) {
        self.held.drain(..).for_each(|batch| out.send(batch));
    }
}

struct Sink(Arc<Life>);

impl Exporter for Sink {
    type Config = NoSettings;
    fn build(_: NoSettings, cx: &Build) -> Result<Self, ConfigError> {
        Ok(Self(cx.services.get().expect("the test offers it")))
    }
    async fn export(&self, batch: &Batch) -> Outcome {
        self.0.exported.lock().expect("no panic").extend(batch.chunks.iter().map(|chunk| time(&chunk.bytes)));
        Outcome::DONE
    }
}

/// One resource, one scope, one log record with a time.
fn request(time: u64) -> bytes::Bytes {
    [&[0x0a, 13, 0x12, 11, 0x12, 9, 0x09][..], &time.to_le_bytes()].concat().into()
}

fn time(request: &[u8]) -> u64 {
    u64::from_le_bytes(request[7..].try_into().expect("a request of this test"))
}

async fn start(disk: &LossyDisk) -> (Graph, Arc<Life>, Arc<Ledger>, Weak<Storage>) {
    let (door, sink) = (ComponentId::new("door"), ComponentId::new("sink"));
    let storage = ComponentId::new("file_storage");
    let wire = Wire {
        id: "logs".into(),
        signal: Signal::Logs,
        receivers: vec![door.clone()],
        processors: vec![ComponentId::new("five")],
        exporters: vec![sink.clone()],
    };
    let stored = Fact::Exporter { storage: Some(storage.clone()), metadata: Vec::new() };
    let holder = ((Kind::Processor, ComponentId::new("five")), Fact::Processor { holds: true });
    let facts = Facts::from([holder, ((Kind::Exporter, sink), stored)]);
    let plan = Plan::new(&Wiring { pipelines: vec![wire] }, &facts, None);
    let (clock, random): (Arc<dyn Clock>, Arc<dyn Random>) =
        (Arc::new(SystemClock::default()), Arc::new(SystemRandom::default()));
    let life = Arc::<Life>::default();
    let ports =
        Ports { disk: Arc::new(disk.clone()), clock: Arc::clone(&clock), random: Arc::clone(&random) };
    let settings = Settings {
        create_directory: true,
        lock_timeout: Duration::from_secs(60),
        tail_bytes: 400,
        ..Settings::new(PathBuf::from("/data/log"))
    };
    let log = Arc::new(Storage::new(ports, settings));
    let weak = Arc::downgrade(&log);
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
            Kind::Processor => Factory::processor::<Five>("five"),
            _ => Factory::exporter::<Sink>("sink"),
        };
        factory.build(serde_json::Value::Null, &cx)
    };
    let (ledger, health) = (Arc::<Ledger>::default(), Arc::<Health>::default());
    let ledger_too = Arc::clone(&ledger);
    let setup =
        Setup { plan, make: Arc::new(make), services, extensions: Vec::new(), clock, random, ledger, health };
    (Graph::start(setup).await.expect("nothing is wrong"), life, ledger_too, weak)
}

async fn send(life: &Life, times: std::ops::Range<u64>) {
    let out = life.door.lock().expect("no panic").clone().expect("the receiver runs");
    for time in times {
        let context = Arc::new(Context::internal(ComponentId::new("door"), 1));
        assert_eq!(out.send(Signal::Logs, request(time), context, Charge::none()).await, Outcome::DONE);
    }
}

/// A list of a life in order of time, once it has `count`.
async fn awaited(list: &Mutex<Vec<u64>>, count: usize) -> Vec<u64> {
    for _ in 0..20_000 {
        let mut times = list.lock().expect("no panic").clone();
        if times.len() >= count {
            times.sort_unstable();
            return times;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("{count} are awaited: {list:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_holder_held_at_a_crash_is_read_again_and_what_it_let_go_of_is_not() {
    for keep in [Keep::All, Keep::Nothing, Keep::Some(Rng::new(7))] {
        let disk = LossyDisk::default();
        let (graph, life, _, storage) = start(&disk).await;
        // The senders need not wait for the holder.
        send(&life, 0..3).await;
        awaited(&life.held, 3).await;
        assert!(life.exported.lock().expect("no panic").is_empty());
        // From here on nothing of this life reaches the disk, not even what it does as it ends.
        disk.fail(Some(Fault::DeadAfter(0)));
        graph.stop(Duration::ZERO).await;
        while storage.strong_count() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        disk.crash(keep);
        disk.fail(None);

        let (graph, life, ledger, _) = start(&disk).await;
        send(&life, 3..5).await;
        assert_eq!(awaited(&life.exported, 5).await, [0, 1, 2, 3, 4]);
        assert_eq!(graph.stop(Duration::from_secs(60)).await, 0);
        assert_eq!(ledger.imbalances(), []);

        let (graph, life, ledger, _) = start(&disk).await;
        send(&life, 5..10).await;
        assert_eq!(
            awaited(&life.exported, 5).await,
            [5, 6, 7, 8, 9],
            "the cursor has passed what was let go of"
        );
        assert_eq!(graph.stop(Duration::from_secs(60)).await, 0);
        assert_eq!(ledger.imbalances(), []);
    }
}
