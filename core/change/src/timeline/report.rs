//! A change's timeline as it is served: stages, what it waits for, what was linked to it and how.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One change, in full. Shown by `GET /changes/ID` and `throughline change ID`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The change in one line.
    #[serde(flatten)]
    pub summary: Summary,
    /// Names that it had before, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_names: Vec<String>,
    /// Its stages in the order in which they began.
    pub stages: Vec<StageReport>,
    /// The commits that belong to it, and which event said so first.
    pub links: Vec<LinkReport>,
    /// Events that were left out to stay within `max_events_per_change`.
    pub left_out_events: u64,
}

/// One change, in one line. Shown by `GET /changes` and `throughline changes`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// `repository#pull_request`, or `repository@commit`.
    pub change_id: String,
    /// Its 32 hexadecimal digits, which stand for it in paths and exemplars.
    pub change_key: String,
    /// Where it stands.
    pub state: State,
    /// What it waits for, what runs, what failed, or where it arrived.
    pub what: String,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// When something was last heard of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event: Option<Timestamp>,
    /// When it was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened: Option<Timestamp>,
    /// Where its events took place, sorted.
    pub environments: Vec<String>,
    /// Whose it is, if an event said so.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub owner_team: String,
}

/// Where a change stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nothing runs; it waits for somebody or something.
    Waiting,
    /// A stage has begun and not ended.
    Running,
    /// The last of a stage failed, and none has begun since.
    Failed,
    /// It arrived in production, or was closed.
    Done,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Running, Self::Failed, Self::Done];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Failed => "failed",
            Self::Done => "done",
        }
    }
}

/// One stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageReport {
    /// Its name: `pipeline`, `plan`, `approval`.
    pub stage: String,
    /// What people call its object: a pipeline's name, a stack.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What it happened to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub object: String,
    /// Which attempt, where there are several.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempt: u64,
    /// Who told of it.
    pub source: String,
    /// Where.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub environment: String,
    /// When it began; of a stage whose end is all that was heard, nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// How long nothing had happened to the change before, in seconds.
    pub waited_seconds: f64,
    /// How long it took, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_seconds: Option<f64>,
    /// How it ended, `running`, or `no end heard` where a later one of its kind began meanwhile.
    pub outcome: String,
    /// The step that failed; what a plan would change.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Who did it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub actor: String,
    /// Who was asked to do it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub asked: String,
}

/// A commit of the change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkReport {
    /// The commit.
    pub commit_sha: String,
    /// The event that named it first.
    pub by: String,
    /// Who told of that.
    pub source: String,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

/// Several changes, those that wait longest first. Shown by `GET /changes`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listing {
    /// The moment that ages are counted to.
    pub now: Timestamp,
    /// The changes.
    pub changes: Vec<Summary>,
    /// How many fit what was asked for, shown or not.
    pub matched: usize,
    /// How many are known.
    pub known: usize,
    /// How many were forgotten to stay within `max_memory`.
    pub forgotten: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Nanoseconds since 1970 as a time; zero is none.
pub(super) fn time(nanos: u64) -> Option<Timestamp> {
    (nanos > 0).then(|| Timestamp::from_nanosecond(i128::from(nanos)).ok()).flatten()
}
