//! Time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where time comes from.
pub trait Clock: Send + Sync {
    /// Nanoseconds since the Unix epoch.
    fn unix_nanos(&self) -> u64;
    /// Nanoseconds since some fixed moment, never going back.
    fn monotonic_nanos(&self) -> u64;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the port")]
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the port")]
    fn unix_nanos(&self) -> u64 {
        nanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }
    fn monotonic_nanos(&self) -> u64 {
        nanos(self.start.elapsed())
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_go_and_what_no_number_holds_is_the_largest() {
        let clock = SystemClock::default();
        assert!(clock.unix_nanos() > nanos(Duration::from_hours(24 * 365 * 50)), "it is past 2020");
        assert!((0..1_000_000).any(|_| clock.monotonic_nanos() > 1));
        assert_eq!(nanos(Duration::from_micros(2)), 2_000);
        assert_eq!(nanos(Duration::MAX), u64::MAX);
    }
}
