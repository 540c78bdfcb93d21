//! The metrics, a row each: what begins, what ends, which labels.

use throughline_change::timeline::stages::is_good;

use super::moment::{Labels, Moment};

/// A metric that is made of events.
#[derive(Debug)]
pub(super) struct Metric {
    /// Its exact name (TRP-06).
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) unit: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: &'static [Label],
    /// The label that says how it ended, if there is one.
    pub(super) result: Option<&'static str>,
}

/// What is made of the events.
#[derive(Debug)]
pub(super) enum Kind {
    /// A histogram of the time from what begins to what ends.
    Duration { begins: &'static [&'static str], from: From, ends: &'static [End], per: Per },
    /// A gauge of the last such time.
    LastDuration { begins: &'static [&'static str], from: From, ends: &'static [End], per: Per },
    /// A counter of what ends.
    Count { ends: &'static [End] },
    /// Since when the oldest waits: something began for its change, and nothing has ended it.
    Age { begins: &'static [&'static str], ends: &'static [&'static str] },
    /// How many have begun and not ended.
    Active { begins: &'static [&'static str], ends: &'static [&'static str] },
}

/// From which beginning a duration counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// The change's first.
    First,
    /// The last before the end.
    Last,
    /// As the end says (`duration_ms`), or else the last of the same object.
    Own,
}

/// How often a duration is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Per {
    /// Once for a change, at the first end.
    Change,
    /// For each end.
    End,
}

/// An event that ends something.
#[derive(Debug)]
pub(super) struct End {
    pub(super) event: &'static str,
    pub(super) only: Only,
    /// The label's value; unset: the event's own result.
    pub(super) result: Option<&'static str>,
}

/// Which events of a type count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Only {
    All,
    /// Those that went well, in production.
    InProduction,
    /// Those that did not go well.
    Failed,
}

/// A label, and where its value is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    Environment,
    OwnerTeam,
    RiskTier,
    Repository,
    RunnerPool,
    StackId,
    Pipeline,
}

use Label::{Environment, OwnerTeam, Pipeline, Repository, RiskTier, RunnerPool, StackId};

const OPENED: &[&str] = &["ChangeOpened"];
const PUSHED: &[&str] = &["ChangeOpened", "ChangeUpdated"];
const APPLIED: &[End] = &[ended_as("ApplySucceeded", "success"), ended_as("ApplyFailed", "failure")];
const APPLY: &[Label] = &[Environment, OwnerTeam, RiskTier, Repository, RunnerPool, StackId];

/// All metrics. Rows of requirements M0, and of the semantic conventions 1.44 for CI/CD and version control.
pub(super) const METRICS: &[Metric] = &[
    // M0-01
    Metric {
        name: "change_lead_time_seconds",
        description: "From opening a change to production",
        unit: "s",
        kind: Kind::Duration {
            begins: OPENED,
            from: From::First,
            ends: &[End { event: "DeploymentFinished", only: Only::InProduction, result: None }],
            per: Per::Change,
        },
        labels: &[Environment, OwnerTeam, RiskTier],
        result: None,
    },
    // M0-02
    Metric {
        name: "plan_latency_seconds",
        description: "From a change's last edit to its plan",
        unit: "s",
        kind: Kind::Duration {
            begins: PUSHED,
            from: From::Last,
            ends: &[ended("PlanCompleted")],
            per: Per::End,
        },
        labels: &[Environment, RiskTier, Repository],
        result: None,
    },
    // M0-06
    Metric {
        name: "apply_duration_seconds",
        description: "How long applies took",
        unit: "s",
        kind: Kind::Duration { begins: &["ApplyStarted"], from: From::Own, ends: APPLIED, per: Per::End },
        labels: APPLY,
        result: Some("result"),
    },
    // M0-10: what the recording rule `apply_failure_rate` is made of.
    Metric {
        name: "change_apply_total",
        description: "Applies by result",
        unit: "",
        kind: Kind::Count { ends: APPLIED },
        labels: APPLY,
        result: Some("result"),
    },
    // M0-05
    Metric {
        name: "apply_queue_age_seconds",
        description: "Age of the oldest approved change not yet applied",
        unit: "s",
        kind: Kind::Age {
            begins: &["ApprovalGranted", "ApplyQueued"],
            ends: &["ApplyStarted", "ApplySucceeded", "ApplyFailed", "ChangeClosed"],
        },
        labels: &[Environment, RunnerPool],
        result: None,
    },
    Metric {
        name: "cicd.pipeline.run.duration",
        description: "Duration of a pipeline run",
        unit: "s",
        kind: Kind::Duration {
            begins: &["PipelineStarted"],
            from: From::Own,
            ends: &[ended("PipelineCompleted")],
            per: Per::End,
        },
        labels: &[Pipeline, Repository],
        result: Some("cicd.pipeline.result"),
    },
    Metric {
        name: "cicd.pipeline.run.active",
        description: "The number of pipeline runs currently active",
        unit: "{run}",
        kind: Kind::Active { begins: &["PipelineStarted"], ends: &["PipelineCompleted"] },
        labels: &[Pipeline, Repository],
        result: None,
    },
    Metric {
        name: "cicd.pipeline.run.errors",
        description: "The number of errors encountered in pipeline runs",
        unit: "{error}",
        kind: Kind::Count { ends: &[End { event: "PipelineCompleted", only: Only::Failed, result: None }] },
        labels: &[Pipeline, Repository],
        result: Some("error.type"),
    },
    Metric {
        name: "vcs.change.time_to_approval",
        description: "The amount of time since its creation it took a change to get the first approval",
        unit: "s",
        kind: Kind::LastDuration {
            begins: OPENED,
            from: From::First,
            ends: &[ended("ApprovalGranted")],
            per: Per::Change,
        },
        labels: &[Repository],
        result: None,
    },
    Metric {
        name: "vcs.change.time_to_merge",
        description: "The amount of time since its creation it took a change to get merged",
        unit: "s",
        kind: Kind::LastDuration {
            begins: OPENED,
            from: From::First,
            ends: &[ended("ChangeMerged")],
            per: Per::Change,
        },
        labels: &[Repository],
        result: None,
    },
];

const fn ended(event: &'static str) -> End {
    End { event, only: Only::All, result: None }
}

const fn ended_as(event: &'static str, result: &'static str) -> End {
    End { event, only: Only::All, result: Some(result) }
}

impl Metric {
    /// The events that end what it measures, where each end is observed when it is final.
    fn ends(&self) -> &'static [End] {
        match self.kind {
            Kind::Duration { ends, .. } | Kind::LastDuration { ends, .. } | Kind::Count { ends } => ends,
            Kind::Age { .. } | Kind::Active { .. } => &[],
        }
    }

    /// How a moment ends what it measures, if it does.
    pub(super) fn ended_by(&self, moment: &Moment) -> Option<&'static End> {
        self.ends().iter().find(|end| end.event == moment.kind.name && end.only.fits(moment))
    }

    /// Whether it looks at events of this name at all.
    pub(super) fn reads(&self, event: &str) -> bool {
        let (begins, ends): (&[&str], &[&str]) = match self.kind {
            Kind::Duration { begins, .. } | Kind::LastDuration { begins, .. } => (begins, &[]),
            Kind::Count { .. } => (&[], &[]),
            Kind::Age { begins, ends } | Kind::Active { begins, ends } => (begins, ends),
        };
        begins.contains(&event) || ends.contains(&event) || self.ends().iter().any(|end| end.event == event)
    }

    /// The values of its labels, the result last.
    pub(super) fn series(&self, labels: &Labels, result: &str) -> Vec<Box<str>> {
        let values = self.labels.iter().map(|label| label.of(labels));
        values.chain(self.result.map(|_| result)).map(Box::from).collect()
    }

    /// The names of its labels, the result last.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.labels.iter().map(|label| label.name()).chain(self.result)
    }
}

impl Only {
    fn fits(self, moment: &Moment) -> bool {
        match self {
            Self::All => true,
            Self::InProduction => {
                is_good(&moment.result) && &*moment.labels.entity.environment == "production"
            }
            Self::Failed => !is_good(&moment.result),
        }
    }
}

impl Label {
    fn name(self) -> &'static str {
        match self {
            Environment => "environment",
            OwnerTeam => "owner_team",
            RiskTier => "risk_tier",
            Repository => "repository",
            RunnerPool => "runner_pool",
            StackId => "stack_id",
            Pipeline => "cicd.pipeline.name",
        }
    }

    fn of(self, labels: &Labels) -> &str {
        let place = &labels.entity;
        match self {
            Environment => &place.environment,
            OwnerTeam => &place.owner_team,
            RiskTier => &place.risk_tier,
            Repository => &place.repository,
            RunnerPool => &place.runner_pool,
            StackId => &place.stack_id,
            Pipeline => &labels.name,
        }
    }
}

/// Whether any metric looks at events of this name.
pub(super) fn is_read(event: &str) -> bool {
    METRICS.iter().any(|metric| metric.reads(event))
}

#[cfg(test)]
mod tests {
    use throughline_change::event;

    use super::*;

    #[test]
    fn every_row_names_events_that_exist_and_no_two_have_one_name() {
        for (index, metric) in METRICS.iter().enumerate() {
            assert!(METRICS[..index].iter().all(|other| other.name != metric.name), "{}", metric.name);
            let read = event::TYPES.iter().filter(|kind| metric.reads(kind.name)).count();
            let named = match metric.kind {
                Kind::Duration { begins, ends, .. } | Kind::LastDuration { begins, ends, .. } => {
                    begins.len() + ends.len()
                }
                Kind::Count { ends } => ends.len(),
                Kind::Age { begins, ends } | Kind::Active { begins, ends } => begins.len() + ends.len(),
            };
            assert_eq!(read, named, "{} names an event that is not there", metric.name);
        }
    }

    #[test]
    fn no_label_is_one_without_bounds() {
        for name in METRICS.iter().flat_map(Metric::names) {
            assert!(!throughline_change::labels::UNBOUNDED.contains(&name), "{name}");
        }
    }

    #[test]
    fn the_page_shows_the_table() {
        let page = include_str!("../../../docs/change-metrics.md");
        let shown: Vec<_> = page.lines().filter(|line| line.starts_with("| `")).collect();
        let ends = |ends: &[End]| ends.iter().map(|end| end.event).collect::<Vec<_>>().join(" or ");
        let row = |metric: &Metric| {
            let once = |per: Per| if per == Per::Change { ", once for a change" } else { "" };
            let (kind, from) = match metric.kind {
                Kind::Duration { begins, ends: to, per, .. } => {
                    ("histogram", format!("{} → {}{}", begins.join(" or "), ends(to), once(per)))
                }
                Kind::LastDuration { begins, ends: to, per, .. } => {
                    ("gauge", format!("{} → {}{}", begins.join(" or "), ends(to), once(per)))
                }
                Kind::Count { ends: of } => ("counter", ends(of)),
                Kind::Age { begins, ends } => {
                    ("age", format!("{}, until {}", begins.join(" or "), ends.join(" or ")))
                }
                Kind::Active { begins, ends } => {
                    ("active", format!("{}, until {}", begins.join(" or "), ends.join(" or ")))
                }
            };
            let labels: Vec<_> = metric.names().map(|name| format!("`{name}`")).collect();
            format!("| `{}` | {kind} | {from} | {} |", metric.name, labels.join(" "))
        };
        assert_eq!(shown, METRICS.iter().map(row).collect::<Vec<_>>());
    }
}
