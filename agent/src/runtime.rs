//! The runtimes: one for the data, and one beside it for what must answer whatever the data does.

use std::io;
use std::num::NonZero;
use std::thread::{JoinHandle, available_parallelism};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

/// Where components run. Signals, health and self-telemetry are not among them: a walk over a large request must not keep
/// them waiting.
pub(crate) struct Data {
    handle: Handle,
    /// Ends the thread that drives a runtime of one thread.
    end: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    runtime: Option<Runtime>,
}

impl Data {
    /// A runtime of one thread where there is one core, be it by a quota or an affinity, and of one a core where there are
    /// more. What that saves stands in `docs/adr/0005-runtime.md`.
    pub(crate) fn start() -> io::Result<Self> {
        if available_parallelism().map_or(1, NonZero::get) > 1 {
            let runtime = Builder::new_multi_thread().enable_all().build()?;
            return Ok(Self { handle: runtime.handle().clone(), end: None, runtime: Some(runtime) });
        }
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel();
        let drive = move || {
            drop(runtime.block_on(ended));
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("data".into()).spawn(drive)?;
        Ok(Self { handle, end: Some((end, thread)), runtime: None })
    }

    /// Runs something where the components run, and waits for it. What it was if it panicked, in words.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, String> {
        self.handle.spawn(work).await.map_err(|error| error.to_string())
    }

    /// Ends it. What still blocks (a disk that hangs) does not keep the process.
    pub(crate) fn end(self) {
        if let Some(runtime) = self.runtime {
            runtime.shutdown_background();
        }
        if let Some((end, thread)) = self.end {
            let _ = end.send(());
            // A thread that is in the middle of a walk is not waited for.
            drop(thread);
        }
    }
}

/// The runtime of signals, health and self-telemetry.
pub(crate) fn aside() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}
