//! Reloads: what must never run twice at once is handed over, and comes back where the new configuration does not stand.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use throughline_component::port::{Charge, SystemClock, SystemRandom};
use throughline_component::{
    Batch, Build, ComponentId, ConfigError, Context, Delivery, Exporter, Factory, Fatal, Kind, Outcome,
    Output, Receiver, Services, Stop, Warnings,
};
use throughline_graph::{Graph, Plan, Reused, Role, Roles, Setup, Wire, Wiring};
use throughline_net::{Listeners, Resources};
use throughline_otlp::Signal;

use crate::harness::request;

/// What the members of a group share.
#[derive(Default)]
struct Group {
    running: AtomicI32,
    most: AtomicI32,
    starts: AtomicU32,
    fails: AtomicBool,
    /// Where the newest member's data goes.
    out: Mutex<Option<Output>>,
}

/// A member of a group, of which there must never be two.
struct Member(Arc<Group>);

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Settings {
    #[serde(default)]
    _number: u32,
}

impl Receiver for Member {
    type Config = Settings;
    const EXCLUSIVE: bool = true;
    fn build(_: Settings, cx: &Build) -> Result<Self, ConfigError> {
        Ok(Self(cx.services.get().expect("the test offers it")))
    }
    async fn run(self, out: Output, mut stop: Stop) -> Result<(), Fatal> {
        if self.0.fails.swap(false, Ordering::Relaxed) {
            return Err(Fatal("the group does not let it in".into()));
        }
        self.0.starts.fetch_add(1, Ordering::Relaxed);
        let running = self.0.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most.fetch_max(running, Ordering::SeqCst);
        *self.0.out.lock().expect("no panic") = Some(out);
        stop.ready();
        stop.stopped().await;
        // It leaves the group when it has said goodbye.
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }
}

struct Nowhere;

impl Exporter for Nowhere {
    type Config = Settings;
    const DELIVERY: Delivery = Delivery::Direct;
    fn build(_: Settings, _: &Build) -> Result<Self, ConfigError> {
        Ok(Self)
    }
    async fn export(&self, _: &Batch) -> Outcome {
        Outcome::DONE
    }
}

fn plan(receiver: &str, signal: Signal, exporter: &str) -> Plan {
    let exporter = ComponentId::new(exporter);
    let wire = Wire {
        id: "only".into(),
        signal,
        receivers: vec![ComponentId::new(receiver)],
        processors: Vec::new(),
        exporters: vec![exporter.clone()],
    };
    let role = Role::Exporter { storage: None, metadata: Vec::new() };
    let roles: Roles = [((Kind::Exporter, exporter), role)].into_iter().collect();
    Plan::new(&Wiring { pipelines: vec![wire] }, &roles, None)
}

/// A configuration with one member.
fn setup(group: &Arc<Group>, reused: Reused) -> Setup {
    let mut services = Services::default();
    services.offer(Arc::clone(group));
    let (clock, random) = (Arc::new(SystemClock::default()), Arc::new(SystemRandom::default()));
    let (own_clock, own_random, offered) = (clock.clone(), random.clone(), services.clone());
    let make = move |kind, id: &ComponentId| {
        let cx = Build {
            id: id.clone(),
            clock: own_clock.clone(),
            random: own_random.clone(),
            services: offered.clone(),
        };
        let factory = match kind {
            Kind::Receiver => Factory::receiver::<Member>("member"),
            _ => Factory::exporter::<Nowhere>("nowhere"),
        };
        factory.build(json!({}), &cx)
    };
    let warnings = Arc::new(Warnings::new(clock.clone()));
    Setup {
        plan: plan("member", Signal::Logs, "nowhere"),
        make: Arc::new(make),
        services,
        extensions: Vec::new(),
        listeners: Arc::new(Listeners::new(Resources::unbounded(Arc::default(), Arc::clone(&warnings)))),
        clock,
        random,
        ledger: Arc::default(),
        health: Arc::default(),
        warnings,
        reused,
    }
}

fn counts(group: &Group) -> (i32, i32, u32) {
    (
        group.running.load(Ordering::SeqCst),
        group.most.load(Ordering::SeqCst),
        group.starts.load(Ordering::Relaxed),
    )
}

#[tokio::test]
async fn a_member_of_a_group_is_never_there_twice() {
    let group = Arc::<Group>::default();
    let mut graph = Graph::start(setup(&group, Reused::default()), None).await.expect("nothing is wrong");
    for reloads in 1..4 {
        let next =
            Graph::start(setup(&group, Reused::default()), Some(&mut graph)).await.expect("nothing is wrong");
        let old = std::mem::replace(&mut graph, next);
        assert_eq!(old.stop(Duration::from_secs(60)).await, 0);
        assert_eq!(counts(&group), (1, 1, reloads + 1));
    }
    graph.stop(Duration::from_secs(60)).await;
    assert_eq!(counts(&group).0, 0);
}

#[tokio::test]
async fn a_member_comes_back_where_its_successor_does_not_start() {
    let group = Arc::<Group>::default();
    let mut graph = Graph::start(setup(&group, Reused::default()), None).await.expect("nothing is wrong");
    group.fails.store(true, Ordering::Relaxed);
    let failed = Graph::start(setup(&group, Reused::default()), Some(&mut graph)).await;
    assert!(failed.is_err_and(|error| error.to_string().contains("does not let it in")));
    assert_eq!(counts(&group), (1, 1, 2), "it made way, and came back");
    graph.stop(Duration::from_secs(60)).await;
    assert_eq!(counts(&group).0, 0);
}

#[tokio::test]
async fn a_member_that_has_not_changed_runs_on() {
    let group = Arc::<Group>::default();
    let mut graph = Graph::start(setup(&group, Reused::default()), None).await.expect("nothing is wrong");
    let next = setup(&group, Reused::default());
    let unchanged =
        [(Kind::Receiver, ComponentId::new("member")), (Kind::Exporter, ComponentId::new("nowhere"))];
    let reused = graph.reusable(&next.plan, &unchanged.into_iter().collect());
    let next = Graph::start(Setup { reused, ..next }, Some(&mut graph)).await.expect("nothing is wrong");
    let old = std::mem::replace(&mut graph, next);
    assert_eq!(old.stop(Duration::from_secs(60)).await, 0);
    assert_eq!(counts(&group), (1, 1, 1));
    graph.stop(Duration::from_secs(60)).await;
    assert_eq!(counts(&group).0, 0);
}

#[tokio::test]
async fn the_data_of_a_receiver_that_runs_on_goes_to_the_graph_in_service() {
    let group = Arc::<Group>::default();
    let mut graph = Graph::start(setup(&group, Reused::default()), None).await.expect("nothing is wrong");
    let out = group.out.lock().expect("no panic").clone().expect("it runs");
    assert!(out.takes(Signal::Logs) && !out.takes(Signal::Traces));
    let next = setup(&group, Reused::default());
    // The exporter has changed: behind the receiver all is new.
    let unchanged = [(Kind::Receiver, ComponentId::new("member"))];
    let reused = graph.reusable(&next.plan, &unchanged.into_iter().collect());
    let next = Graph::start(Setup { reused, ..next }, Some(&mut graph)).await.expect("nothing is wrong");
    assert_eq!(std::mem::replace(&mut graph, next).stop(Duration::from_secs(60)).await, 0);
    let context = Arc::new(Context::internal(ComponentId::new("member"), 1));
    assert_eq!(out.send(Signal::Logs, request(1), context, Charge::none()).await, Outcome::DONE);
    graph.stop(Duration::from_secs(60)).await;
}

#[tokio::test]
async fn what_is_there_before_and_after_and_emits_the_same_signals_runs_on() {
    let group = Arc::<Group>::default();
    let graph = Graph::start(setup(&group, Reused::default()), None).await.expect("nothing is wrong");
    let unchanged = [
        (Kind::Receiver, "member"),
        (Kind::Receiver, "other"),
        (Kind::Exporter, "nowhere"),
        (Kind::Exporter, "elsewhere"),
    ];
    let unchanged = unchanged.map(|(kind, id)| (kind, ComponentId::new(id))).into_iter().collect();
    let reused = |plan: Plan| {
        let ids = graph.reusable(&plan, &unchanged).ids();
        ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(reused(plan("member", Signal::Logs, "nowhere")), "member nowhere");
    assert_eq!(reused(plan("member", Signal::Traces, "nowhere")), "nowhere");
    assert_eq!(reused(plan("member", Signal::Logs, "elsewhere")), "member");
    assert_eq!(reused(plan("other", Signal::Logs, "elsewhere")), "");
    graph.stop(Duration::from_secs(60)).await;
}
