//! Panics, refusals and drains: what the graph promises whatever its components do (architecture invariants 5 and 6).

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use throughline_component::port::{Charge, SystemClock, SystemRandom};
use throughline_component::{
    Batch, Build, Built, Chunk, ComponentId, ConfigError, Context, DeliverySettings, Editor, Exporter,
    Factory, Fatal, Health, Kind, Outcome, Output, Pass, Receiver, RejectKind, Services, Stop, Touch,
};
use throughline_graph::{Fact, Facts, Graph, Ledger, Plan, Setup, Wire, Wiring};
use throughline_otlp::Signal;
use throughline_otlp::edit::{Keep, Levels, Record};
use tokio::sync::Semaphore;

/// What the components of one test are told to do.
#[derive(Default)]
struct Script {
    door: Mutex<Option<Output>>,
    editor_panics: AtomicBool,
    editor_drops: AtomicBool,
    exporter_panics: AtomicBool,
    receiver_dies: AtomicBool,
    receivers: AtomicU32,
    /// What `sink/b` answers; `sink/a` always answers Done.
    answer: Mutex<Option<Outcome>>,
    /// Exports wait for it, if it is there.
    gate: Mutex<Option<Arc<Semaphore>>>,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct NoSettings {}

type Built2 = Result<Built, ConfigError>;

fn script(cx: &Build) -> Arc<Script> {
    cx.services.get().expect("the test offers it")
}

struct Door(Arc<Script>);

impl Receiver for Door {
    type Config = NoSettings;
    fn build(_: NoSettings, cx: &Build) -> Result<Self, ConfigError> {
        Ok(Self(script(cx)))
    }
    async fn run(self, out: Output, mut stop: Stop) -> Result<(), Fatal> {
        *self.0.door.lock().expect("no panic") = Some(out);
        self.0.receivers.fetch_add(1, Ordering::Relaxed);
        stop.ready();
        loop {
            tokio::select! {
                () = stop.stopped() => return Ok(()),
                () = tokio::time::sleep(Duration::from_millis(1)) => {
                    assert!(!self.0.receiver_dies.swap(false, Ordering::Relaxed), "told to");
                }
            }
        }
    }
}

struct Touchy(Arc<Script>);

impl Editor for Touchy {
    type Config = NoSettings;
    fn build(_: NoSettings, cx: &Build) -> Result<Self, ConfigError> {
        Ok(Self(script(cx)))
    }
    fn levels(&self) -> Touch {
        Touch { visits: Levels::LOG, reads_above: Levels::NONE, writes: Levels::LOG, whole: false }
    }
    fn begin<'a>(&'a self, _: Signal, _: &'a Chunk) -> Option<Box<dyn Pass + 'a>> {
        Some(Box::new(TouchyPass(&self.0)))
    }
}

struct TouchyPass<'a>(&'a Script);

impl Pass for TouchyPass<'_> {
    fn edit(&mut self, _: &mut Record<'_>) -> Keep {
        assert!(!self.0.editor_panics.load(Ordering::Relaxed), "told to");
        if self.0.editor_drops.load(Ordering::Relaxed) { Keep::No } else { Keep::Yes }
    }
}

struct Sink(Arc<Script>, bool);

impl Exporter for Sink {
    type Config = NoSettings;
    fn build(_: NoSettings, cx: &Build) -> Result<Self, ConfigError> {
        Ok(Self(script(cx), cx.id.as_str() == "sink/b"))
    }
    async fn export(&self, _: &Batch) -> Outcome {
        let gate = self.0.gate.lock().expect("no panic").clone();
        if let Some(gate) = gate {
            gate.acquire().await.expect("it stays open").forget();
        }
        assert!(!(self.1 && self.0.exporter_panics.load(Ordering::Relaxed)), "told to");
        let answer = self.0.answer.lock().expect("no panic").clone();
        answer.filter(|_| self.1).unwrap_or(Outcome::DONE)
    }
}

struct Running {
    graph: Graph,
    script: Arc<Script>,
    health: Arc<Health>,
    ledger: Arc<Ledger>,
}

async fn start(queue_size: u32) -> Running {
    let ids = |list: &[&str]| list.iter().map(|id| ComponentId::new(id)).collect::<Vec<_>>();
    let wire = Wire {
        id: "logs".into(),
        signal: Signal::Logs,
        receivers: ids(&["door"]),
        processors: ids(&["touchy"]),
        exporters: ids(&["sink/a", "sink/b"]),
    };
    let touch = Touch { visits: Levels::LOG, reads_above: Levels::NONE, writes: Levels::LOG, whole: false };
    let exporter = |id: &str| {
        ((Kind::Exporter, ComponentId::new(id)), Fact::Exporter { storage: None, metadata: Vec::new() })
    };
    let facts = Facts::from([
        ((Kind::Processor, ComponentId::new("touchy")), Fact::Editor(touch)),
        exporter("sink/a"),
        exporter("sink/b"),
    ]);
    let (clock, random) = (Arc::new(SystemClock::default()), Arc::new(SystemRandom::default()));
    let (script, health, ledger) =
        (Arc::<Script>::default(), Arc::<Health>::default(), Arc::<Ledger>::default());
    let mut services = Services::default();
    services.offer(Arc::clone(&script));
    let cx = Build {
        id: ComponentId::new(""),
        clock: clock.clone(),
        random: random.clone(),
        services: services.clone(),
    };
    let make = move |kind, id: &ComponentId| -> Built2 {
        let cx = Build { id: id.clone(), ..cx.clone() };
        let factory = match kind {
            Kind::Receiver => Factory::receiver::<Door>("door"),
            Kind::Processor => Factory::editor::<Touchy>("touchy"),
            _ => Factory::exporter::<Sink>("sink"),
        };
        let settings = serde_json::json!({});
        Ok(match factory.build(settings, &cx)? {
            Built::Exporter(exporter, _) => {
                let delivery = serde_json::json!({
                    "retry_on_failure": { "enabled": false },
                    "sending_queue": { "num_consumers": 1, "queue_size": queue_size },
                });
                let delivery: DeliverySettings = serde_json::from_value(delivery).expect("right");
                Built::Exporter(exporter, Some(delivery))
            }
            other => other,
        })
    };
    let plan = Plan::new(&Wiring { pipelines: vec![wire] }, &facts, None);
    let setup = Setup {
        plan,
        make: Arc::new(make),
        services,
        extensions: Vec::new(),
        clock,
        random,
        ledger: Arc::clone(&ledger),
        health: Arc::clone(&health),
    };
    let graph = Graph::start(setup).await.expect("nothing is wrong");
    Running { graph, script, health, ledger }
}

impl Running {
    fn send(&self) -> throughline_component::Ticket {
        let out = self.script.door.lock().expect("no panic").clone().expect("the receiver runs");
        // One resource, one scope, one empty log record.
        let request = bytes::Bytes::from_static(&[0x0a, 4, 0x12, 2, 0x12, 0]);
        let context = Arc::new(Context::internal(ComponentId::new("door"), 1));
        out.send(Signal::Logs, request, context, Charge::none())
    }

    fn trouble(&self) -> Option<String> {
        self.health.trouble(0, u64::MAX)
    }

    async fn end(self) {
        assert_eq!(self.graph.stop(Duration::from_secs(60)).await, 0);
        assert_eq!(self.ledger.imbalances(), []);
    }
}

#[tokio::test]
async fn an_editor_that_panics_turns_readiness_red_and_its_chunk_into_a_retry() {
    let running = start(10).await;
    assert_eq!(running.send().await, Outcome::DONE);
    running.script.editor_panics.store(true, Ordering::Relaxed);
    assert!(matches!(running.send().await, Outcome::Retry { .. }));
    assert!(running.trouble().is_some_and(|why| why.contains("told to")));
    running.script.editor_panics.store(false, Ordering::Relaxed);
    assert_eq!(running.send().await, Outcome::DONE);
    assert_eq!(running.trouble(), None);
    running.end().await;
}

#[tokio::test]
async fn an_exporter_that_panics_returns_its_batch_and_takes_the_next() {
    let running = start(10).await;
    running.script.exporter_panics.store(true, Ordering::Relaxed);
    assert!(matches!(running.send().await, Outcome::Retry { .. }));
    assert!(running.trouble().is_some());
    running.script.exporter_panics.store(false, Ordering::Relaxed);
    assert_eq!(running.send().await, Outcome::DONE);
    assert_eq!(running.trouble(), None);
    running.end().await;
}

#[tokio::test]
async fn a_receiver_that_dies_is_restarted() {
    let running = start(10).await;
    running.script.receiver_dies.store(true, Ordering::Relaxed);
    while running.script.receivers.load(Ordering::Relaxed) < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    while running.trouble().is_some() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(running.send().await, Outcome::DONE);
    running.end().await;
}

#[tokio::test]
async fn the_worst_of_two_destinations_answers() {
    let running = start(10).await;
    let partial = Outcome::Done { rejected: 1, why: Some("one of them".into()) };
    for answer in [partial, Outcome::reject(RejectKind::Invalid, "never"), Outcome::retry("later")] {
        *running.script.answer.lock().expect("no panic") = Some(answer.clone());
        assert_eq!(running.send().await, answer);
    }
    running.end().await;
}

#[tokio::test]
async fn a_full_queue_refuses_and_what_is_queued_is_delivered() {
    let running = start(1).await;
    let gate = Arc::new(Semaphore::new(0));
    *running.script.gate.lock().expect("no panic") = Some(Arc::clone(&gate));
    let (on_its_way, waiting, refused) = (running.send(), running.send(), running.send());
    assert!(matches!(refused.await, Outcome::Retry { why, .. } if why.contains("full")));
    gate.add_permits(100);
    assert_eq!(on_its_way.await, Outcome::DONE);
    assert_eq!(waiting.await, Outcome::DONE);
    running.end().await;
}

#[tokio::test]
async fn a_drain_delivers_what_was_taken_in() {
    let running = start(10).await;
    let gate = Arc::new(Semaphore::new(0));
    *running.script.gate.lock().expect("no panic") = Some(Arc::clone(&gate));
    let tickets: Vec<_> = (0..5).map(|_| running.send()).collect();
    let ledger = Arc::clone(&running.ledger);
    let stopped = tokio::spawn(running.graph.stop(Duration::from_secs(60)));
    tokio::time::sleep(Duration::from_millis(20)).await;
    gate.add_permits(100);
    assert_eq!(stopped.await.expect("no panic"), 0);
    for ticket in tickets {
        assert_eq!(ticket.await, Outcome::DONE);
    }
    assert_eq!(ledger.imbalances(), []);
}

#[tokio::test]
async fn what_a_drain_cannot_deliver_in_time_goes_back_to_its_sender() {
    let running = start(10).await;
    *running.script.gate.lock().expect("no panic") = Some(Arc::new(Semaphore::new(0)));
    let ticket = running.send();
    let left = running.graph.stop(Duration::from_millis(50)).await;
    assert_eq!(left, 2, "one batch for each destination");
    drop(running.script);
    let answer = tokio::time::timeout(Duration::from_secs(60), ticket).await;
    assert!(matches!(answer, Ok(Outcome::Retry { .. })), "{answer:?}");
}

#[tokio::test]
async fn a_chunk_that_an_editor_drops_whole_is_done_and_accounted_for() {
    let running = start(10).await;
    running.script.editor_drops.store(true, Ordering::Relaxed);
    assert_eq!(running.send().await, Outcome::DONE);
    let rows = running.ledger.rows();
    assert!(rows.iter().any(|row| row.dropped.get("editor") == Some(&1)), "{rows:?}");
    running.end().await;
}
