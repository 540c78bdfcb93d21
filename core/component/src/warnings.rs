//! Warnings that cannot flood the log: every kind of loss speaks, none more than once a minute.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::Level;

use crate::port::Clock;

/// How long a warning is silent after it was given.
const MINUTE: u64 = Duration::from_mins(1).as_nanos() as u64;
/// How many kinds are kept apart. Parts and reasons are the configuration's and ours, so that there are few.
const MAX_KINDS: usize = 4096;

/// Gives warnings, at most one a minute for each part and reason, with a count of what it stands for. Nothing that a peer
/// does can write to the log without bound. A service of the graph.
pub struct Warnings {
    clock: Arc<dyn Clock>,
    kinds: Mutex<BTreeMap<Kind, Silence>>,
}

/// A part, and what happens to it.
type Kind = (String, &'static str);

/// What has happened since a warning was given.
#[derive(Debug)]
struct Silence {
    level: Level,
    until: u64,
    times: u64,
    items: u64,
    why: String,
}

impl Warnings {
    /// None given yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, kinds: Mutex::default() }
    }

    /// Warns that something happened to `part` that concerns `items` items (0 where none are known). `what` is a short
    /// sentence that is always the same, `why` what was different this time; the last one of a minute is told.
    pub fn warn(&self, part: &dyn fmt::Display, what: &'static str, items: u64, why: &str) {
        self.note(Level::WARN, part, what, items, why);
    }

    /// The same for what should never happen.
    pub fn error(&self, part: &dyn fmt::Display, what: &'static str, why: &str) {
        self.note(Level::ERROR, part, what, 0, why);
    }

    /// The same for what is nobody's loss, at debug level.
    pub fn debug(&self, part: &dyn fmt::Display, what: &'static str, why: &str) {
        self.note(Level::DEBUG, part, what, 0, why);
    }

    fn note(&self, level: Level, part: &dyn fmt::Display, what: &'static str, items: u64, why: &str) {
        let now = self.clock.monotonic_nanos();
        let part = part.to_string();
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(silence) = kinds.get_mut(&(part.clone(), what)).filter(|silence| now < silence.until) {
            silence.times += 1;
            silence.items += items;
            why.clone_into(&mut silence.why);
            return;
        }
        let before = kinds.remove(&(part.clone(), what));
        let (times, more) = before.map_or((0, 0), |before| (before.times, before.items));
        if kinds.len() < MAX_KINDS {
            let silence =
                Silence { level, until: now.saturating_add(MINUTE), times: 0, items: 0, why: String::new() };
            kinds.insert((part.clone(), what), silence);
        }
        drop(kinds);
        say(level, &part, what, times + 1, items + more, why);
    }

    /// Gives what has waited for its minute to pass; all that waits if the agent stops. To be called every few seconds.
    pub fn flush(&self, stopping: bool) {
        let now = self.clock.monotonic_nanos();
        let mut due = Vec::new();
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner).retain(|(part, what), silence| {
            if !stopping && now < silence.until {
                return true;
            }
            if silence.times == 0 {
                return false;
            }
            let why = std::mem::take(&mut silence.why);
            due.push((silence.level, part.clone(), *what, silence.times, silence.items, why));
            (silence.until, silence.times, silence.items) = (now.saturating_add(MINUTE), 0, 0);
            true
        });
        due.iter()
            .for_each(|(level, part, what, times, items, why)| say(*level, part, what, *times, *items, why));
    }
}

fn say(level: Level, part: &str, what: &str, times: u64, items: u64, why: &str) {
    match (level, items) {
        (Level::WARN, 0) => tracing::warn!(component = %part, times, why = %why, "{what}"),
        (Level::WARN, _) => tracing::warn!(component = %part, times, items, why = %why, "{what}"),
        (Level::ERROR, _) => tracing::error!(component = %part, times, why = %why, "{what}"),
        _ => tracing::debug!(component = %part, times, why = %why, "{what}"),
    }
}

impl fmt::Debug for Warnings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Warnings")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use tracing::field::{Field, Visit};
    use tracing::{Event, Metadata, Subscriber, span};

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

    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<String>>>);

    struct Line(String);

    impl Visit for Line {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            self.0.push_str(&format!("{}={value:?} ", field.name()));
        }
    }

    impl Subscriber for Heard {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }
        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn event(&self, event: &Event<'_>) {
            let mut line = Line(format!("{} ", event.metadata().level()));
            event.record(&mut line);
            self.0.lock().expect("no panic").push(line.0);
        }
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    #[test]
    fn a_warning_is_given_at_once_then_once_a_minute_with_the_count_of_what_it_stands_for() {
        let (clock, heard) = (Arc::new(Hand::default()), Heard::default());
        let warnings = Warnings::new(Arc::<Hand>::clone(&clock));
        tracing::subscriber::with_default(heard.clone(), || {
            for n in 0..1000 {
                warnings.warn(&"file", "refused", 2, &format!("why {n}"));
                warnings.warn(&"other", "refused", 0, "alone");
            }
            warnings.flush(false);
            clock.0.store(MINUTE, Ordering::Relaxed);
            warnings.flush(false);
            warnings.flush(false);
            warnings.warn(&"file", "refused", 5, "later");
            warnings.flush(true);
        });
        let lines = heard.0.lock().expect("no panic").clone();
        let of_file: Vec<_> = lines.iter().filter(|line| line.contains("component=file")).collect();
        assert_eq!(of_file.len(), 3, "{lines:#?}");
        assert!(of_file[0].contains("times=1 items=2 why=why 0"), "{lines:#?}");
        assert!(of_file[1].contains("times=999 items=1998 why=why 999"), "{lines:#?}");
        assert!(of_file[2].contains("times=1 items=5 why=later"), "a stop leaves nothing unsaid: {lines:#?}");
        assert_eq!(lines.iter().filter(|line| line.contains("component=other")).count(), 2);
    }

    /// What is heard while a test warns at times that it sets.
    fn heard(test: impl FnOnce(&Warnings, &dyn Fn(u64), &dyn Fn() -> Vec<String>)) {
        let (clock, heard) = (Arc::new(Hand::default()), Heard::default());
        let warnings = Warnings::new(Arc::<Hand>::clone(&clock));
        tracing::subscriber::with_default(heard.clone(), || {
            let set = |now| clock.0.store(now, Ordering::Relaxed);
            test(&warnings, &set, &|| std::mem::take(&mut *heard.0.lock().expect("no panic")));
        });
    }

    #[test]
    fn what_waits_is_told_when_its_minute_is_over_and_not_before() {
        heard(|warnings, set, lines| {
            warnings.warn(&"file", "refused", 1, "first");
            warnings.warn(&"file", "refused", 2, "second");
            assert_eq!(lines().len(), 1);
            set(MINUTE - 1);
            warnings.flush(false);
            assert!(lines().is_empty());
            set(MINUTE);
            warnings.flush(false);
            assert!(lines()[0].contains("times=1 items=2 why=second"));
            set(2 * MINUTE - 1);
            warnings.warn(&"file", "refused", 3, "third");
            assert!(lines().is_empty(), "what waited was told a minute ago");
            set(2 * MINUTE);
            warnings.warn(&"file", "refused", 4, "fourth");
            assert!(lines()[0].contains("times=2 items=7 why=fourth"), "it takes along what waited");
        });
    }

    #[test]
    fn each_has_its_level_and_no_items_where_none_are_known() {
        heard(|warnings, _, lines| {
            warnings.warn(&"a", "lost", 0, "why");
            warnings.error(&"b", "impossible", "why");
            warnings.debug(&"c", "usual", "why");
            let lines: Vec<_> = lines().into_iter().map(|line| line.replace("message=", "")).collect();
            assert!(lines.iter().all(|line| !line.contains("items=")), "{lines:#?}");
            let levels: Vec<_> = lines.iter().filter_map(|line| line.split(' ').next()).collect();
            assert_eq!(levels, ["WARN", "ERROR", "DEBUG"]);
        });
    }

    #[test]
    fn so_many_kinds_are_kept_apart_and_what_is_beyond_is_told_without_being_kept() {
        heard(|warnings, _, lines| {
            for part in 0..=MAX_KINDS {
                warnings.warn(&part, "refused", 1, "why");
                warnings.warn(&part, "refused", 1, "why");
            }
            assert_eq!(lines().len(), MAX_KINDS + 2);
        });
    }
}
