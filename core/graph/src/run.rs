//! Running a plan: build, start, supervise, drain.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use throughline_component::port::{Clock, Random};
use throughline_component::{
    Built, ComponentId, ConfigError, DynExtension, DynReceiver, Fatal, Health, Kind, Output, Services, Stop,
    Stopper,
};
use throughline_otlp::Signal;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::entry::Entry;
use crate::pipeline::{Connector, Pipeline, Stage, Target};
use crate::plan::{Pipeline as Planned, Plan, Stage as PlannedStage};
use crate::sink::Sink;
use crate::step::Step;
use crate::stream::{Feeder, Stream};
use crate::walk::Walk;
use crate::{Direction, Ledger};

/// Makes a component anew, through its factory, from its settings.
pub type Make = Arc<dyn Fn(Kind, &ComponentId) -> Result<Built, ConfigError> + Send + Sync>;

/// All that a graph is started from.
pub struct Setup {
    /// What to run.
    pub plan: Plan,
    /// How to make its components.
    pub make: Make,
    /// What extensions offer; storages are found here.
    pub services: Services,
    /// The extensions in service, in the order of the configuration; their offers are known to `make` already.
    pub extensions: Vec<(ComponentId, Arc<dyn DynExtension>)>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// The accounts; they outlive a reload.
    pub ledger: Arc<Ledger>,
    /// Readiness; it outlives a reload.
    pub health: Arc<Health>,
}

/// A running graph.
pub struct Graph {
    receivers: (Stopper, Vec<JoinHandle<()>>),
    feeders: (Stopper, Vec<JoinHandle<()>>),
    services: (Stopper, Vec<JoinHandle<()>>),
    extensions: (Stopper, Vec<JoinHandle<()>>),
    sinks: Vec<Arc<Sink>>,
    pipelines: Vec<Arc<Pipeline>>,
    connectors: Vec<Arc<Connector>>,
}

/// Waits between attempts to restart a component that died.
const RESTART: Duration = Duration::from_secs(1);
const RESTART_MAX: Duration = Duration::from_secs(30);

impl Graph {
    /// Builds and starts everything: extensions first, then exporters, then what lies between, receivers last. Returns
    /// once all of it is in service.
    ///
    /// # Errors
    /// The first component that cannot be built or started; what was started is stopped again.
    pub async fn start(setup: Setup) -> Result<Self, Fatal> {
        let (stop_extensions, extension_stop) = Stopper::new();
        let (stop_services, service_stop) = Stopper::new();
        let (stop_feeders, feeder_stop) = Stopper::new();
        let (stop_receivers, receiver_stop) = Stopper::new();
        let mut assembly = Assembly::new(&setup, service_stop.clone());
        assembly.open_streams().await?;
        let pipelines = assembly.pipelines()?;

        let mut running = Supervisor { health: Arc::clone(&setup.health), tasks: Vec::new() };
        for (id, extension) in &setup.extensions {
            let extension = Arc::clone(extension);
            running.start(id, &extension_stop, move |stop| Ok(Arc::clone(&extension).run(stop))).await?;
        }
        let extensions = (stop_extensions, std::mem::take(&mut running.tasks));

        for (id, exporter) in assembly.exporters() {
            running.start(&id, &service_stop, move |stop| Ok(Arc::clone(&exporter).run(stop))).await?;
        }
        running.tasks.extend(tickers(&pipelines, &assembly.connectors, &setup.clock, &service_stop));
        let services = (stop_services, std::mem::take(&mut running.tasks));
        let feeders = assembly.feeders.drain(..).map(|feeder| feeder.start(feeder_stop.clone())).collect();

        for (id, receiver) in assembly.receivers(&pipelines)? {
            let (make, out) = (Arc::clone(&setup.make), receiver.1);
            let mut first = Some(receiver.0);
            let own = id.clone();
            let run = move |stop| {
                let receiver = match first.take() {
                    Some(receiver) => receiver,
                    None => make_receiver(&make, &own)?,
                };
                Ok(receiver.run(out.clone(), stop))
            };
            running.start(&id, &receiver_stop, run).await?;
        }
        setup.health.started();
        Ok(Self {
            receivers: (stop_receivers, running.tasks),
            feeders: (stop_feeders, feeders),
            services,
            extensions,
            sinks: assembly.sinks.into_values().collect(),
            pipelines,
            connectors: assembly.connectors.into_values().collect(),
        })
    }

    /// Drains: receivers take in nothing more, what is on its way is delivered, then the rest stops. What is not
    /// delivered within `deadline` is returned to its senders. Says how many batches that was.
    pub async fn stop(self, deadline: Duration) -> usize {
        let Self { receivers, feeders, services, extensions, sinks, pipelines, connectors } = self;
        receivers.0.stop();
        // What is in a storage is safe: nobody waits for its delivery.
        feeders.0.stop();
        let drain = async {
            let mut waiting = receivers.1;
            // Receivers wait for settlements, and settlements for what steps keep: flush until both are through.
            loop {
                flush(&pipelines, &connectors);
                waiting.retain(|task| !task.is_finished());
                if waiting.is_empty() && sinks.iter().all(|sink| sink.load() == 0) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let drained = tokio::time::timeout(deadline, drain).await.is_ok();
        let left = if drained { 0 } else { sinks.iter().map(|sink| sink.load()).sum() };
        // They stop by themselves after a short grace; only then may a sink give up what it is trying.
        for task in feeders.1 {
            drop(task.await);
        }
        services.0.stop();
        extensions.0.stop();
        for task in services.1.into_iter().chain(extensions.1) {
            // They were told; one that does not listen is cut off.
            if tokio::time::timeout(Duration::from_secs(1), task).await.is_err() {
                tracing::warn!("a component did not stop in time");
            }
        }
        left
    }
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.pipelines.iter().map(|pipeline| &pipeline.id)).finish()
    }
}

fn flush(pipelines: &[Arc<Pipeline>], connectors: &[Arc<Connector>]) {
    pipelines.iter().for_each(|pipeline| pipeline.flush());
    for connector in connectors {
        connector.step.flush().into_iter().for_each(|batch| connector.forward(batch));
    }
}

/// The tasks that tick steps and connectors.
fn tickers(
    pipelines: &[Arc<Pipeline>],
    connectors: &BTreeMap<ComponentId, Arc<Connector>>,
    clock: &Arc<dyn Clock>,
    stop: &Stop,
) -> Vec<JoinHandle<()>> {
    let mut tasks = Vec::new();
    for pipeline in pipelines {
        for (at, stage) in pipeline.stages.iter().enumerate() {
            let Stage::Step(step) = stage else { continue };
            let (pipeline, step, clock, stop) =
                (Arc::clone(pipeline), Arc::clone(step), Arc::clone(clock), stop.clone());
            tasks.push(tokio::spawn(async move {
                step.tick(&*clock, stop, |batch| pipeline.push_from(at + 1, batch)).await;
            }));
        }
    }
    for connector in connectors.values() {
        let (connector, clock, stop) = (Arc::clone(connector), Arc::clone(clock), stop.clone());
        tasks.push(tokio::spawn(async move {
            let step = Arc::clone(&connector.step);
            step.tick(&*clock, stop, |batch| connector.forward(batch)).await;
        }));
    }
    tasks
}

/// Builds the parts of a graph from its plan.
struct Assembly<'a> {
    setup: &'a Setup,
    stop: Stop,
    sinks: BTreeMap<ComponentId, Arc<Sink>>,
    connectors: BTreeMap<ComponentId, Arc<Connector>>,
    streams: BTreeMap<String, Arc<Stream>>,
    feeders: Vec<Feeder>,
}

type Exporters = Vec<(ComponentId, Arc<dyn throughline_component::DynExporter>)>;
type Receivers = Vec<(ComponentId, (Box<dyn DynReceiver>, Output))>;

impl<'a> Assembly<'a> {
    fn new(setup: &'a Setup, stop: Stop) -> Self {
        let (streams, feeders) = (BTreeMap::new(), Vec::new());
        Self { setup, stop, sinks: BTreeMap::new(), connectors: BTreeMap::new(), streams, feeders }
    }

    async fn open_streams(&mut self) -> Result<(), Fatal> {
        for planned in &self.setup.plan.pipelines {
            let Some((storage, fed)) = &planned.stream else { continue };
            let name = format!("{}:stream", planned.id);
            let hop = self.setup.ledger.hop(Direction::Stage, &name, planned.signal);
            let stream = Stream::open(planned, storage, fed, &self.setup.services, hop).await?;
            self.streams.insert(planned.id.clone(), Arc::new(stream));
        }
        Ok(())
    }

    fn pipelines(&mut self) -> Result<Vec<Arc<Pipeline>>, Fatal> {
        let plan = &self.setup.plan;
        let pipelines: Result<Vec<_>, _> =
            plan.pipelines.iter().map(|planned| self.pipeline(planned)).collect();
        let pipelines = pipelines?;
        for (id, connector) in &self.connectors {
            let into =
                plan.pipelines.iter().zip(&pipelines).filter(|(planned, _)| planned.receivers.contains(id));
            drop(connector.into.set(into.map(|(_, pipeline)| Arc::clone(pipeline)).collect()));
        }
        Ok(pipelines)
    }

    fn pipeline(&mut self, planned: &Planned) -> Result<Arc<Pipeline>, Fatal> {
        let mut stages = Vec::new();
        for stage in &planned.stages {
            stages.push(match stage {
                PlannedStage::Walk { editors, .. } => Stage::Walk(self.walk(planned, editors)?),
                PlannedStage::Step(id) => Stage::Step(Arc::new(self.step(Kind::Processor, id, planned)?)),
            });
        }
        let mut targets = Vec::new();
        let stream = self.streams.get(&planned.id).cloned();
        targets.extend(stream.clone().map(Target::Stream));
        let fed = planned.stream.as_ref().map_or(&[][..], |(_, fed)| fed);
        for (kind, id) in &planned.sinks {
            match (self.target(*kind, id, planned)?, &stream) {
                (Target::Sink(sink), Some(stream)) if fed.contains(id) => {
                    let name = format!("{}:stream:{id}", planned.id);
                    let hop = self.setup.ledger.hop(Direction::Stage, &name, planned.signal);
                    let (stream, clock) = (Arc::clone(stream), Arc::clone(&self.setup.clock));
                    self.feeders.push(Feeder { stream, sink, hop, clock });
                }
                (target, _) => targets.push(target),
            }
        }
        Ok(Arc::new(Pipeline { id: planned.id.clone(), signal: planned.signal, stages, targets }))
    }

    fn walk(&self, planned: &Planned, ids: &[ComponentId]) -> Result<Walk, Fatal> {
        let mut editors = Vec::new();
        for id in ids {
            match self.make(Kind::Processor, id)? {
                Built::Editor(editor) => editors.push(editor),
                _ => return Err(Fatal(format!("{id} was planned as an editor and is none"))),
            }
        }
        let names: Vec<_> = ids.iter().map(ComponentId::as_str).collect();
        let hop = self.setup.ledger.hop(
            Direction::Stage,
            &format!("{}:{}", planned.id, names.join("+")),
            planned.signal,
        );
        Ok(Walk { editors, hop })
    }

    fn step(&self, kind: Kind, id: &ComponentId, planned: &Planned) -> Result<Step, Fatal> {
        let Built::Processor(processor) = self.make(kind, id)? else {
            return Err(Fatal(format!("{id} was planned as a step and is none")));
        };
        let (make, own) = (Arc::clone(&self.setup.make), id.clone());
        let rebuild = move || match make(kind, &own) {
            Ok(Built::Processor(processor)) => Some(processor),
            _ => None,
        };
        let connects = kind == Kind::Connector;
        // A connector stands between pipelines and is one hop for all of them.
        let name = if connects { id.to_string() } else { format!("{}:{id}", planned.id) };
        let hop = self.setup.ledger.hop(Direction::Stage, &name, planned.signal);
        Ok(Step::new(name, connects, processor, Box::new(rebuild), hop, Arc::clone(&self.setup.health)))
    }

    fn target(&mut self, kind: Kind, id: &ComponentId, planned: &Planned) -> Result<Target, Fatal> {
        if kind == Kind::Connector {
            if let Some(connector) = self.connectors.get(id) {
                return Ok(Target::Connector(Arc::clone(connector)));
            }
            let step = Arc::new(self.step(Kind::Connector, id, planned)?);
            let connector = Arc::new(Connector { step, into: OnceLock::new() });
            self.connectors.insert(id.clone(), Arc::clone(&connector));
            return Ok(Target::Connector(connector));
        }
        if let Some(sink) = self.sinks.get(id) {
            return Ok(Target::Sink(Arc::clone(sink)));
        }
        let Built::Exporter(exporter, settings) = self.make(Kind::Exporter, id)? else {
            return Err(Fatal(format!("{id} was planned as an exporter and is none")));
        };
        let (ledger, name) = (Arc::clone(&self.setup.ledger), id.as_str().to_owned());
        let hops: [_; 3] = [Signal::Traces, Signal::Metrics, Signal::Logs]
            .map(|signal| ledger.hop(Direction::Exporter, &name, signal));
        let sink = Arc::new(Sink::new(
            id.clone(),
            exporter,
            settings.as_ref(),
            Arc::clone(&self.setup.random),
            Arc::clone(&self.setup.health),
            Box::new(move |signal| Arc::clone(&hops[signal as usize])),
            self.stop.clone(),
        ));
        self.sinks.insert(id.clone(), Arc::clone(&sink));
        Ok(Target::Sink(sink))
    }

    fn exporters(&self) -> Exporters {
        self.sinks.iter().map(|(id, sink)| (id.clone(), sink.exporter())).collect()
    }

    fn receivers(&self, pipelines: &[Arc<Pipeline>]) -> Result<Receivers, Fatal> {
        let planned = &self.setup.plan.pipelines;
        let mut ids: Vec<&ComponentId> = planned.iter().flat_map(|pipeline| &pipeline.receivers).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.retain(|id| !self.connectors.contains_key(*id));
        ids.into_iter()
            .map(|id| {
                let fed = |signal: Signal| {
                    let hop = self.setup.ledger.hop(Direction::Receiver, id.as_str(), signal);
                    let taking = planned.iter().zip(pipelines);
                    let taking =
                        taking.filter(|(plan, _)| plan.signal == signal && plan.receivers.contains(id));
                    (hop, taking.map(|(_, pipeline)| Arc::clone(pipeline)).collect())
                };
                let entry = Entry {
                    id: id.clone(),
                    pipelines: [fed(Signal::Traces), fed(Signal::Metrics), fed(Signal::Logs)],
                    clock: Arc::clone(&self.setup.clock),
                    health: Arc::clone(&self.setup.health),
                    panicked: AtomicBool::new(false),
                };
                Ok((id.clone(), (make_receiver(&self.setup.make, id)?, Output::new(Arc::new(entry)))))
            })
            .collect()
    }

    fn make(&self, kind: Kind, id: &ComponentId) -> Result<Built, Fatal> {
        (self.setup.make)(kind, id).map_err(|error| Fatal(format!("{id}: {error}")))
    }
}

fn make_receiver(make: &Make, id: &ComponentId) -> Result<Box<dyn DynReceiver>, Fatal> {
    match make(Kind::Receiver, id) {
        Ok(Built::Receiver(receiver)) => Ok(receiver),
        Ok(_) => Err(Fatal(format!("{id} was planned as a receiver and is none"))),
        Err(error) => Err(Fatal(format!("{id}: {error}"))),
    }
}

type Running = std::pin::Pin<Box<dyn Future<Output = Result<(), Fatal>> + Send>>;

/// Starts components and keeps them alive.
struct Supervisor {
    health: Arc<Health>,
    tasks: Vec<JoinHandle<()>>,
}

impl Supervisor {
    /// Starts a component and waits until it is in service. One that dies later is restarted, ever more patiently.
    async fn start(
        &mut self,
        id: &ComponentId,
        stop: &Stop,
        mut run: impl FnMut(Stop) -> Result<Running, Fatal> + Send + 'static,
    ) -> Result<(), Fatal> {
        let (own, ready) = stop.watched();
        let mut task = tokio::spawn(run(own)?);
        tokio::select! {
            biased;
            () = in_service(ready) => {}
            ended = &mut task => {
                let why = why(ended).unwrap_or_else(|| "it ended before it was in service".into());
                return Err(Fatal(format!("{id} cannot start: {why}")));
            }
        }
        let (health, id, mut stop) = (Arc::clone(&self.health), id.clone(), stop.clone());
        self.tasks.push(tokio::spawn(async move {
            let mut wait = RESTART;
            loop {
                let ended = task.await;
                if stop.is_stopped() {
                    return;
                }
                let mut reason = why(ended).unwrap_or_else(|| "it ended although nobody told it to".into());
                loop {
                    tracing::error!(component = %id, why = %reason, "a component died; it is restarted");
                    health.died(id.as_str(), &reason);
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = stop.stopped() => return,
                    }
                    wait = (wait * 2).min(RESTART_MAX);
                    let (own, ready) = stop.watched();
                    match run(own) {
                        Ok(running) => {
                            task = tokio::spawn(running);
                            let (health, id) = (Arc::clone(&health), id.clone());
                            tokio::spawn(async move {
                                in_service(ready).await;
                                health.revived(id.as_str());
                            });
                            break;
                        }
                        Err(error) => reason = error.to_string(),
                    }
                }
            }
        }));
        Ok(())
    }
}

/// Resolves once the component says that it is in service; never if it ends without a word.
async fn in_service(mut ready: watch::Receiver<bool>) {
    if ready.wait_for(|ready| *ready).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn why(ended: Result<Result<(), Fatal>, tokio::task::JoinError>) -> Option<String> {
    match ended {
        Ok(Ok(())) => None,
        Ok(Err(fatal)) => Some(fatal.to_string()),
        Err(error) if error.is_panic() => {
            Some(format!("it panicked: {}", crate::step::message(&*error.into_panic())))
        }
        Err(_) => Some("it was cancelled".into()),
    }
}
