//! One pipeline of logs: a door that the test sends through, and behind it whatever the test is about.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use serde_json::{Value, json};
use throughline_component::port::{Charge, Clock, Disk, Journals, Random, SystemClock, SystemRandom};
use throughline_component::{
    Build, ComponentId, ConfigError, Context, Factory, Fatal, Health, Kind, Output, Receiver, Services, Stop,
    Ticket, Warnings,
};
use throughline_graph::{Graph, Ledger, Plan, Reused, Role, Roles, Setup, Wire, Wiring};
use throughline_net::{Listeners, Resources};
use throughline_otlp::Signal;
use throughline_queue::{Ports, Settings, Storage};

/// No test component has settings.
#[derive(serde::Deserialize, schemars::JsonSchema)]
pub(crate) struct NoSettings {}

/// What the test shares with its components.
pub(crate) fn script<T: Send + Sync + 'static>(cx: &Build) -> Arc<T> {
    cx.services.get().expect("the test offers it")
}

/// What the test shares with the door.
#[derive(Default)]
pub(crate) struct Gate {
    out: Mutex<Option<Output>>,
    /// Tells the door to panic, once.
    pub(crate) dies: AtomicBool,
    /// How often the door was opened.
    pub(crate) opened: AtomicU32,
}

struct Door(Arc<Gate>);

impl Receiver for Door {
    type Config = NoSettings;
    fn build(_: NoSettings, cx: &Build) -> Result<Self, ConfigError> {
        Ok(Self(script(cx)))
    }
    async fn run(self, out: Output, mut stop: Stop) -> Result<(), Fatal> {
        *self.0.out.lock().expect("no panic") = Some(out);
        self.0.opened.fetch_add(1, Ordering::Relaxed);
        stop.ready();
        loop {
            tokio::select! {
                () = stop.stopped() => break,
                () = tokio::time::sleep(Duration::from_millis(1)) => {
                    assert!(!self.0.dies.swap(false, Ordering::Relaxed), "told to");
                }
            }
        }
        *self.0.out.lock().expect("no panic") = None;
        Ok(())
    }
}

/// A pipeline that is being described.
pub(crate) struct Harness {
    wire: Wire,
    roles: Roles,
    parts: Vec<(Kind, ComponentId, Factory, Value)>,
    services: Services,
    storages: Vec<Weak<Storage>>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Harness {
    /// A door with nothing behind it. What the components are told, they find as a `T`.
    pub(crate) fn new<T: Send + Sync + 'static>(script: &Arc<T>) -> Self {
        let door = ComponentId::new("door");
        let mut services = Services::default();
        services.offer(Arc::clone(script));
        Self {
            wire: Wire {
                id: "logs".into(),
                signal: Signal::Logs,
                receivers: vec![door.clone()],
                processors: Vec::new(),
                exporters: Vec::new(),
            },
            roles: Roles::new(),
            parts: vec![(Kind::Receiver, door, Factory::receiver::<Door>("door"), Value::Null)],
            services,
            storages: Vec::new(),
            clock: Arc::new(SystemClock::default()),
            random: Arc::new(SystemRandom::default()),
        }
    }

    /// Offers a storage on a disk.
    pub(crate) fn storage(mut self, id: &str, disk: Arc<dyn Disk>, folder: &Path) -> Self {
        let ports = Ports { disk, clock: Arc::clone(&self.clock), random: Arc::clone(&self.random) };
        let settings = Settings {
            create_directory: true,
            lock_timeout: Duration::from_secs(60),
            tail_bytes: 400,
            ..Settings::new(folder.to_owned())
        };
        let storage = Arc::new(Storage::new(ports, settings));
        self.storages.push(Arc::downgrade(&storage));
        let id = ComponentId::new(id);
        self.services.offer_as(id.clone(), Arc::clone(&storage));
        self.services.offer_as::<dyn Journals>(id, storage);
        self
    }

    /// Adds a processor.
    pub(crate) fn processor(mut self, factory: Factory, role: Role) -> Self {
        let id = ComponentId::new(factory.name);
        self.roles.insert((Kind::Processor, id.clone()), role);
        self.wire.processors.push(id.clone());
        self.parts.push((Kind::Processor, id, factory, Value::Null));
        self
    }

    /// Adds an exporter; one with a storage is fed from its stream, with the metadata it asks for.
    pub(crate) fn exporter(
        mut self,
        id: &str,
        factory: Factory,
        settings: Value,
        (storage, metadata): (Option<&str>, &[&str]),
    ) -> Self {
        let id = ComponentId::new(id);
        let (storage, metadata) =
            (storage.map(ComponentId::new), metadata.iter().map(ToString::to_string).collect());
        self.roles.insert((Kind::Exporter, id.clone()), Role::Exporter { storage, metadata });
        self.wire.exporters.push(id.clone());
        self.parts.push((Kind::Exporter, id, factory, settings));
        self
    }

    /// Starts it.
    pub(crate) async fn start(self) -> Running {
        self.try_start().await.expect("nothing is wrong")
    }

    /// Starts it, if it can be started.
    pub(crate) async fn try_start(self) -> Result<Running, Fatal> {
        let Self { wire, roles, parts, mut services, storages, clock, random } = self;
        let gate = Arc::<Gate>::default();
        services.offer(Arc::clone(&gate));
        let cx = Build {
            id: ComponentId::new(""),
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
            services: services.clone(),
        };
        let make = move |kind, id: &ComponentId| {
            let part = parts.iter().find(|part| (part.0, &part.1) == (kind, id)).expect("it was described");
            part.2.build(part.3.clone(), &Build { id: id.clone(), ..cx.clone() })
        };
        let (ledger, health) = (Arc::<Ledger>::default(), Arc::<Health>::default());
        let warnings = Arc::new(Warnings::new(Arc::clone(&clock)));
        let setup = Setup {
            plan: Plan::new(&Wiring { pipelines: vec![wire] }, &roles, None),
            make: Arc::new(make),
            services,
            extensions: Vec::new(),
            clock,
            random,
            ledger: Arc::clone(&ledger),
            health: Arc::clone(&health),
            listeners: Arc::new(Listeners::new(Resources::unbounded(Arc::default(), Arc::clone(&warnings)))),
            warnings,
            reused: Reused::default(),
        };
        let graph = Graph::start(setup, None).await?;
        Ok(Running { graph, gate, ledger, health, storages })
    }
}

/// A pipeline at work.
pub(crate) struct Running {
    pub(crate) graph: Graph,
    pub(crate) gate: Arc<Gate>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) health: Arc<Health>,
    storages: Vec<Weak<Storage>>,
}

impl Running {
    /// Sends a request of one log record with a time.
    pub(crate) fn send(&self, time: u64) -> Ticket {
        self.send_as(time, Context::internal(ComponentId::new("door"), 1))
    }

    /// The same from a sender of whom more is known.
    pub(crate) fn send_as(&self, time: u64, context: Context) -> Ticket {
        self.output().send(Signal::Logs, request(time), Arc::new(context), Charge::none())
    }

    /// The receiver's output.
    pub(crate) fn output(&self) -> Output {
        self.gate.out.lock().expect("no panic").clone().expect("the receiver runs")
    }

    /// Why the agent is not ready.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.health.trouble(0, u64::MAX)
    }

    /// Stops it; all is delivered, and the accounts balance.
    pub(crate) async fn end(self) {
        assert_eq!(self.graph.stop(Duration::from_secs(60)).await, 0);
        assert_eq!(self.ledger.imbalances(), []);
        let left: Vec<_> =
            self.ledger.rows().into_iter().filter(|row| (row.held, row.batches) != (0, 0)).collect();
        assert!(left.is_empty(), "nothing is held any more: {left:#?}");
    }

    /// Ends it without grace, and waits until its storages are closed.
    pub(crate) async fn die(self) {
        self.graph.stop(Duration::ZERO).await;
        until("the storages are closed", || self.storages.iter().all(|storage| storage.strong_count() == 0))
            .await;
    }
}

/// Exporters that get one attempt and a queue of a size.
pub(crate) fn one_attempt(queue_size: u32) -> Value {
    json!({
        "retry_on_failure": { "enabled": false },
        "sending_queue": { "num_consumers": 1, "queue_size": queue_size },
    })
}

/// Waits for something that must come.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..60_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("{what}: it never came");
}

/// One resource, one scope, one log record with a time.
pub(crate) fn request(time: u64) -> bytes::Bytes {
    [&[0x0a, 13, 0x12, 11, 0x12, 9, 0x09][..], &time.to_le_bytes()].concat().into()
}

/// The time in a [`request`].
pub(crate) fn time(request: &[u8]) -> u64 {
    u64::from_le_bytes(request[7..].try_into().expect("a request of this test"))
}

/// Of so many courses of events, how many there is time for: with `SMALL_TESTS` a quarter, for a first look at many mutants.
pub(crate) fn of(all: u64) -> u64 {
    if std::env::var_os("SMALL_TESTS").is_some() { all.div_ceil(4) } else { all }
}
