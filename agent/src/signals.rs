//! The signals that the agent understands.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Wrappers and shells send a signal to a whole group, and again to each: what comes this soon is the same wish.
const SAME_WISH: Duration = Duration::from_secs(1);

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
}

/// Hears signals from its making on; none is lost between two calls.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Event {
        tokio::select! {
            _ = self.interrupt.recv() => Event::Stop,
            _ = self.terminate.recv() => Event::Stop,
            _ = self.hangup.recv() => Event::Reload,
        }
    }

    /// Resolves when the agent shall stop; a wish to reload that comes before is noted.
    pub(crate) async fn stop(&mut self, reload: &mut bool) {
        while self.next().await == Event::Reload {
            *reload = true;
        }
    }

    /// Resolves when somebody insists that the agent stops at once.
    pub(crate) async fn insist(&mut self) {
        let soon = tokio::time::sleep(SAME_WISH);
        tokio::pin!(soon);
        loop {
            tokio::select! {
                event = self.next() => if event == Event::Stop && soon.is_elapsed() {
                    return;
                },
                () = &mut soon, if !soon.is_elapsed() => {}
            }
        }
    }
}
