//! Messages that would come with every record are said once a minute, with a count.

use std::collections::BTreeMap;
use std::sync::Arc;

use throughline_component::port::Clock;

/// How long the same is not said again, in nanoseconds.
const PAUSE: u64 = 60_000_000_000;

const TOPICS: usize = 1000;

/// What was said lately.
pub(crate) struct Quiet {
    clock: Arc<dyn Clock>,
    /// By topic: until when it is not said again, and how often it was to be.
    topics: BTreeMap<String, (u64, u64)>,
}

impl Quiet {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, topics: BTreeMap::new() }
    }

    /// Counts what happened. If it is to be said now: how often it happened since it was last said.
    pub(crate) fn happened(&mut self, topic: &str, times: u64) -> Option<u64> {
        let now = self.clock.monotonic_nanos();
        if !self.topics.contains_key(topic) {
            // Streams come and go; what was said of those that went is no loss.
            if self.topics.len() >= TOPICS {
                self.topics.clear();
            }
            self.topics.insert(topic.to_owned(), (0, 0));
        }
        let (until, count) = self.topics.get_mut(topic)?;
        *count += times;
        if *count == 0 || now < *until {
            return None;
        }
        *until = now.saturating_add(PAUSE);
        Some(std::mem::take(count))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[derive(Default)]
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn unix_nanos(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }
        fn monotonic_nanos(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn the_same_is_said_once_a_minute_with_a_count() {
        let clock = Arc::new(Hand::default());
        let mut quiet = Quiet::new(Arc::<Hand>::clone(&clock));
        assert_eq!(
            (quiet.happened("a", 0), quiet.happened("a", 1), quiet.happened("b", 2)),
            (None, Some(1), Some(2))
        );
        assert!((0..1000).all(|_| quiet.happened("a", 1).is_none()));
        clock.0.store(PAUSE, Ordering::Relaxed);
        assert_eq!((quiet.happened("a", 1), quiet.happened("a", 1)), (Some(1001), None));
    }
}
