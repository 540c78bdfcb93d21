//! Deliveries to domain events (requirements EVT-04, EVT-29, EVT-30, EVT-34, EVT-36, EVT-40, GAP-01, GAP-02, GAP-13).

use throughline_change::event::{self, Severity, event_id};

use super::payload::Payload;
use crate::domain_event::{DomainEvent, Field};

/// The events of one delivery; none if it is not about a transition of a change.
pub(super) fn of(event: &str, payload: &Payload) -> Vec<DomainEvent> {
    let found = match event {
        "pull_request" => pull_request(payload),
        "pull_request_review" => review(payload),
        "push" => push(payload),
        "workflow_run" => workflow_run(payload),
        "workflow_job" => workflow_job(payload),
        "deployment" => deployment(payload),
        "deployment_status" => deployment_status(payload),
        _ => None,
    };
    found.into_iter().collect()
}

/// Collects what an event says; absent fields are left out.
struct Draft<'p> {
    payload: &'p Payload,
    repository: String,
    attributes: Vec<(&'static str, Field)>,
    body: Vec<(&'static str, Field)>,
}

impl<'p> Draft<'p> {
    fn new(payload: &'p Payload) -> Option<Self> {
        let repository = payload.repository()?;
        let attributes = vec![("repository", Field::Text(repository.clone()))];
        let mut draft = Self { payload, repository, attributes, body: Vec::new() };
        draft.body_text("actor", "/sender/login");
        Some(draft)
    }

    fn label(&mut self, key: &'static str, value: Option<impl Into<String>>) {
        self.attributes.extend(value.map(|value| (key, Field::Text(value.into()))));
    }

    fn body_text(&mut self, key: &'static str, pointer: &str) {
        self.body.extend(self.payload.text(pointer).map(|text| (key, Field::from(text))));
    }

    fn body_number(&mut self, key: &'static str, pointer: &str) {
        let number = self.payload.number(pointer).and_then(|number| i64::try_from(number).ok());
        self.body.extend(number.map(|number| (key, Field::Int(number))));
    }

    /// `identity` is what tells this transition from any other of its type in the repository.
    fn finish(
        self,
        name: &str,
        entity_id: String,
        occurred_at: u64,
        identity: &[&str],
    ) -> Option<DomainEvent> {
        let kind = event::named(name)?;
        let mut parts = vec!["github", name, &*self.repository, &*entity_id];
        parts.extend(identity);
        Some(DomainEvent {
            kind,
            event_id: event_id(&parts),
            occurred_at,
            entity_id,
            severity: kind.severity,
            attributes: self.attributes,
            payload: self.body,
        })
    }
}

fn number(payload: &Payload, pointer: &str) -> Option<String> {
    payload.number(pointer).map(|number| number.to_string())
}

fn pull_request(payload: &Payload) -> Option<DomainEvent> {
    let merged = payload.flag("/pull_request/merged");
    let name = match payload.text("/action")? {
        "opened" | "reopened" => "ChangeOpened",
        "synchronize" | "ready_for_review" | "edited" => "ChangeUpdated",
        "closed" if merged => "ChangeMerged",
        "closed" => "ChangeClosed",
        "review_requested" => "ApprovalRequested",
        _ => return None,
    };
    let mut draft = Draft::new(payload)?;
    let pull = number(payload, "/pull_request/number").or_else(|| number(payload, "/number"))?;
    draft.label("pull_request", Some(&*pull));
    draft.label("commit_sha", payload.text("/pull_request/head/sha"));
    // GitHub shows a test merge here while the pull request is open: it names no commit of the change.
    draft.label("merge_commit_sha", payload.text("/pull_request/merge_commit_sha").filter(|_| merged));
    draft.body_text("title", "/pull_request/title");
    draft.body_text("author", "/pull_request/user/login");
    draft.body_text("head_ref", "/pull_request/head/ref");
    draft.body_text("base_ref", "/pull_request/base/ref");
    draft.body_text("url", "/pull_request/html_url");
    // A person or a team.
    let reviewer = if payload.text("/requested_reviewer/login").is_some() {
        "/requested_reviewer/login"
    } else {
        "/requested_team/slug"
    };
    draft.body_text("reviewer", reviewer);
    draft.body_number("additions", "/pull_request/additions");
    draft.body_number("deletions", "/pull_request/deletions");
    let times: &[&str] = match name {
        "ChangeOpened" if payload.text("/action") == Some("opened") => &["/pull_request/created_at"],
        "ChangeMerged" => &["/pull_request/merged_at"],
        "ChangeClosed" => &["/pull_request/closed_at"],
        _ => &["/pull_request/updated_at"],
    };
    let occurred_at = payload.first_time(times);
    let entity = format!("{}#{pull}", draft.repository);
    let state = format!("{} {occurred_at}", payload.text("/pull_request/head/sha").unwrap_or_default());
    draft.finish(name, entity, occurred_at, &[&state, payload.text(reviewer).unwrap_or_default()])
}

fn review(payload: &Payload) -> Option<DomainEvent> {
    if payload.text("/action") != Some("submitted") {
        return None;
    }
    let name = match payload.text("/review/state")?.to_ascii_lowercase().as_str() {
        "approved" => "ApprovalGranted",
        "changes_requested" => "ApprovalDenied",
        _ => return None,
    };
    let mut draft = Draft::new(payload)?;
    let pull = number(payload, "/pull_request/number")?;
    draft.label("pull_request", Some(&*pull));
    draft.label("commit_sha", payload.text("/review/commit_id"));
    draft.body_text("approver", "/review/user/login");
    draft.body_text("url", "/review/html_url");
    let id = number(payload, "/review/id")?;
    let entity = format!("{}#{pull}/review/{id}", draft.repository);
    draft.finish(name, entity, payload.first_time(&["/review/submitted_at"]), &[])
}

fn push(payload: &Payload) -> Option<DomainEvent> {
    let after = payload.text("/after")?;
    throughline_change::Sha::parse(after)?; // all zeros: the branch was deleted
    let branch = payload.text("/ref")?.strip_prefix("refs/heads/")?.to_owned();
    let mut draft = Draft::new(payload)?;
    draft.label("commit_sha", Some(after));
    draft.body.push(("branch", Field::Text(branch.clone())));
    draft.body_text("before", "/before");
    draft.body_text("subject", "/head_commit/message");
    let commits = payload.count("/commits");
    draft.body.push(("commits", Field::Int(i64::try_from(commits).unwrap_or(i64::MAX))));
    let occurred_at = payload.first_time(&["/head_commit/timestamp"]);
    let entity = format!("{}@{after}", draft.repository);
    draft.finish("CommitPushed", entity, occurred_at, &[&branch])
}

/// The pull request a run is scoped to, if GitHub names exactly one of this repository.
fn scoped_to(payload: &Payload, object: &str) -> Option<String> {
    let pulls = payload.list(&format!("/{object}/pull_requests"));
    match pulls.as_slice() {
        [only] => number(only, "/number"),
        _ => None,
    }
}

fn workflow_run(payload: &Payload) -> Option<DomainEvent> {
    let completed = payload.text("/action")? == "completed";
    let name = match payload.text("/action")? {
        "requested" | "in_progress" => "PipelineStarted",
        "completed" => "PipelineCompleted",
        _ => return None,
    };
    let mut draft = Draft::new(payload)?;
    let (id, attempt) =
        (number(payload, "/workflow_run/id")?, payload.number("/workflow_run/run_attempt").unwrap_or(1));
    draft.label("pull_request", scoped_to(payload, "workflow_run"));
    draft.label("commit_sha", payload.text("/workflow_run/head_sha"));
    draft.body_text("pipeline", "/workflow_run/name");
    draft.body_text("result", "/workflow_run/conclusion");
    draft.body_text("trigger", "/workflow_run/event");
    draft.body_text("branch", "/workflow_run/head_branch");
    draft.body_text("url", "/workflow_run/html_url");
    draft.body_number("attempt", "/workflow_run/run_attempt");
    let times: &[&str] = if completed {
        &["/workflow_run/updated_at"]
    } else {
        &["/workflow_run/run_started_at", "/workflow_run/created_at"]
    };
    let occurred_at = payload.first_time(times);
    let entity = format!("run-{id}");
    let mut event = draft.finish(name, entity, occurred_at, &[&attempt.to_string()])?;
    event.severity = severity(payload.text("/workflow_run/conclusion"));
    Some(event)
}

fn workflow_job(payload: &Payload) -> Option<DomainEvent> {
    let name = match payload.text("/action")? {
        "in_progress" => "JobStarted",
        "completed" => "JobCompleted",
        _ => return None,
    };
    let mut draft = Draft::new(payload)?;
    let id = number(payload, "/workflow_job/id")?;
    draft.label("commit_sha", payload.text("/workflow_job/head_sha"));
    draft.label("runner_pool", payload.text("/workflow_job/runner_group_name"));
    draft.body_text("job", "/workflow_job/name");
    draft.body_text("pipeline", "/workflow_job/workflow_name");
    draft.body_text("result", "/workflow_job/conclusion");
    draft.body_text("url", "/workflow_job/html_url");
    draft.body_number("run_id", "/workflow_job/run_id");
    draft.body_number("attempt", "/workflow_job/run_attempt");
    let (start, end) = (payload.time("/workflow_job/started_at"), payload.time("/workflow_job/completed_at"));
    if let (Some(start), Some(end), "JobCompleted") = (start, end, name) {
        let millis = end.saturating_sub(start) / 1_000_000;
        draft.body.push(("duration_ms", Field::Int(i64::try_from(millis).unwrap_or(i64::MAX))));
    }
    let failed = payload
        .list("/workflow_job/steps")
        .into_iter()
        .find(|step| step.text("/conclusion") == Some("failure"));
    if let Some(step) = failed.as_ref().and_then(|step| step.text("/name")) {
        draft.body.push(("failed_step", Field::from(step)));
    }
    let occurred_at = if name == "JobCompleted" { end } else { start }.unwrap_or(0);
    let mut event = draft.finish(name, format!("job-{id}"), occurred_at, &[])?;
    event.severity = severity(payload.text("/workflow_job/conclusion"));
    Some(event)
}

fn severity(conclusion: Option<&str>) -> Severity {
    match conclusion {
        Some("failure" | "timed_out" | "startup_failure") => Severity::High,
        Some("cancelled" | "action_required" | "stale") => Severity::Warning,
        _ => Severity::Info,
    }
}

fn deployment(payload: &Payload) -> Option<DomainEvent> {
    if payload.text("/action").is_some_and(|action| action != "created") {
        return None;
    }
    let (draft, entity) = deployment_draft(payload)?;
    draft.finish("DeploymentStarted", entity, payload.first_time(&["/deployment/created_at"]), &[])
}

fn deployment_status(payload: &Payload) -> Option<DomainEvent> {
    let state = payload.text("/deployment_status/state")?;
    let result = match state {
        "success" => "success",
        "failure" | "error" => "failure",
        _ => return None,
    };
    let (mut draft, entity) = deployment_draft(payload)?;
    draft.body.push(("result", Field::from(result)));
    draft.body_text("url", "/deployment_status/target_url");
    let started = payload.time("/deployment/created_at");
    let occurred_at = payload.first_time(&["/deployment_status/created_at", "/deployment_status/updated_at"]);
    if let Some(started) = started {
        let millis = occurred_at.saturating_sub(started) / 1_000_000;
        draft.body.push(("duration_ms", Field::Int(i64::try_from(millis).unwrap_or(i64::MAX))));
    }
    let id = number(payload, "/deployment_status/id").unwrap_or_default();
    let mut event = draft.finish("DeploymentFinished", entity, occurred_at, &[&id, state])?;
    event.severity = if result == "success" { Severity::Info } else { Severity::High };
    Some(event)
}

fn deployment_draft(payload: &Payload) -> Option<(Draft<'_>, String)> {
    let mut draft = Draft::new(payload)?;
    let id = number(payload, "/deployment/id")?;
    let environment = payload.text("/deployment/environment").unwrap_or_default().to_lowercase();
    let environment = throughline_change::labels::environment(&environment).to_owned();
    draft.label("environment", (!environment.is_empty()).then_some(environment));
    draft.label("commit_sha", payload.text("/deployment/sha"));
    draft.body_text("ref", "/deployment/ref");
    draft.body_text("task", "/deployment/task");
    draft.body.push(("production", Field::Bool(payload.flag("/deployment/production_environment"))));
    Some((draft, format!("deployment-{id}")))
}

#[cfg(test)]
mod tests;
