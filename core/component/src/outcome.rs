//! What became of data: the value every delivery ends in.

use std::sync::Arc;
use std::time::Duration;

/// What became of a chunk or batch.
///
/// Protocol tables classify first; what they do not know is [`Outcome::Retry`], so that an unforeseen answer never
/// loses data. The order of severity is `Done < Reject < Retry`: see [`Outcome::worst`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Delivered, or synced to disk. `rejected` items were refused for good, `why` says so (OTLP partial success).
    Done {
        /// Items (spans, log records, data points) refused by the destination or cut out at admission.
        rejected: u32,
        /// A message for the sender; set whenever `rejected` is not zero, and for warnings with no rejections.
        why: Option<Arc<str>>,
    },
    /// Nothing is known to be wrong with the data: it may be sent again, not before `after`.
    Retry {
        /// The least delay that the destination asked for.
        after: Option<Duration>,
        /// The protocol calls this answer permanent, although it says nothing about the data: wrong credentials, a missing
        /// route, an error of the server. An exporter's queue keeps the data unless its settings say otherwise.
        permanent: bool,
        /// What was wrong, for a person.
        why: Arc<str>,
    },
    /// The data is bad, whoever it is sent to.
    Reject {
        /// What class of refusal, for the reply's status code.
        kind: RejectKind,
        /// What was wrong, for a person.
        why: Arc<str>,
    },
}

/// Why data was refused for good. There is no kind for credentials, routes or servers: they say nothing about the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RejectKind {
    /// It does not parse, or breaks a rule of its format.
    Invalid,
    /// It is larger than a limit.
    TooLarge,
}

impl RejectKind {
    /// The label of counters, snake case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::TooLarge => "too_large",
        }
    }
}

impl Outcome {
    /// Everything was accepted.
    pub const DONE: Self = Self::Done { rejected: 0, why: None };

    /// A retryable failure with no delay asked for.
    pub fn retry(why: impl Into<Arc<str>>) -> Self {
        Self::Retry { after: None, permanent: false, why: why.into() }
    }

    /// A failure that the protocol calls permanent, and that says nothing about the data.
    pub fn misdirected(why: impl Into<Arc<str>>) -> Self {
        Self::Retry { after: None, permanent: true, why: why.into() }
    }

    /// A final refusal.
    pub fn reject(kind: RejectKind, why: impl Into<Arc<str>>) -> Self {
        Self::Reject { kind, why: why.into() }
    }

    /// The outcome of one chunk that took two ways: Retry over Reject over Done. Two partial successes keep the larger
    /// count, since both speak about the same items; two retries keep the longer delay.
    #[must_use]
    pub fn worst(self, other: Self) -> Self {
        use Outcome::{Done, Reject, Retry};
        match (self, other) {
            (Retry { after: a, permanent: p, why }, Retry { after: b, permanent: q, .. }) => {
                Retry { after: a.max(b), permanent: p && q, why }
            }
            (retry @ Retry { .. }, _) | (_, retry @ Retry { .. }) => retry,
            (reject @ Reject { .. }, _) | (_, reject @ Reject { .. }) => reject,
            (Done { rejected: a, why: x }, Done { rejected: b, why: y }) => {
                let why = if b > a { y.or(x) } else { x.or(y) };
                Done { rejected: a.max(b), why }
            }
        }
    }

    /// The outcome of a chunk whose data was divided, from those of two parts: Retry over Done, and what was refused adds
    /// up. Parts that are refused whole must say so as [`part`](Self::part).
    #[must_use]
    pub(crate) fn together(self, other: Self) -> Self {
        match (self, other) {
            (Self::Done { rejected: a, why: x }, Self::Done { rejected: b, why: y }) => {
                Self::Done { rejected: a.saturating_add(b), why: x.or(y) }
            }
            (one, other) => one.worst(other),
        }
    }

    /// The outcome of a part of `items` items as the whole chunk's sender must hear it: a refusal is a partial success.
    #[must_use]
    pub(crate) fn part(self, items: u32) -> Self {
        match self {
            Self::Reject { why, .. } => Self::Done { rejected: items, why: Some(why) },
            outcome => outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fan_out_answers_retry_over_reject_over_done() {
        let done = Outcome::Done { rejected: 2, why: Some("two".into()) };
        let retry = Outcome::retry("later");
        let reject = Outcome::reject(RejectKind::Invalid, "never");
        assert_eq!(done.clone().worst(reject.clone()), reject);
        assert_eq!(reject.clone().worst(retry.clone()), retry);
        assert_eq!(retry.clone().worst(done.clone()), retry);
        assert_eq!(Outcome::DONE.worst(done.clone()), done);
    }

    #[test]
    fn two_retries_keep_the_longer_delay() {
        let short = Outcome::Retry { after: Some(Duration::from_secs(1)), permanent: false, why: "a".into() };
        let long = Outcome::Retry { after: Some(Duration::from_secs(9)), permanent: false, why: "b".into() };
        let Outcome::Retry { after, .. } = short.worst(long) else { panic!("two retries are a retry") };
        assert_eq!(after, Some(Duration::from_secs(9)));
    }
    #[test]
    fn two_retries_are_permanent_only_if_both_are() {
        let (permanent, passing) = (Outcome::misdirected("no route"), Outcome::retry("busy"));
        let is_permanent = |outcome| matches!(outcome, Outcome::Retry { permanent: true, .. });
        assert!(is_permanent(permanent.clone().worst(permanent.clone())));
        assert!(!is_permanent(permanent.clone().worst(passing.clone())));
        assert!(!is_permanent(passing.worst(permanent)));
    }

    #[test]
    fn of_two_partial_successes_the_larger_speaks_and_of_two_alike_the_first() {
        let some = |rejected: u32, why: &str| Outcome::Done { rejected, why: Some(why.into()) };
        assert_eq!(some(2, "a").worst(some(3, "b")), some(3, "b"));
        assert_eq!(some(3, "a").worst(some(2, "b")), some(3, "a"));
        assert_eq!(some(2, "a").worst(some(2, "b")), some(2, "a"));
    }

    #[test]
    fn the_reasons_of_counters_are_told_apart() {
        let names = [RejectKind::Invalid, RejectKind::TooLarge].map(RejectKind::as_str);
        assert_eq!(names, ["invalid", "too_large"]);
    }
}
