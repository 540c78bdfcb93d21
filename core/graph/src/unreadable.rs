//! What is done about a stream that cannot be read.

use std::io;
use std::time::Duration;

use throughline_component::{Health, Warnings};

/// How soon it is tried again, at first and at last.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// After how many tries health shows it.
const TRIES: u32 = 4;

/// Tells of each failed try, and after some of them in health, until the stream can be read again. Nothing is passed over
/// meanwhile, since a disk may come back.
pub(crate) struct Unreadable<'a> {
    part: String,
    health: &'a Health,
    warnings: &'a Warnings,
    tries: u32,
    pause: Duration,
}

impl<'a> Unreadable<'a> {
    pub(crate) fn new(part: String, health: &'a Health, warnings: &'a Warnings) -> Self {
        Self { part, health, warnings, tries: 0, pause: PAUSE }
    }

    /// A try failed, at this Unix time in nanoseconds. Says how long to wait.
    pub(crate) fn failed(&mut self, error: &io::Error, now: u64) -> Duration {
        let why = error.to_string();
        self.warnings.warn(&self.part, "it cannot be read; trying again", 0, &why);
        self.tries += 1;
        if self.tries == TRIES {
            self.health.failing(&self.part, now, format!("it cannot be read: {why}").into());
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE_MAX);
        pause
    }

    /// It was read.
    pub(crate) fn read(&mut self) {
        if self.tries > 0 {
            (self.tries, self.pause) = (0, PAUSE);
            self.health.recovered(&self.part);
        }
    }
}

impl Drop for Unreadable<'_> {
    fn drop(&mut self) {
        // Whoever reads next begins anew.
        self.read();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use throughline_component::port::SystemClock;

    use super::*;

    #[test]
    fn health_shows_it_after_some_tries_and_until_it_is_read() {
        let (health, warnings) = (Health::default(), Warnings::new(Arc::new(SystemClock::default())));
        let mut unreadable = Unreadable::new("a stream".into(), &health, &warnings);
        for _ in 0..2 {
            let pauses: Vec<Duration> =
                (0..3).map(|n| unreadable.failed(&io::Error::other("bad"), n)).collect();
            assert_eq!(pauses, [100, 200, 400].map(Duration::from_millis));
            assert_eq!(health.all_failing(), []);
            let last = (3..20).map(|n| unreadable.failed(&io::Error::other("bad"), n)).last();
            let failing = health.all_failing();
            assert_eq!((&*failing[0].part, failing[0].since), ("a stream", 3), "since when it is said");
            assert!(failing[0].why.contains("bad"));
            assert_eq!(last, Some(Duration::from_secs(30)));
            unreadable.read();
            assert_eq!(health.all_failing(), []);
        }
        assert_eq!((0..9).map(|n| unreadable.failed(&io::Error::other("bad"), n)).count(), 9);
        drop(unreadable);
        assert_eq!(health.all_failing(), [], "the next reader sees for itself");
    }
}
