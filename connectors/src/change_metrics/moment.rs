//! What is kept of an event: as little as metrics need, since there are many.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use throughline_change::change_key;
use throughline_change::event::{self, Type};
use throughline_change::timeline::{ChangeEvent, EntityLabels};

/// An event of one change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Moment {
    #[serde(rename = "t", with = "event::by_name")]
    pub(super) kind: &'static Type,
    /// When it happened, as its source has it, in nanoseconds since 1970.
    pub(super) at: u64,
    /// When it was heard of, by our clock.
    #[serde(rename = "h")]
    pub(super) heard: u64,
    /// Its object and attempt, hashed: whether two are of one object is all that matters.
    #[serde(rename = "o")]
    object: u64,
    #[serde(rename = "ms", default, skip_serializing_if = "Option::is_none")]
    pub(super) duration_ms: Option<u64>,
    #[serde(rename = "r", default, skip_serializing_if = "str::is_empty")]
    pub(super) result: Box<str>,
    #[serde(rename = "l")]
    pub(super) labels: Arc<Labels>,
    /// The event is another change's, and carries this one (a deployment of several).
    #[serde(rename = "c", default)]
    pub(super) is_carried: bool,
    /// Nothing that is told later changes what was made of it.
    #[serde(rename = "f", default)]
    pub(super) is_final: bool,
}

/// What a series may be told apart by.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Labels {
    #[serde(flatten)]
    pub(super) entity: EntityLabels,
    /// The pipeline's name, of events of pipelines.
    #[serde(rename = "pipeline", default, skip_serializing_if = "str::is_empty")]
    pub(super) name: Box<str>,
}

impl Moment {
    pub(super) fn new(event: &ChangeEvent, heard: u64, is_carried: bool) -> Self {
        let name = if event.kind.name.starts_with("Pipeline") { event.name.clone() } else { Box::default() };
        Self {
            kind: event.kind,
            at: event.at,
            heard,
            object: hash(&format!("{} {}", event.object, event.attempt)),
            duration_ms: event.duration_ms,
            result: event.result.clone(),
            labels: Arc::new(Labels { entity: event.entity.clone(), name }),
            is_carried,
            is_final: false,
        }
    }

    pub(super) fn is_any(&self, events: &[&str]) -> bool {
        events.contains(&self.kind.name)
    }

    /// By time; of one moment, by all that tells two apart, so that the order is the same whatever was heard of first.
    pub(super) fn by_time(&self, other: &Self) -> std::cmp::Ordering {
        let key = |moment: &'_ Self| (moment.at, moment.kind.name, moment.object, moment.duration_ms);
        key(self)
            .cmp(&key(other))
            .then_with(|| (&self.labels, &self.result).cmp(&(&other.labels, &other.result)))
    }

    pub(super) fn is_of_object(&self, other: &Self) -> bool {
        self.object == other.object
    }
}

impl Labels {
    /// Takes over what is not known yet.
    pub(super) fn fill(&mut self, other: &Self) {
        let EntityLabels {
            repository,
            environment,
            stack_id,
            application,
            owner_team,
            risk_tier,
            runner_pool,
        } = &mut self.entity;
        let from = &other.entity;
        for (own, other) in [
            (repository, &from.repository),
            (environment, &from.environment),
            (stack_id, &from.stack_id),
            (application, &from.application),
            (owner_team, &from.owner_team),
            (risk_tier, &from.risk_tier),
            (runner_pool, &from.runner_pool),
        ] {
            if own.is_empty() {
                own.clone_from(other);
            }
        }
    }
}

/// A hash that is the same after a restart.
pub(super) fn hash(text: &str) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = change_key(text);
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}
