//! What a domain event says of a change, without its payload: names, ids and times, so that it may be journaled and shown.

use serde::{Deserialize, Serialize};
use throughline_otlp::view::{AnyValue, Array, Attributes, LogRecord, ResourceLookup};

use crate::event::{self, Type};
use crate::labels::{cut, environment};

/// Where the id of the object that an event is about stands, the closest first.
const OBJECTS: [&str; 4] =
    ["cicd.pipeline.task.run.id", "cicd.pipeline.run.id", "deployment.id", "entity_id"];

/// How many changes one event is filed under; a deployment may carry more.
const MOST_CHANGES: usize = 64;

/// A domain event, as far as the story of its changes goes. Text that the event does not have is empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangeEvent {
    /// The same for every delivery of the same transition.
    #[serde(rename = "id")]
    pub event_id: Box<str>,
    /// What happened.
    #[serde(rename = "t", with = "event::by_name")]
    pub kind: &'static Type,
    /// The changes that it belongs to, the newest last.
    #[serde(rename = "ch")]
    pub change_ids: Vec<Box<str>>,
    /// When, in nanoseconds since 1970, as the source has it.
    pub at: u64,
    /// Who told of it: a forge, a tool, a service.
    #[serde(rename = "src", default, skip_serializing_if = "str::is_empty")]
    pub source: Box<str>,
    /// What it happened to: a run, a job, a deployment.
    #[serde(rename = "obj", default, skip_serializing_if = "str::is_empty")]
    pub object: Box<str>,
    /// What people call that: the pipeline's name, the job's, the stack or application.
    #[serde(rename = "n", default, skip_serializing_if = "str::is_empty")]
    pub name: Box<str>,
    /// Which attempt of the object.
    #[serde(rename = "no", default)]
    pub attempt: u64,
    /// Who did it.
    #[serde(rename = "by", default, skip_serializing_if = "str::is_empty")]
    pub actor: Box<str>,
    /// Who was asked to do something.
    #[serde(rename = "ask", default, skip_serializing_if = "str::is_empty")]
    pub asked: Box<str>,
    /// How it ended, in the source's word: `success`, `failure`, `cancelled`.
    #[serde(rename = "res", default, skip_serializing_if = "str::is_empty")]
    pub result: Box<str>,
    /// The step at which it failed, or what a plan would change.
    #[serde(rename = "det", default, skip_serializing_if = "str::is_empty")]
    pub detail: Box<str>,
    /// How long what ended took, in milliseconds, if the source says so.
    #[serde(rename = "ms", default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// The commit it is about.
    #[serde(rename = "sha", default, skip_serializing_if = "str::is_empty")]
    pub commit: Box<str>,
    /// The commit that it was merged as.
    #[serde(rename = "as", default, skip_serializing_if = "str::is_empty")]
    pub merge_commit: Box<str>,
    /// Where.
    #[serde(rename = "at_", default)]
    pub entity: EntityLabels,
}

/// The bounded labels of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct EntityLabels {
    /// `repository`
    #[serde(skip_serializing_if = "str::is_empty")]
    pub repository: Box<str>,
    /// `environment`
    #[serde(skip_serializing_if = "str::is_empty")]
    pub environment: Box<str>,
    /// `stack_id`
    #[serde(skip_serializing_if = "str::is_empty")]
    pub stack_id: Box<str>,
    /// `application`
    #[serde(skip_serializing_if = "str::is_empty")]
    pub application: Box<str>,
    /// `owner_team`
    #[serde(skip_serializing_if = "str::is_empty")]
    pub owner_team: Box<str>,
    /// `risk_tier`
    #[serde(skip_serializing_if = "str::is_empty")]
    pub risk_tier: Box<str>,
    /// `runner_pool`
    #[serde(skip_serializing_if = "str::is_empty")]
    pub runner_pool: Box<str>,
}

impl ChangeEvent {
    /// Reads a domain event that belongs to a change; any other record is none.
    pub fn read(log: LogRecord<'_>, resource: &ResourceLookup<'_>) -> Option<Self> {
        let kind = event::of_record(log.event_name())?;
        let attributes = log.attributes();
        let get = |key: &str| attributes.get(key).or_else(|| resource.get(key));
        let text = |key: &str| get(key).and_then(AnyValue::as_str).map(cut).unwrap_or_default();
        let (event_id, change_id) = (text("event_id"), text("change_id"));
        if event_id.is_empty() || change_id.is_empty() {
            return None;
        }
        let payload = match log.body() {
            Some(AnyValue::Map(map)) => map,
            _ => Attributes::default(),
        };
        let said =
            |keys: &[&str]| keys.iter().find_map(|key| payload.get_str(key)).map(cut).unwrap_or_default();
        let number = |key: &str| match payload.get(key) {
            Some(AnyValue::Int(number)) => u64::try_from(number).ok(),
            _ => None,
        };
        let source = [
            payload.get_str("source"),
            resource.get_str("vcs.provider.name"),
            resource.get_str("service.name"),
        ];
        Some(Self {
            event_id: event_id.into(),
            kind,
            change_ids: changes(change_id, get("change_ids")),
            at: log.time_unix_nano(),
            source: source.into_iter().flatten().map(cut).next().unwrap_or_default().into(),
            object: OBJECTS.iter().map(|key| text(key)).find(|id| !id.is_empty()).unwrap_or_default().into(),
            name: said(&["job", "pipeline", "branch", "tag"]).into(),
            attempt: number("attempt").unwrap_or(0),
            actor: said(&["approver", "actor", "author"]).into(),
            asked: said(&["reviewer"]).into(),
            result: said(&["result"]).into(),
            detail: detail(payload).into(),
            duration_ms: number("duration_ms"),
            commit: text("commit_sha").into(),
            merge_commit: text("throughline.merge_commit_sha").into(),
            entity: EntityLabels {
                repository: text("repository").into(),
                environment: environment(text("environment")).into(),
                stack_id: text("stack_id").into(),
                application: text("application").into(),
                owner_team: text("owner_team").into(),
                risk_tier: text("risk_tier").into(),
                runner_pool: text("runner_pool").into(),
            },
        })
    }

    /// How many bytes it takes in memory.
    pub fn size(&self) -> usize {
        let EntityLabels {
            repository,
            environment,
            stack_id,
            application,
            owner_team,
            risk_tier,
            runner_pool,
        } = &self.entity;
        let place = [repository, environment, stack_id, application, owner_team, risk_tier, runner_pool];
        let own = [
            &self.event_id,
            &self.source,
            &self.object,
            &self.name,
            &self.actor,
            &self.asked,
            &self.result,
            &self.detail,
            &self.commit,
            &self.merge_commit,
        ];
        let texts: usize = place.iter().chain(&own).map(|text| text.len()).sum();
        let changes: usize = self.change_ids.iter().map(|id| id.len() + size_of::<Box<str>>()).sum();
        size_of::<Self>() + texts + changes
    }
}

/// What the agent says when a change has another name.
const SUPERSEDED: &str = "change.identity.superseded";

/// The former and the new name of a change, of a record that announces it (`change.identity.superseded {old, new}`).
pub fn superseded(log: LogRecord<'_>) -> Option<(&str, &str)> {
    let name = |key: &str| log.attributes().get_str(key).map(cut).filter(|name| !name.is_empty());
    if log.event_name() == SUPERSEDED { Some((name("old")?, name("new")?)) } else { None }
}

/// `change_ids`, or the only one. The event's own change is the last.
fn changes(own: &str, all: Option<AnyValue<'_>>) -> Vec<Box<str>> {
    let all = match all {
        Some(AnyValue::Array(all)) => texts(all),
        _ => Vec::new(),
    };
    let mut changes: Vec<Box<str>> = Vec::new();
    for id in all.into_iter().filter(|id| *id != own).take(MOST_CHANGES - 1).chain([own]) {
        if !changes.iter().any(|known| **known == *id) {
            changes.push(id.into());
        }
    }
    changes
}

fn texts(array: Array<'_>) -> Vec<&str> {
    array.iter().filter_map(AnyValue::as_str).map(cut).filter(|text| !text.is_empty()).collect()
}

/// The step that failed, or a plan's numbers.
fn detail(payload: Attributes<'_>) -> String {
    if let Some(step) = payload.get_str("failed_step") {
        return format!("at {}", cut(step));
    }
    let planned = ["create", "update", "delete", "replace"].map(|what| {
        let key = format!("changes.{what}");
        match payload.get(&key) {
            Some(AnyValue::Int(number)) if number > 0 => Some(format!("{number} to {what}")),
            _ => None,
        }
    });
    planned.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
