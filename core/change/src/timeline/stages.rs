//! The stages of a change: which event begins each, and which ends it.

use crate::event::Type;

/// A stage on a change's way to production.
#[derive(Debug, PartialEq, Eq)]
pub struct Stage {
    /// Its name, in lower case.
    pub name: &'static str,
    /// The events that begin it. None: it takes no time, and its ends are all there is.
    pub begins: &'static [&'static str],
    /// The events that end it, and how.
    pub ends: &'static [(&'static str, Ending)],
    /// What tells two of this stage apart: their object (a run, a deployment), or, where it has none of its own, the order
    /// of their times.
    pub by_object: bool,
}

/// What an event says of how its stage ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Well.
    Good,
    /// Not well.
    Bad,
    /// As its `result` says.
    Result,
}

/// All stages.
pub const STAGES: &[Stage] = &[
    point("opened", &[("ChangeOpened", Ending::Good)]),
    point("updated", &[("ChangeUpdated", Ending::Good)]),
    point("pushed", &[("CommitPushed", Ending::Good)]),
    point("tagged", &[("TagPushed", Ending::Good)]),
    point("released", &[("ReleasePublished", Ending::Good)]),
    point("in merge queue", &[("ChangeQueued", Ending::Good)]),
    point("out of merge queue", &[("ChangeDequeued", Ending::Bad)]),
    timed("pipeline", &["PipelineStarted"], &[("PipelineCompleted", Ending::Result)]),
    point("job queued", &[("JobQueued", Ending::Good)]),
    timed("job", &["JobStarted"], &[("JobCompleted", Ending::Result)]),
    timed("plan", &["PlanStarted"], &[("PlanCompleted", Ending::Good), ("PlanFailed", Ending::Bad)]),
    point("policy", &[("PolicyDenied", Ending::Bad)]),
    Stage {
        name: "approval",
        begins: &["ApprovalRequested"],
        ends: &[("ApprovalGranted", Ending::Good), ("ApprovalDenied", Ending::Bad)],
        by_object: false,
    },
    point("approval dismissed", &[("ApprovalDismissed", Ending::Good)]),
    point("merged", &[("ChangeMerged", Ending::Good)]),
    point("closed", &[("ChangeClosed", Ending::Good)]),
    point("apply queued", &[("ApplyQueued", Ending::Good)]),
    timed("apply", &["ApplyStarted"], &[("ApplySucceeded", Ending::Good), ("ApplyFailed", Ending::Bad)]),
    point("deployment progress", &[("DeploymentProgressed", Ending::Good)]),
    timed("deployment", &["DeploymentStarted"], &[("DeploymentFinished", Ending::Result)]),
];

const fn point(name: &'static str, ends: &'static [(&'static str, Ending)]) -> Stage {
    Stage { name, begins: &[], ends, by_object: true }
}

const fn timed(
    name: &'static str,
    begins: &'static [&'static str],
    ends: &'static [(&'static str, Ending)],
) -> Stage {
    Stage { name, begins, ends, by_object: true }
}

/// The stage that an event begins (`None`) or ends.
pub fn of(kind: &Type) -> Option<(&'static Stage, Option<Ending>)> {
    STAGES.iter().find_map(|stage| {
        let ends = stage.ends.iter().find(|(name, _)| *name == kind.name).map(|(_, ending)| Some(*ending));
        let begins = stage.begins.contains(&kind.name).then_some(None);
        Some((stage, ends.or(begins)?))
    })
}

/// Whether a result is one of those that mean well. What a source does not say is taken for good.
pub fn is_good(result: &str) -> bool {
    matches!(result, "" | "success" | "neutral" | "skip" | "skipped")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event;

    #[test]
    fn every_event_of_a_change_is_in_one_stage_and_every_stage_names_events_that_exist() {
        let names: Vec<&str> = STAGES
            .iter()
            .flat_map(|s| s.begins.iter().copied().chain(s.ends.iter().map(|(name, _)| *name)))
            .collect();
        for name in &names {
            assert!(event::named(name).is_some(), "{name}");
            assert_eq!(names.iter().filter(|other| *other == name).count(), 1, "{name}");
        }
        let without = event::TYPES.iter().filter(|kind| of(kind).is_none());
        assert_eq!(without.map(|kind| kind.name).collect::<Vec<_>>(), [""; 0]);
    }
}
