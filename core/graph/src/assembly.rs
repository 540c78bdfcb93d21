//! Building the parts of a graph from its plan.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock, RwLock};

use throughline_component::port::Budget;
use throughline_component::{Built, ComponentId, DynReceiver, Fatal, Kind};
use throughline_otlp::Signal;
use throughline_queue::{Backlog, Storage};

use crate::Direction;
use crate::entry::{Accounts, Entry, Taking};
use crate::feeder::{Feeder, Reads};
use crate::ledger::Hop;
use crate::pipeline::{Connector, Pipeline, Stage, Target};
use crate::plan::{Pipeline as Planned, Stage as PlannedStage, Stored};
use crate::running_processor::RunningProcessor;
use crate::setup::{Make, Setup};
use crate::sink::{Sink, SinkServices};
use crate::stream::Stream;
use crate::walk::FusedWalk;

/// Builds the parts of a graph from its plan.
pub(crate) struct Assembly<'a> {
    setup: &'a Setup,
    pub(crate) sinks: BTreeMap<ComponentId, Arc<Sink>>,
    pub(crate) connectors: BTreeMap<ComponentId, Arc<Connector>>,
    /// By pipeline, each as its plan has them.
    streams: BTreeMap<String, Vec<Arc<Stream>>>,
    /// Those before holders, by name.
    held: BTreeMap<String, Arc<Stream>>,
    pub(crate) feeders: Vec<Arc<Feeder>>,
}

pub(crate) type Exporters = Vec<(ComponentId, Arc<dyn throughline_component::DynExporter>)>;

/// A receiver that is to be started, and what stands behind its output.
pub(crate) struct NewReceiver {
    pub(crate) id: ComponentId,
    pub(crate) receiver: Box<dyn DynReceiver>,
    pub(crate) entry: Arc<Entry>,
}

impl<'a> Assembly<'a> {
    /// With the sinks that stay as they are.
    pub(crate) fn new(setup: &'a Setup, sinks: BTreeMap<ComponentId, Arc<Sink>>) -> Self {
        let (streams, held, feeders) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        Self { setup, sinks, connectors: BTreeMap::new(), streams, held, feeders }
    }

    pub(crate) async fn open_streams(&mut self) -> Result<(), Fatal> {
        for planned in &self.setup.plan.pipelines {
            let mut streams = Vec::new();
            for stored in &planned.streams {
                let name = format!("{}:stream", planned.id);
                let hop = self.setup.ledger.hop(Direction::Stage, &name, planned.signal);
                let stream = self.stream(&planned.id, stored, hop).await?;
                streams.push(Arc::new(stream));
            }
            self.streams.insert(planned.id.clone(), streams);
            for stage in &planned.stages {
                let PlannedStage::Stream(stored) = stage else { continue };
                let name = planned.before(stored);
                let hop = self.setup.ledger.hop(Direction::Stage, &format!("{name}:stream"), planned.signal);
                let stream = self.stream(&name, stored, hop).await?;
                self.held.insert(name, Arc::new(stream));
            }
        }
        Ok(())
    }

    async fn stream(&self, name: &str, stored: &Stored, hop: Arc<Hop>) -> Result<Stream, Fatal> {
        let Setup { services, health, warnings, .. } = self.setup;
        Stream::open(name, stored, services, (hop, Arc::clone(health), Arc::clone(warnings))).await
    }

    /// Tells of data that waits for destinations which the configuration does not feed.
    pub(crate) async fn tell_of_stranded(&self) {
        let fed: BTreeSet<(String, ComponentId)> = self.setup.plan.fed().collect();
        let services = &self.setup.services;
        let storages: Vec<_> =
            services.names::<Storage>().filter_map(|id| services.named::<Storage>(id)).collect();
        let backlogs = tokio::task::spawn_blocking(move || {
            let logs = storages.iter().filter_map(|storage| storage.log().ok());
            logs.flat_map(|log| log.backlogs()).collect::<Vec<_>>()
        });
        for Backlog { stream, destination, bytes, .. } in backlogs.await.unwrap_or_default() {
            if bytes > 0 && !fed.contains(&(stream.clone(), ComponentId::new(&destination))) {
                tracing::warn!(
                    %stream, %destination, bytes,
                    "data waits here for an exporter that the configuration does not feed"
                );
            }
        }
    }

    /// Takes back the cursors that were made for a configuration that does not come into service: nobody would read for them,
    /// and what they keep would fill the storage.
    pub(crate) async fn unsubscribe(&self) {
        for stream in self.streams.values().flatten().chain(self.held.values()) {
            stream.unsubscribe().await;
        }
    }

    pub(crate) fn pipelines(&mut self) -> Result<Vec<Arc<Pipeline>>, Fatal> {
        let plan = &self.setup.plan;
        let pipelines: Result<Vec<_>, _> =
            plan.pipelines.iter().map(|planned| self.pipeline(planned)).collect();
        let pipelines = pipelines?;
        for (id, connector) in &self.connectors {
            let into =
                plan.pipelines.iter().zip(&pipelines).filter(|(planned, _)| planned.receivers.contains(id));
            drop(connector.into.set(into.map(|(_, pipeline)| Arc::clone(pipeline)).collect()));
        }
        for (planned, pipeline) in plan.pipelines.iter().zip(&pipelines) {
            self.feed_holders(planned, pipeline);
        }
        Ok(pipelines)
    }

    fn feed_holders(&mut self, planned: &Planned, pipeline: &Arc<Pipeline>) {
        for (at, stages) in planned.stages.iter().zip(&pipeline.stages).enumerate() {
            let (PlannedStage::Stream(stored), Stage::Stream(stream)) = stages else { continue };
            let name = format!("{}:feed", planned.before(stored));
            let hop = self.setup.ledger.hop(Direction::Stage, &name, planned.signal);
            let pipeline = Arc::clone(pipeline);
            let to = Reads::Stages { holder: stored.fed[0].clone(), pipeline, from: at + 1 };
            let stream = Arc::clone(stream);
            let (name, clock) = (ComponentId::new(&name), Arc::clone(&self.setup.clock));
            self.feeders.push(Arc::new(Feeder { name, stream, to, clock, hop }));
        }
    }

    fn pipeline(&mut self, planned: &Planned) -> Result<Arc<Pipeline>, Fatal> {
        let mut stages = Vec::new();
        for stage in &planned.stages {
            stages.push(match stage {
                PlannedStage::Walk { editors, .. } => Stage::Walk(self.walk(planned, editors)?),
                PlannedStage::Processor(id) => {
                    Stage::Processor(Arc::new(self.step(Kind::Processor, id, planned)?))
                }
                PlannedStage::Stream(stored) => {
                    Stage::Stream(Arc::clone(&self.held[&planned.before(stored)]))
                }
            });
        }
        let mut targets = Vec::new();
        let streams = self.streams.get(&planned.id).cloned().unwrap_or_default();
        targets.extend(streams.iter().cloned().map(Target::Stream));
        for (kind, id) in &planned.sinks {
            let feeds = planned.streams.iter().zip(&streams).find(|(stored, _)| stored.fed.contains(id));
            match (self.target(*kind, id, planned)?, feeds) {
                (Target::Sink(sink), Some((_, stream))) => {
                    let name = format!("{}:stream:{id}", planned.id);
                    let hop = self.setup.ledger.hop(Direction::Stage, &name, planned.signal);
                    let (stream, name) = (Arc::clone(stream), ComponentId::new(&name));
                    let (to, clock) = (Reads::Sink(sink), Arc::clone(&self.setup.clock));
                    self.feeders.push(Arc::new(Feeder { name, stream, to, clock, hop }));
                }
                (target, _) => targets.push(target),
            }
        }
        Ok(Arc::new(Pipeline {
            id: planned.id.clone(),
            signal: planned.signal,
            stages,
            targets,
            health: Arc::clone(&self.setup.health),
            panicked: AtomicBool::new(false),
            resends: Arc::default(),
        }))
    }

    fn walk(&self, planned: &Planned, ids: &[ComponentId]) -> Result<FusedWalk, Fatal> {
        let mut editors = Vec::new();
        for id in ids {
            let name = format!("{}:{id}", planned.id);
            let hop = self.setup.ledger.hop(Direction::Stage, &name, planned.signal);
            match self.make(Kind::Processor, id)? {
                Built::Editor(editor) => editors.push((editor, hop)),
                _ => return Err(Fatal(format!("{id} was planned as an editor and is none"))),
            }
        }
        Ok(FusedWalk { editors, memory: self.setup.services.get::<Budget>() })
    }

    fn step(&self, kind: Kind, id: &ComponentId, planned: &Planned) -> Result<RunningProcessor, Fatal> {
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
        Ok(RunningProcessor::new(
            name,
            connects,
            processor,
            Box::new(rebuild),
            hop,
            Arc::clone(&self.setup.health),
        ))
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
            SinkServices {
                clock: Arc::clone(&self.setup.clock),
                random: Arc::clone(&self.setup.random),
                health: Arc::clone(&self.setup.health),
                warnings: Arc::clone(&self.setup.warnings),
                memory: self.setup.services.get(),
            },
            hops,
        ));
        self.sinks.insert(id.clone(), Arc::clone(&sink));
        Ok(Target::Sink(sink))
    }

    pub(crate) fn exporters(&self) -> Exporters {
        self.sinks.iter().map(|(id, sink)| (id.clone(), sink.exporter())).collect()
    }

    /// Where the data of each receiver goes.
    pub(crate) fn taking(&self, pipelines: &[Arc<Pipeline>]) -> BTreeMap<ComponentId, Arc<Taking>> {
        let planned = &self.setup.plan.pipelines;
        let ids: BTreeSet<&ComponentId> = planned.iter().flat_map(|pipeline| &pipeline.receivers).collect();
        let receivers = ids.into_iter().filter(|id| !self.connectors.contains_key(*id));
        let taking = |id: &ComponentId| {
            let fed = |signal: Signal| {
                let taking = planned.iter().zip(pipelines);
                let taking = taking.filter(|(plan, _)| plan.signal == signal && plan.receivers.contains(id));
                taking.map(|(_, pipeline)| Arc::clone(pipeline)).collect()
            };
            Arc::new([fed(Signal::Traces), fed(Signal::Metrics), fed(Signal::Logs)])
        };
        receivers.map(|id| (id.clone(), taking(id))).collect()
    }

    pub(crate) fn receiver(&self, id: &ComponentId, taking: Arc<Taking>) -> Result<NewReceiver, Fatal> {
        let entry = Entry {
            id: id.clone(),
            pipelines: RwLock::new(taking),
            accounts: Accounts::new(&self.setup.ledger),
            clock: Arc::clone(&self.setup.clock),
            health: Arc::clone(&self.setup.health),
            warnings: Arc::clone(&self.setup.warnings),
        };
        let receiver = make_receiver(&self.setup.make, id)?;
        Ok(NewReceiver { id: id.clone(), receiver, entry: Arc::new(entry) })
    }

    fn make(&self, kind: Kind, id: &ComponentId) -> Result<Built, Fatal> {
        (self.setup.make)(kind, id).map_err(|error| Fatal(format!("{id}: {error}")))
    }
}

pub(crate) fn make_receiver(make: &Make, id: &ComponentId) -> Result<Box<dyn DynReceiver>, Fatal> {
    match make(Kind::Receiver, id) {
        Ok(Built::Receiver(receiver)) => Ok(receiver),
        Ok(_) => Err(Fatal(format!("{id} was planned as a receiver and is none"))),
        Err(error) => Err(Fatal(format!("{id}: {error}"))),
    }
}
