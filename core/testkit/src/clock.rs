//! A clock that a test turns.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use throughline_component::port::Clock;

/// A clock that stands still until it is turned. Both of its hands move together.
#[derive(Debug, Default)]
pub struct FakeClock(AtomicU64);

impl FakeClock {
    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Clock for FakeClock {
    fn unix_nanos(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn monotonic_nanos(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
