//! How long to wait before the next attempt.

use std::time::{Duration, UNIX_EPOCH};

use throughline_component::RetrySettings;

/// The delays of one batch or destination: growing, jittered, never below what the destination asked for.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Backoff {
    /// The state before the first failure.
    pub fn new(settings: &RetrySettings) -> Self {
        Self { next: settings.initial_interval.get() }
    }

    /// The next delay. What the destination `asked` for counts up to `max_retry_after`. `unit` is a random number in `[0, 1)`.
    pub fn next(&mut self, settings: &RetrySettings, asked: Option<Duration>, unit: f64) -> Duration {
        let spread = settings.randomization_factor.clamp(0.0, 1.0);
        let jittered = times(self.next, 1.0 - spread + 2.0 * spread * unit);
        self.next = times(self.next, settings.multiplier.max(1.0)).min(settings.max_interval.get());
        jittered.max(asked.unwrap_or_default().min(settings.max_retry_after.get()))
    }
}

fn times(duration: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(duration.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

/// What a `Retry-After` header asks for: seconds, or an HTTP date (RFC 9110 §10.2.3). `now` is Unix nanoseconds.
pub fn retry_after(header: &str, now: u64) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(header).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(date.saturating_sub(Duration::from_nanos(now)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after("120", 0), Some(Duration::from_secs(120)));
        let now = 784_111_777 * 1_000_000_000;
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:47 GMT", now), Some(Duration::from_secs(10)));
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:49:27 GMT", now),
            Some(Duration::ZERO),
            "the past is now"
        );
        assert_eq!(retry_after("soon", now), None);
    }

    #[test]
    fn delays_grow_to_the_maximum_and_respect_what_was_asked_for() {
        let settings = RetrySettings::default();
        let mut backoff = Backoff::new(&settings);
        let mut delays = (0..8).map(|_| backoff.next(&settings, None, 0.5).as_secs_f64());
        let first: Vec<f64> = delays.by_ref().take(3).collect();
        assert_eq!(first, [5.0, 7.5, 11.25]);
        assert_eq!(delays.last(), Some(30.0));
        assert_eq!(backoff.next(&settings, Some(Duration::from_secs(90)), 0.5), Duration::from_secs(90));
        let endless = backoff.next(&settings, Some(Duration::MAX), 0.5);
        assert_eq!(endless, Duration::from_secs(300), "nobody is left alone for ever");
        let settings =
            RetrySettings { max_retry_after: throughline_config::Duration::from_secs(40), ..settings };
        let less = backoff.next(&settings, Some(Duration::from_secs(1_000_000_000_000)), 0.5);
        assert_eq!(less, Duration::from_secs(40), "the setting says how long at most");
    }

    #[test]
    fn no_setting_makes_a_delay_that_cannot_be_said() {
        for (multiplier, randomization_factor) in [(1e300, 0.5), (f64::NAN, f64::NAN), (-1.0, 9.0)] {
            let settings = RetrySettings { multiplier, randomization_factor, ..RetrySettings::default() };
            let mut backoff = Backoff::new(&settings);
            let delays: Vec<_> = (0..4).map(|_| backoff.next(&settings, None, 0.9)).collect();
            assert_eq!(delays.len(), 4, "there is no panic");
        }
    }
}
