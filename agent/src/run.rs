//! `run`: start, reload, drain.

use std::process::ExitCode;
use std::sync::Arc;

use throughline_component::Fatal;
use throughline_graph::Graph;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::assemble::{World, assemble, settings};
use crate::cli::Inputs;
use crate::show::{complain, say_aside};
use crate::{admin, logs, runtime};

/// The exit code of a drain that was cut short.
const UNDELIVERED: u8 = 3;

/// Runs the agent.
pub(crate) fn run(inputs: &Inputs) -> ExitCode {
    let (settings, warnings) = match settings(inputs) {
        Ok(right) => right,
        Err(errors) => return complain(&errors),
    };
    logs::start(&settings.service.telemetry.logs);
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let runtime = match runtime::start() {
        Ok(runtime) => runtime,
        Err(error) => {
            say_aside(&format!("cannot start the runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(supervise(settings, inputs));
    // What still blocks (a disk that hangs) does not keep the process.
    runtime.shutdown_background();
    code
}

async fn supervise(settings: throughline_config::Settings, inputs: &Inputs) -> ExitCode {
    let world = Arc::new(World::new(&settings.service));
    let assembled = match assemble(settings, &world) {
        Ok(assembled) => assembled,
        Err(errors) => return complain(&errors),
    };
    assembled.notes.iter().for_each(|note| tracing::warn!("{note}"));
    let mut service = assembled.service;
    let Ok(mut signals) = Signals::new() else { return ExitCode::FAILURE };
    let admin = match admin::start(&service.telemetry.metrics, &world).await {
        Ok(admin) => admin,
        Err(error) => return failed(&error),
    };
    let mut graph = match Graph::start(assembled.setup).await {
        Ok(graph) => graph,
        Err(error) => return failed(&error),
    };
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "ready");
    while signals.next().await == Event::Reload {
        match reload(inputs, &world).await {
            Err(errors) => tracing::error!("the new configuration is wrong, the old one stays:\n{errors}"),
            Ok((new, new_service)) => {
                let old = std::mem::replace(&mut graph, new);
                let left = old.stop(service.shutdown_timeout.get()).await;
                service = new_service;
                tracing::info!(returned_batches = left, "reloaded");
            }
        }
    }
    tracing::info!("draining; a second signal ends it at once");
    world.health.stopping();
    let left = tokio::select! {
        left = graph.stop(service.shutdown_timeout.get()) => left,
        () = signals.stop() => {
            tracing::warn!("ended by a second signal");
            return ExitCode::from(UNDELIVERED);
        }
    };
    drop(admin);
    tracing::info!(returned_batches = left, "stopped");
    if left == 0 { ExitCode::SUCCESS } else { ExitCode::from(UNDELIVERED) }
}

/// Starts a second graph on the same listeners and state. Only once it is in service does the first one drain.
async fn reload(inputs: &Inputs, world: &Arc<World>) -> Result<(Graph, throughline_config::Service), String> {
    let (settings, warnings) = settings(inputs)?;
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let assembled = assemble(settings, world)?;
    let graph = Graph::start(assembled.setup).await.map_err(|error| error.to_string())?;
    Ok((graph, assembled.service))
}

fn failed(error: &Fatal) -> ExitCode {
    tracing::error!("{error}");
    ExitCode::FAILURE
}

#[derive(PartialEq, Eq)]
enum Event {
    Stop,
    Reload,
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Event {
        tokio::select! {
            _ = self.interrupt.recv() => Event::Stop,
            _ = self.terminate.recv() => Event::Stop,
            _ = self.hangup.recv() => Event::Reload,
        }
    }

    async fn stop(&mut self) {
        while self.next().await != Event::Stop {}
    }
}
