//! Domain events: the table of types, and the envelope as attributes of a log record.
//!
//! Source: requirements EVT-01 to EVT-46, GAP-01 to GAP-13, ENV-01 to ENV-11. `docs/events.md` shows
//! [`TYPES`].

use sha2::{Digest, Sha256};

/// One type of domain event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Type {
    /// The requirement's spelling, which the envelope's `event_type` keeps: `PlanCompleted`.
    pub name: &'static str,
    /// The log record's `event_name`: `change.plan.completed`. No dynamic values, as semantic conventions ask.
    pub event_name: &'static str,
    /// One of the twelve entities, snake case (ENV-05).
    pub entity: &'static str,
    /// How severe it is by default (ENV-09).
    pub severity: Severity,
    /// The requirement's row.
    pub row: &'static str,
}

/// How severe an event is: one scale for all sources (TRP-11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As expected.
    Info,
    /// Something to look at.
    Warning,
    /// Something failed.
    High,
    /// Somebody must act.
    Critical,
}

impl Severity {
    /// The envelope's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// OTLP's severity number: INFO, WARN, ERROR, FATAL.
    pub fn number(self) -> i32 {
        match self {
            Self::Info => 9,
            Self::Warning => 13,
            Self::High => 17,
            Self::Critical => 21,
        }
    }
}

const fn info(name: &'static str, event_name: &'static str, entity: &'static str, row: &'static str) -> Type {
    Type { name, event_name, entity, severity: Severity::Info, row }
}

const fn high(name: &'static str, event_name: &'static str, entity: &'static str, row: &'static str) -> Type {
    Type { name, event_name, entity, severity: Severity::High, row }
}

/// All types, sorted by name.
pub const TYPES: &[Type] = &[
    high("ApplyFailed", "change.apply.failed", "run", "EVT-06"),
    info("ApplyQueued", "change.apply.queued", "run", "GAP-03"),
    info("ApplyStarted", "change.apply.started", "run", "EVT-05"),
    info("ApplySucceeded", "change.apply.succeeded", "run", "EVT-07"),
    high("ApprovalDenied", "change.approval.denied", "approval", "GAP-02"),
    info("ApprovalDismissed", "change.approval.dismissed", "approval", "GAP-02"),
    info("ApprovalGranted", "change.approval.granted", "approval", "EVT-04"),
    info("ApprovalRequested", "change.approval.requested", "approval", "GAP-02"),
    info("ChangeClosed", "change.closed", "change", "GAP-01"),
    info("ChangeDequeued", "change.dequeued", "change", "GAP-01"),
    info("ChangeMerged", "change.merged", "change", "GAP-01"),
    info("ChangeOpened", "change.opened", "change", "GAP-01"),
    info("ChangeQueued", "change.queued", "change", "GAP-01"),
    info("ChangeUpdated", "change.updated", "change", "GAP-01"),
    info("CommitPushed", "change.commit.pushed", "change", "EVT-29"),
    info("DeploymentFinished", "change.deployment.finished", "environment", "GAP-13"),
    info("DeploymentProgressed", "change.deployment.progressed", "environment", "EVT-40"),
    info("DeploymentStarted", "change.deployment.started", "environment", "EVT-40"),
    info("JobCompleted", "change.job.completed", "run", "EVT-36"),
    info("JobQueued", "change.job.queued", "run", "EVT-34"),
    info("JobStarted", "change.job.started", "run", "EVT-34"),
    info("PipelineCompleted", "change.pipeline.completed", "run", "EVT-30"),
    info("PipelineStarted", "change.pipeline.started", "run", "EVT-30"),
    info("PlanCompleted", "change.plan.completed", "plan", "EVT-02"),
    high("PlanFailed", "change.plan.failed", "plan", "M0-09"),
    info("PlanStarted", "change.plan.started", "plan", "EVT-01"),
    high("PolicyDenied", "change.policy.denied", "policy_decision", "EVT-03"),
    info("ReleasePublished", "change.release.published", "artifact", "EVT-40"),
    info("TagPushed", "change.tag.pushed", "change", "EVT-29"),
];

/// The type of this name.
pub fn named(name: &str) -> Option<&'static Type> {
    TYPES.binary_search_by_key(&name, |kind| kind.name).ok().map(|at| &TYPES[at])
}

/// A type as serde writes it, by its name: `#[serde(with = "event::by_name")]`.
pub mod by_name {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{Type, named};

    /// Writes the name.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(kind: &&'static Type, into: S) -> Result<S::Ok, S::Error> {
        into.serialize_str(kind.name)
    }

    /// Reads the name of a type that exists.
    ///
    /// # Errors
    /// There is no such type.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<&'static Type, D::Error> {
        let name = String::deserialize(from)?;
        named(&name).ok_or_else(|| serde::de::Error::custom(format!("there is no event `{name}`")))
    }
}

/// The type whose log records have this `event_name`.
pub fn of_record(event_name: &str) -> Option<&'static Type> {
    TYPES.iter().find(|kind| kind.event_name == event_name)
}

/// An event's id (ENV-01), the same for every delivery of the same transition: `evt-` and 32 hexadecimal digits of a
/// hash over what identifies the transition (type, object, state, attempt …).
pub fn event_id(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    format!("evt-{}", hex::encode(&hash.finalize()[..16]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_every_name_is_found() {
        assert!(TYPES.is_sorted_by_key(|kind| kind.name));
        for kind in TYPES {
            assert_eq!(named(kind.name), Some(kind));
            assert_eq!(of_record(kind.event_name), Some(kind));
        }
        assert_eq!(named("JobLogLinePrinted"), None, "BAD-01 stays a log");
    }

    #[test]
    fn the_page_shows_the_table() {
        let page = include_str!("../../../docs/events.md");
        let shown: Vec<_> = page.lines().filter(|line| line.contains(" | `change.")).collect();
        let row = |kind: &Type| {
            let Type { name, event_name, entity, severity, row } = kind;
            format!("| {name} | `{event_name}` | {entity} | {} | {row} |", severity.as_str())
        };
        assert_eq!(shown, TYPES.iter().map(row).collect::<Vec<_>>());
    }

    #[test]
    fn an_event_id_depends_on_every_part_and_on_where_it_ends() {
        assert_eq!(event_id(&["a", "b"]), event_id(&["a", "b"]));
        assert_ne!(event_id(&["ab", ""]), event_id(&["a", "b"]));
        assert_eq!(event_id(&["a"]).len(), 36);
    }
}
