//! Starting components and keeping them alive.

use std::sync::Arc;
use std::time::Duration;

use throughline_component::{ComponentId, Fatal, Health, Stop, Stopper};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Waits between attempts to restart a component that died.
pub(crate) const RESTART: Duration = Duration::from_secs(1);
const RESTART_MAX: Duration = Duration::from_secs(30);
/// How long a component may take to end.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long a component may take until it is in service.
const START: Duration = Duration::from_mins(1);

pub(crate) type Running = std::pin::Pin<Box<dyn Future<Output = Result<(), Fatal>> + Send>>;

/// Starts components and keeps them alive until they are told to stop.
pub(crate) struct Supervisor {
    health: Arc<Health>,
    /// For adopted tasks.
    stopper: Stopper,
    stop: Stop,
    adopted: Vec<JoinHandle<()>>,
    components: Vec<Component>,
}

/// A component that is kept alive.
struct Component {
    id: ComponentId,
    stopper: Stopper,
    task: JoinHandle<()>,
}

impl Supervisor {
    pub(crate) fn new(health: &Arc<Health>) -> Self {
        let (stopper, stop) = Stopper::new();
        Self { health: Arc::clone(health), stopper, stop, adopted: Vec::new(), components: Vec::new() }
    }

    /// What tells the tasks that it adopts to stop.
    pub(crate) fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Tells its components that the whole configuration is in service.
    pub(crate) fn in_service(&self) {
        self.stopper.in_service();
        self.components.iter().for_each(|component| component.stopper.in_service());
    }

    /// Whether it has a component of this id.
    pub(crate) fn has(&self, id: &ComponentId) -> bool {
        self.components.iter().any(|component| component.id == *id)
    }

    /// Takes over from `before` the components that `keeps` names, as they run.
    pub(crate) fn take_over(&mut self, before: &mut Self, keeps: impl Fn(&ComponentId) -> bool) {
        self.components.extend(before.components.extract_if(.., |component| keeps(&component.id)));
    }

    /// Ends one component and waits until it has.
    pub(crate) async fn end_one(&mut self, id: &ComponentId) {
        let ended: Vec<Component> = self.components.extract_if(.., |component| component.id == *id).collect();
        for Component { stopper, task, .. } in ended {
            stopper.stop();
            finish(task).await;
        }
    }

    /// Takes over a task that ends when it is told to.
    pub(crate) fn adopt(&mut self, task: JoinHandle<()>) {
        self.adopted.push(task);
    }

    /// Tells its components to stop.
    pub(crate) fn say_stop(&self) {
        self.stopper.stop();
        self.components.iter().for_each(|component| component.stopper.stop());
    }

    /// Whether any of its components still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.adopted.retain(|task| !task.is_finished());
        self.components.retain(|component| !component.task.is_finished());
        !self.adopted.is_empty() || !self.components.is_empty()
    }

    /// Tells them to stop and waits until they have; one that does not listen is cut off.
    pub(crate) async fn end(mut self) {
        self.say_stop();
        let components = self.components.drain(..).map(|component| component.task);
        for task in components.chain(self.adopted.drain(..)) {
            finish(task).await;
        }
    }

    /// Starts a component and waits until it is in service. One that dies later is restarted, ever more patiently.
    pub(crate) async fn start(
        &mut self,
        id: &ComponentId,
        mut run: impl FnMut(Stop) -> Result<Running, Fatal> + Send + 'static,
    ) -> Result<(), Fatal> {
        let (stopper, stop) = Stopper::new();
        let (own, ready) = stop.watched();
        let mut task = tokio::spawn(run(own)?);
        tokio::select! {
            biased;
            () = in_service(ready) => {}
            ended = &mut task => {
                let why = why(ended).unwrap_or_else(|| "it ended before it was in service".into());
                return Err(Fatal(format!("{id} cannot start: {why}")));
            }
            () = tokio::time::sleep(START) => {
                task.abort();
                return Err(Fatal(format!("{id} cannot start: it was not in service after {START:?}")));
            }
        }
        let (health, own, mut stop) = (Arc::clone(&self.health), id.clone(), stop);
        let task = tokio::spawn(async move {
            let id = own;
            let (mut task, mut wait) = (Owned(task), RESTART);
            loop {
                let ended = (&mut task.0).await;
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
                            task = Owned(tokio::spawn(running));
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
        });
        self.components.push(Component { id: id.clone(), stopper, task });
        Ok(())
    }
}

/// A task that is cut off with who waits for it.
struct Owned(JoinHandle<Result<(), Fatal>>);

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Waits for a task that was told to stop; one that does not listen is cut off.
async fn finish(mut task: JoinHandle<()>) {
    if tokio::time::timeout(LAST_WORDS, &mut task).await.is_err() {
        tracing::warn!("a component did not stop in time");
        task.abort();
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
            Some(format!("it panicked: {}", crate::panics::message(&*error.into_panic())))
        }
        Err(_) => Some("it was cancelled".into()),
    }
}

#[cfg(test)]
mod tests;
