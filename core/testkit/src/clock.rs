//! A clock that a test turns.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use throughline_component::port::Clock;

/// A clock that stands still until it is turned. Both of its hands move together, unless somebody sets the time of day.
#[derive(Debug, Default)]
pub struct FakeClock {
    passed: AtomicU64,
    ahead: AtomicU64,
}

impl FakeClock {
    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        self.passed.fetch_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Sets the time of day ahead of the time that has passed.
    pub fn jump(&self, ahead: Duration) {
        self.ahead.store(u64::try_from(ahead.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Clock for FakeClock {
    fn unix_nanos(&self) -> u64 {
        self.monotonic_nanos().saturating_add(self.ahead.load(Ordering::Relaxed))
    }

    fn monotonic_nanos(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }
}
