//! `run`: start, reload, drain. Signals are heard at every moment, whatever the agent is doing.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use throughline_component::{ComponentId, Openings, States};
use throughline_config::{Service, Settings};
use throughline_graph::Graph;
use throughline_net::{Serving, TelemetryRoutes};
use throughline_queue::Storage;
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::assemble::{Purpose, assemble, settings};
use crate::cli::Inputs;
use crate::metrics::Pushing;
use crate::process_context::ProcessContext;
use crate::runtime::{self, Data};
use crate::show::{complain, print_error};
use crate::signals::{Event, Signals};
use crate::unchanged::Previous;
use crate::{admin, descriptors, logs};

/// The exit code of a drain that was cut short.
const UNDELIVERED: u8 = 3;
/// How long the last answers may take until they are written.
const LAST_ANSWERS: Duration = Duration::from_millis(250);

/// Runs the agent.
pub(crate) fn run(inputs: &Inputs) -> ExitCode {
    // Signals first: until somebody listens to them they end the process.
    let heard = runtime::aside().and_then(|aside| {
        let signals = aside.block_on(async { Signals::new() })?;
        Ok((aside, signals, Data::start()?))
    });
    let (aside, signals, data) = match heard {
        Ok(heard) => heard,
        Err(error) => {
            print_error(&format!("cannot start the runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let (settings, warnings) = match settings(inputs) {
        Ok(right) => right,
        Err(errors) => return complain(&errors),
    };
    logs::start(&settings.service.telemetry.logs);
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let code = aside.block_on(supervise(settings, inputs.clone(), &data, signals));
    data.end();
    aside.shutdown_background();
    code
}

/// A configuration in service.
struct Running {
    graph: Shared,
    before: Previous,
    service: Service,
    storages: Vec<Arc<Storage>>,
    /// Self-telemetry; it is served as long as this is held.
    _admin: Vec<Serving>,
    /// Those to whom it is sent.
    pushing: Vec<Pushing>,
}

/// The graph in service. A reload takes over what runs on while it holds this; whoever ends the graph takes it out.
type Shared = Arc<Mutex<Option<Graph>>>;

/// Why a configuration did not come into service.
enum Failed {
    /// It is wrong: every mistake, a line each.
    Wrong(String),
    /// It could not be started.
    Start(String),
}

async fn supervise(first: Settings, inputs: Inputs, data: &Data, mut signals: Signals) -> ExitCode {
    let (connections, told) = descriptors::connections();
    told.iter().for_each(|told| tracing::warn!("{told}"));
    let process = Arc::new(ProcessContext::with(&first.service, connections, Some(Handle::current())));
    tell_of_panics(&process);
    let mut again = false;
    let starting = launch(first, Arc::clone(&process), data, None);
    let mut running = tokio::select! {
        started = starting => match started {
            Ok(running) => running,
            Err(Failed::Wrong(errors)) => return complain(&errors),
            Err(Failed::Start(error)) => {
                tracing::error!("{error}");
                return ExitCode::FAILURE;
            }
        },
        () = signals.stop(&mut again) => {
            tracing::info!("stopped before it was ready");
            return ExitCode::SUCCESS;
        }
    };
    let warning = tokio::spawn(warn(Arc::clone(&process)));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "ready");
    // Graphs that a reload has taken out of service and that still deliver what they took in.
    let mut draining: JoinSet<usize> = JoinSet::new();
    loop {
        let event = if std::mem::take(&mut again) { Event::Reload } else { signals.next().await };
        if event == Event::Stop {
            break;
        }
        let reloaded = tokio::select! {
            reloaded = reload(&inputs, &process, data, &running) => reloaded,
            () = signals.stop(&mut again) => break,
        };
        let result = match reloaded {
            Ok(new) => {
                let old = std::mem::replace(&mut running, new);
                tell_of_abandoned(&old.storages, &running.storages);
                draining.spawn(end(old, Arc::clone(&process.states)));
                "success"
            }
            Err(Failed::Wrong(errors)) => {
                tracing::error!("the new configuration is wrong, the old one stays:\n{errors}");
                "wrong_configuration"
            }
            Err(Failed::Start(error)) => {
                tracing::error!("the new configuration cannot be started, the old one stays: {error}");
                // What it had opened beside the one that stays.
                tokio::spawn(close_unused(Arc::clone(&process.states)));
                "cannot_start"
            }
        };
        count_reload(&process, result);
    }
    tracing::info!("draining; another signal ends it at once, unless it comes within a second");
    process.health.stopping();
    let deadline = running.service.shutdown_timeout.get();
    draining.spawn(stop(running.graph, deadline));
    let drained = async {
        let mut left = 0;
        while let Some(of_one) = draining.join_next().await {
            left += of_one.unwrap_or(1);
        }
        left
    };
    let left = tokio::select! {
        left = drained => left,
        () = signals.insist() => {
            tracing::warn!("ended by a second signal");
            return cut_short(&process).await;
        }
        // A drain that its own deadline does not end (a thread in the middle of something endless) must not keep us.
        () = tokio::time::sleep(deadline + Duration::from_secs(8)) => {
            tracing::error!("the drain did not end in time");
            return cut_short(&process).await;
        }
    };
    for pushing in running.pushing {
        pushing.finish(&process).await;
    }
    warning.abort();
    process.warnings.flush(true);
    tracing::info!(returned_batches = left, "stopped");
    if left == 0 { ExitCode::SUCCESS } else { cut_short(&process).await }
}

/// Lets those who still wait for an answer have one: their data is not delivered, and they keep it.
async fn cut_short(process: &ProcessContext) -> ExitCode {
    process.listeners.cut_short();
    tokio::time::sleep(LAST_ANSWERS).await;
    ExitCode::from(UNDELIVERED)
}

/// Brings a configuration into service beside the one that is, if there is one, and in its place once all of it stands.
async fn launch(
    settings: Settings,
    process: Arc<ProcessContext>,
    data: &Data,
    before: Option<(Shared, Previous)>,
) -> Result<Running, Failed> {
    let (listeners, aside) = (Arc::new(process.listeners.next()), Handle::current());
    let launched = data.run(async move {
        let (before, made_of) = before.unzip();
        let purpose = Purpose::Run(Arc::clone(&listeners), made_of);
        let mut assembled = assemble(settings, &process, &purpose).map_err(Failed::Wrong)?;
        let mut before = match &before {
            Some(before) => Some(before.lock().await),
            None => None,
        };
        let mut before = before.as_mut().and_then(|before| before.as_mut());
        if let Some(before) = &before {
            let kept = before.reusable(&assembled.setup.plan, &assembled.unchanged);
            let ids = kept.ids();
            let names: Vec<&str> = ids.iter().map(ComponentId::as_str).collect();
            tracing::info!(components = names.join(", "), "these run on, the others are built anew");
            listeners.keep(ids);
            assembled.setup.reused = kept;
        }
        assembled.notes.iter().for_each(|note| tracing::warn!("{note}"));
        let service = assembled.service;
        let metrics = &service.telemetry.metrics;
        let services = &assembled.setup.services;
        let added = services.get::<TelemetryRoutes>().unwrap_or_default();
        // What `validate --graph` fingerprints, of what really runs.
        let plan = admin::fixed("/plan", assembled.setup.plan.to_string());
        added.add(&ComponentId::new("telemetry"), plan).map_err(|error| Failed::Start(error.to_string()))?;
        let admin = admin::start(metrics, &assembled.resource, &process, &listeners, &added).await;
        let admin = admin.map_err(|error| Failed::Start(error.to_string()))?;
        let storages = services.names::<Storage>().filter_map(|id| services.named::<Storage>(id)).collect();
        let openings = services.get::<Openings>();
        let started = Graph::start(assembled.setup, before.take()).await;
        let graph = started.map_err(|error| Failed::Start(error.to_string()))?;
        if let Some(openings) = openings {
            drop(tokio::task::spawn_blocking(move || openings.open()).await);
        }
        let pushing = assembled.pushes.into_iter().map(|push| push.start(&process, &aside)).collect();
        let graph = Arc::new(Mutex::new(Some(graph)));
        Ok(Running { graph, before: assembled.before, service, storages, _admin: admin, pushing })
    });
    launched.await.unwrap_or_else(|error| Err(Failed::Start(error)))
}

/// A storage that is in no configuration in service is anybody's again.
async fn close_unused(states: Arc<States>) {
    drop(tokio::task::spawn_blocking(move || states.forget_unused()).await);
}

/// Drains what is no longer in service, and closes what it alone had open. Says how many batches were returned.
async fn end(old: Running, states: Arc<States>) -> usize {
    let Running { graph, before, service, storages, _admin: admin, pushing } = old;
    drop((admin, pushing));
    let left = stop(graph, service.shutdown_timeout.get()).await;
    drop(before);
    drop(storages);
    close_unused(states).await;
    tracing::info!(returned_batches = left, "reloaded");
    left
}

async fn reload(
    inputs: &Inputs,
    process: &Arc<ProcessContext>,
    data: &Data,
    running: &Running,
) -> Result<Running, Failed> {
    let (settings, warnings) = settings(inputs).map_err(Failed::Wrong)?;
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let before = (Arc::clone(&running.graph), running.before.clone());
    launch(settings, Arc::clone(process), data, Some(before)).await
}

/// Ends a graph, once no reload takes anything over from it any more. Says how many batches were returned.
async fn stop(graph: Shared, deadline: Duration) -> usize {
    let graph = graph.lock().await.take();
    match graph {
        Some(graph) => graph.stop(deadline).await,
        None => 0,
    }
}

/// A panic that data sets off is recovered from; it is told like everything else that a peer can set off, once a minute for each
/// place.
fn tell_of_panics(process: &ProcessContext) {
    let warnings = Arc::clone(&process.warnings);
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map_or_else(String::new, |at| format!("{}:{}", at.file(), at.line()));
        let why = panic.payload_as_str().unwrap_or("without a message");
        warnings.error(&place, "it panicked; this is a defect, please report it", why);
    }));
}

fn count_reload(process: &ProcessContext, result: &str) {
    let owner = ComponentId::new("agent");
    process.meter.counter("throughline_reload_total", &owner, Some(("result", result))).add(1);
}

/// Tells of data in storages that the new configuration does not have.
fn tell_of_abandoned(old: &[Arc<Storage>], new: &[Arc<Storage>]) {
    for storage in old.iter().filter(|storage| !new.iter().any(|other| Arc::ptr_eq(storage, other))) {
        let bytes: u64 =
            storage.log().map(|log| log.backlogs().iter().map(|one| one.bytes).sum()).unwrap_or(0);
        if bytes > 0 {
            let directory = storage.settings().directory.display().to_string();
            tracing::warn!(%directory, bytes, "data waits in a storage that the configuration does not have any more");
        }
    }
}

/// Gives the warnings that have waited for their minute to pass.
async fn warn(process: Arc<ProcessContext>) {
    loop {
        tokio::time::sleep(Duration::from_secs(10)).await;
        process.warnings.flush(false);
    }
}
