//! What the log's handles, its readers and its thread share: the state, and the files, each behind a lock.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::Settings;
use crate::io::Io;
use crate::ports::Ports;
use crate::state::State;

/// The parts of an open log.
pub(crate) struct Shared {
    pub(crate) ports: Ports,
    pub(crate) settings: Settings,
    state: Mutex<State>,
    io: Mutex<Io>,
    pub(crate) wake: Condvar,
    /// Held as long as the log is open, so that no other process writes here.
    _lock: Box<dyn Send + Sync>,
}

impl Shared {
    pub(crate) fn new(
        ports: Ports,
        settings: Settings,
        (state, io): (State, Io),
        lock: Box<dyn Send + Sync>,
    ) -> Self {
        let (state, io) = (Mutex::new(state), Mutex::new(io));
        Self { ports, settings, state, io, wake: Condvar::new(), _lock: lock }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// FoundStream before [`state`](Self::state), never after.
    pub(crate) fn io(&self) -> MutexGuard<'_, Io> {
        self.io.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Monotonic nanoseconds.
    pub(crate) fn now(&self) -> u64 {
        self.ports.clock.monotonic_nanos()
    }

    /// Lets the writing thread know, if it sleeps, that there is something to do.
    pub(crate) fn wake(&self, mut state: MutexGuard<'_, State>) {
        if state.wake_up() {
            drop(state);
            self.wake.notify_one();
        }
    }
}
