//! Destinations that are fed from a storage: a success reply is the disk's, delivery follows (architecture, "Streams").

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use throughline_component::port::{Charge, Clock, Random, SystemClock, SystemDisk, SystemRandom};
use throughline_component::{
    Auth, Batch, Build, Built, ComponentId, ConfigError, Context, DeliverySettings, Exporter, Factory, Fatal,
    Health, Kind, Metadata, Outcome, Output, Position, Receiver, Services, Stop,
};
use throughline_graph::{Fact, Facts, Graph, Ledger, Plan, Setup, Wire, Wiring};
use throughline_otlp::Signal;
use throughline_queue::{Ports, Settings, Storage};

/// What the exporters of one test were given, and whether one of them is down.
#[derive(Default)]
struct Backend {
    down: AtomicBool,
    /// Whether the exporters are given `max_elapsed_time`.
    gives_up: AtomicBool,
    got: Mutex<BTreeMap<ComponentId, Vec<Option<Position>>>>,
    /// The metadata that came with what was stored.
    metadata: Mutex<Vec<Metadata>>,
    door: Mutex<Option<Output>>,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct NoSettings {}

struct Door(Arc<Backend>);

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

struct Sink(Arc<Backend>, ComponentId);

impl Exporter for Sink {
    type Config = NoSettings;
    fn build(_: NoSettings, cx: &Build) -> Result<Self, ConfigError> {
        Ok(Self(cx.services.get().expect("the test offers it"), cx.id.clone()))
    }
    async fn export(&self, batch: &Batch) -> Outcome {
        if self.1.as_str() == "sink/kept" && self.0.down.load(Ordering::Relaxed) {
            return Outcome::retry("it is down");
        }
        if self.1.as_str() == "sink/kept" {
            let metadata = batch.chunks.iter().map(|chunk| chunk.context.metadata.clone());
            self.0.metadata.lock().expect("no panic").extend(metadata);
            assert!(batch.chunks.iter().all(|chunk| chunk.context.auth.is_none()), "never on a disk");
        }
        let positions = batch.chunks.iter().map(|chunk| chunk.position);
        self.0.got.lock().expect("no panic").entry(self.1.clone()).or_default().extend(positions);
        Outcome::DONE
    }
}

async fn start(folder: &Path, backend: &Arc<Backend>, ledger: &Arc<Ledger>) -> Graph {
    let ids = |list: &[&str]| list.iter().map(|id| ComponentId::new(id)).collect::<Vec<_>>();
    let wire = Wire {
        id: "logs".into(),
        signal: Signal::Logs,
        receivers: ids(&["door"]),
        processors: Vec::new(),
        exporters: ids(&["sink/plain", "sink/kept", "sink/other"]),
    };
    let storage = ComponentId::new("file_storage");
    let exporter = |id: &str, storage| {
        let metadata = vec!["X-Tenant".to_owned()];
        ((Kind::Exporter, ComponentId::new(id)), Fact::Exporter { storage, metadata })
    };
    let other = ComponentId::new("file_storage/other");
    let facts = Facts::from([
        exporter("sink/plain", None),
        exporter("sink/kept", Some(storage.clone())),
        exporter("sink/other", Some(other.clone())),
    ]);
    let (clock, random): (Arc<dyn Clock>, Arc<dyn Random>) =
        (Arc::new(SystemClock::default()), Arc::new(SystemRandom::default()));
    let mut services = Services::default();
    services.offer(Arc::clone(backend));
    let ports = Ports { disk: Arc::new(SystemDisk), clock: Arc::clone(&clock), random: Arc::clone(&random) };
    let second = Settings { create_directory: true, ..Settings::new(folder.join("other")) };
    services.offer_as(storage, Arc::new(Storage::new(ports.clone(), Settings::new(folder.to_owned()))));
    services.offer_as(other, Arc::new(Storage::new(ports, second)));
    let cx = Build {
        id: ComponentId::new("door"),
        clock: Arc::clone(&clock),
        random: Arc::clone(&random),
        services: services.clone(),
    };
    let gives_up = backend.gives_up.load(Ordering::Relaxed);
    let make = move |kind, id: &ComponentId| {
        let cx = Build { id: id.clone(), ..cx.clone() };
        let factory = match kind {
            Kind::Receiver => Factory::receiver::<Door>("door"),
            _ => Factory::exporter::<Sink>("sink"),
        };
        let built = factory.build(serde_json::Value::Null, &cx)?;
        Ok(match built {
            Built::Exporter(exporter, _) => {
                let mut settings = DeliverySettings::default();
                settings.retry_on_failure.enabled = false;
                if gives_up {
                    let retry = serde_json::json!({ "initial_interval": "1ms", "max_elapsed_time": "20ms" });
                    settings.retry_on_failure = serde_json::from_value(retry).expect("right");
                }
                Built::Exporter(exporter, Some(settings))
            }
            other => other,
        })
    };
    let plan = Plan::new(&Wiring { pipelines: vec![wire] }, &facts, None);
    let (ledger, health) = (Arc::clone(ledger), Arc::new(Health::default()));
    let setup =
        Setup { plan, make: Arc::new(make), services, extensions: Vec::new(), clock, random, ledger, health };
    Graph::start(setup).await.expect("nothing is wrong")
}

async fn send(backend: &Backend) -> Outcome {
    let out = backend.door.lock().expect("no panic").clone().expect("the receiver runs");
    // One resource, one scope, one empty log record.
    let request = bytes::Bytes::from_static(&[0x0a, 4, 0x12, 2, 0x12, 0]);
    let mut context = Context::internal(ComponentId::new("door"), 1);
    let header = |name: &str, value: &str| (name.to_owned(), vec![value.to_owned()]);
    context.metadata = Metadata(BTreeMap::from([header("x-tenant", "a"), header("cookie", "a secret")]));
    context.auth = Some(Auth { subject: "somebody".into() });
    let context = Arc::new(context);
    out.send(Signal::Logs, request, context, Charge::none()).await
}

fn got(backend: &Backend, id: &str) -> Vec<Option<Position>> {
    backend.got.lock().expect("no panic").get(&ComponentId::new(id)).cloned().unwrap_or_default()
}

#[tokio::test]
async fn a_dead_destination_keeps_nobody_waiting_and_gets_everything_after_a_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (backend, ledger) = (Arc::new(Backend::default()), Arc::new(Ledger::default()));
    backend.down.store(true, Ordering::Relaxed);
    let graph = start(folder.path(), &backend, &ledger).await;
    for _ in 0..50 {
        assert_eq!(send(&backend).await, Outcome::DONE, "it is on the disk");
    }
    assert_eq!(got(&backend, "sink/plain").len(), 50);
    assert_eq!(got(&backend, "sink/kept"), []);
    while got(&backend, "sink/other").len() < 50 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(graph.stop(Duration::from_secs(60)).await, 0, "nothing goes back to a sender");
    assert_eq!(ledger.imbalances(), []);

    backend.down.store(false, Ordering::Relaxed);
    let graph = start(folder.path(), &backend, &ledger).await;
    while got(&backend, "sink/kept").len() < 50 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut kept = got(&backend, "sink/kept");
    kept.sort_unstable();
    assert_eq!(kept, got(&backend, "sink/plain"), "both were told where in the stream it lies");
    let asked_for = Metadata(BTreeMap::from([("x-tenant".to_owned(), vec!["a".to_owned()])]));
    assert_eq!(*backend.metadata.lock().expect("no panic"), vec![asked_for; 50]);
    graph.stop(Duration::from_secs(60)).await;
    assert_eq!(ledger.imbalances(), []);
}

#[tokio::test]
async fn stored_data_is_dropped_after_max_elapsed_time_and_counted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (backend, ledger) = (Arc::new(Backend::default()), Arc::new(Ledger::default()));
    backend.down.store(true, Ordering::Relaxed);
    backend.gives_up.store(true, Ordering::Relaxed);
    let graph = start(folder.path(), &backend, &ledger).await;
    assert_eq!(send(&backend).await, Outcome::DONE, "it is on the disk");
    let dropped = || ledger.rows().iter().filter_map(|row| row.dropped.get("max_elapsed_time")).sum::<u64>();
    while dropped() < 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    graph.stop(Duration::from_secs(60)).await;
    assert_eq!(ledger.imbalances(), []);

    backend.down.store(false, Ordering::Relaxed);
    let graph = start(folder.path(), &backend, &ledger).await;
    send(&backend).await;
    while got(&backend, "sink/kept").is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(got(&backend, "sink/kept").len(), 1, "what was given up does not come again");
    graph.stop(Duration::from_secs(60)).await;
}
