//! Running a plan: start, drain.

use std::sync::Arc;
use std::time::Duration;

use throughline_component::port::{Budget, Clock, Random};
use throughline_component::{
    Built, ComponentId, ConfigError, DynExtension, Fatal, Health, Kind, Meter, Services, Warnings,
};
use throughline_net::Listeners;

use crate::Ledger;
use crate::assembly::{Assembly, make_receiver};
use crate::pipeline::{Connector, Pipeline, Stage};
use crate::plan::Plan;
use crate::share::Share;
use crate::sink::Sink;
use crate::supervisor::Supervisor;

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
    /// What is said of losses; it outlives a reload.
    pub warnings: Arc<Warnings>,
    /// The listeners of this configuration, which `make` gives to its components. They serve once all stands.
    pub listeners: Arc<Listeners>,
}

/// A running graph.
pub struct Graph {
    receivers: Supervisor,
    feeders: Supervisor,
    services: Supervisor,
    extensions: Supervisor,
    sinks: Vec<Arc<Sink>>,
    pipelines: Vec<Arc<Pipeline>>,
    connectors: Vec<Arc<Connector>>,
}

impl Graph {
    /// Builds and starts everything beside what is in service, in two phases. First all parts are built, and their storages and
    /// listeners opened: extensions first, then exporters, then what lies between, receivers, and those who will read the streams.
    /// Once all of it stands, the listeners are committed, and data comes to this graph. Only then are the streams read.
    ///
    /// # Errors
    /// The first component that cannot be built or started. What was started is stopped again, and what was in service before
    /// is as it was.
    pub async fn start(setup: Setup) -> Result<Self, Fatal> {
        let mut graph = Self {
            receivers: Supervisor::new(&setup.health),
            feeders: Supervisor::new(&setup.health),
            services: Supervisor::new(&setup.health),
            extensions: Supervisor::new(&setup.health),
            sinks: Vec::new(),
            pipelines: Vec::new(),
            connectors: Vec::new(),
        };
        let mut assembly = Assembly::new(&setup, graph.services.stop().clone());
        if let Err(error) = graph.launch(&setup, &mut assembly).await {
            graph.abandon().await;
            assembly.unsubscribe().await;
            return Err(error);
        }
        setup.health.started();
        Ok(graph)
    }

    async fn launch(&mut self, setup: &Setup, assembly: &mut Assembly<'_>) -> Result<(), Fatal> {
        assembly.open_streams().await?;
        self.pipelines = assembly.pipelines()?;
        self.sinks = assembly.sinks.values().cloned().collect();
        self.connectors = assembly.connectors.values().cloned().collect();
        for (id, extension) in &setup.extensions {
            let extension = Arc::clone(extension);
            self.extensions.start(id, move |stop| Ok(Arc::clone(&extension).run(stop))).await?;
        }
        for (id, exporter) in assembly.exporters() {
            self.services.start(&id, move |stop| Ok(Arc::clone(&exporter).run(stop))).await?;
        }
        self.tick(&setup.clock);
        for (id, receiver) in assembly.receivers(&self.pipelines)? {
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
            self.receivers.start(&id, run).await?;
        }
        self.feed(setup, assembly).await?;
        // The last thing that can fail; if it does, what was in service before still is.
        setup.listeners.commit().await?;
        for part in [&self.extensions, &self.services, &self.receivers, &self.feeders] {
            part.in_service();
        }
        assembly.tell_of_stranded().await;
        Ok(())
    }

    /// Starts those who read streams; they read once all is in service.
    async fn feed(&mut self, setup: &Setup, assembly: &mut Assembly<'_>) -> Result<(), Fatal> {
        let (memory, readers) = (setup.services.get::<Budget>(), assembly.feeders.len());
        let meter = setup.services.get::<Meter>().unwrap_or_default();
        for feeder in assembly.feeders.drain(..) {
            let name = feeder.name.clone();
            let waits = meter.counter("throughline_stream_reader_waits", &name, None);
            let share = Share::of(memory.as_ref(), readers, waits);
            let run = move |stop| Arc::clone(&feeder).run(Arc::clone(&share), stop);
            self.feeders.start(&name, move |stop| Ok(Box::pin(run(stop)))).await?;
        }
        Ok(())
    }

    /// Ends what was started and never came into service.
    async fn abandon(self) {
        let Self { receivers, feeders, services, extensions, .. } = self;
        for part in [receivers, feeders, services, extensions] {
            part.end().await;
        }
    }

    /// Drains: receivers take in nothing more, what is on its way is delivered, then the rest stops. What is not
    /// delivered within `deadline` is returned to its senders. Says how many batches that was.
    pub async fn stop(self, deadline: Duration) -> usize {
        let Self { mut receivers, feeders, services, extensions, sinks, pipelines, connectors } = self;
        receivers.say_stop();
        // What is in a storage is safe: nobody waits for its delivery.
        feeders.say_stop();
        // Requests that are still arriving come to this graph, even once it has stopped.
        pipelines.iter().for_each(|pipeline| pipeline.drain());
        connectors.iter().for_each(|connector| connector.step.drain());
        sinks.iter().for_each(|sink| sink.drain());
        let drain = async {
            // Receivers wait for settlements, and settlements for what steps keep: flush until both are through.
            loop {
                flush(&pipelines, &connectors);
                if !receivers.is_running() && sinks.iter().all(|sink| sink.load() == 0) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let drained = tokio::time::timeout(deadline, drain).await.is_ok();
        let left = if drained { 0 } else { sinks.iter().map(|sink| sink.load()).sum() };
        // They stop by themselves after a short grace; only then may a sink give up what it is trying.
        for part in [feeders, services, extensions] {
            part.end().await;
        }
        sinks.iter().for_each(|sink| sink.retire());
        left
    }

    /// The tasks that tick steps and connectors.
    fn tick(&mut self, clock: &Arc<dyn Clock>) {
        for pipeline in &self.pipelines {
            for (at, stage) in pipeline.stages.iter().enumerate() {
                let Stage::Step(step) = stage else { continue };
                let (pipeline, step, clock, stop) =
                    (Arc::clone(pipeline), Arc::clone(step), Arc::clone(clock), self.services.stop().clone());
                self.services.adopt(tokio::spawn(async move {
                    step.tick(&*clock, stop, |batch| pipeline.push_from(at + 1, batch)).await;
                }));
            }
        }
        for connector in &self.connectors {
            let (connector, clock, stop) =
                (Arc::clone(connector), Arc::clone(clock), self.services.stop().clone());
            self.services.adopt(tokio::spawn(async move {
                let step = Arc::clone(&connector.step);
                step.tick(&*clock, stop, |batch| connector.forward(batch)).await;
            }));
        }
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
