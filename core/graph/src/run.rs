//! Running a plan: start, drain.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use throughline_component::port::{Clock, Random};
use throughline_component::{
    Built, ComponentId, ConfigError, DynExtension, Fatal, Health, Kind, Services, Stop, Stopper,
};
use tokio::task::JoinHandle;

use crate::Ledger;
use crate::assembly::{Assembly, make_receiver};
use crate::pipeline::{Connector, Pipeline, Stage};
use crate::plan::Plan;
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
        for feeder in assembly.feeders.drain(..) {
            let name = feeder.name.clone();
            running
                .start(&name, &feeder_stop, move |stop| Ok(Box::pin(Arc::clone(&feeder).run(stop))))
                .await?;
        }
        let feeders = (stop_feeders, std::mem::take(&mut running.tasks));

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
            feeders,
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
        // Requests that are still arriving come to this graph, even once it has stopped.
        pipelines.iter().for_each(|pipeline| pipeline.drain());
        connectors.iter().for_each(|connector| connector.step.drain());
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
