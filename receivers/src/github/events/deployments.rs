//! Deployments, their states, and the reviews of environments.

use super::draft::{Draft, number};
use super::runs::scoped_to;
use crate::domain_event::DomainEvent;
use crate::github::payload::Payload;

pub(super) fn created(payload: &Payload) -> Option<DomainEvent> {
    if payload.text("/action").is_some_and(|action| action != "created") {
        return None;
    }
    let (draft, entity, id) = draft(payload)?;
    draft.finish("DeploymentStarted", entity, payload.first_time(&["/deployment/created_at"]), &[&id])
}

pub(super) fn status(payload: &Payload) -> Option<DomainEvent> {
    let state = payload.text("/deployment_status/state")?;
    let name = match state {
        "success" | "failure" | "error" => "DeploymentFinished",
        "in_progress" => "DeploymentProgressed",
        // `queued`, `pending` and `waiting` say nothing beyond the deployment itself; `inactive`: another took its place.
        _ => return None,
    };
    let (mut draft, entity, id) = draft(payload)?;
    draft.actor(&["/deployment_status/creator/login"]);
    draft.text("url", "/deployment_status/target_url");
    let occurred_at = payload.first_time(&["/deployment_status/created_at", "/deployment_status/updated_at"]);
    if name == "DeploymentFinished" {
        let result = if state == "success" { "success" } else { "failure" };
        draft.result("throughline.deployment.result", result);
        draft.label("deployment.status", Some(if state == "success" { "succeeded" } else { "failed" }));
        draft.took(payload.time("/deployment/created_at"), Some(occurred_at));
    }
    let of = number(payload, "/deployment_status/id").unwrap_or_default();
    draft.finish(name, entity, occurred_at, &[&id, &of, state])
}

fn draft(payload: &Payload) -> Option<(Draft<'_>, String, String)> {
    let mut draft = Draft::new(payload)?;
    let id = number(payload, "/deployment/id")?;
    let environment = draft.environment(payload.text("/deployment/environment"));
    draft.id("deployment.id", "/deployment/id");
    draft.commit(payload.text("/deployment/sha"));
    draft.attribute("vcs.ref.head.name", "/deployment/ref");
    draft.actor(&["/deployment/creator/login"]);
    draft.text("task", "/deployment/task");
    draft.truth("production", "/deployment/production_environment");
    let entity = environment.unwrap_or_else(|| format!("deployment-{id}"));
    Some((draft, entity, id))
}

/// A run waits for somebody to let it into an environment, or was answered. One delivery can be about several environments.
pub(super) fn review(payload: &Payload) -> Vec<DomainEvent> {
    let name = match payload.text("/action") {
        Some("requested") => "ApprovalRequested",
        Some("approved") => "ApprovalGranted",
        Some("rejected") => "ApprovalDenied",
        _ => return Vec::new(),
    };
    let jobs = payload.list("/workflow_job_runs");
    let of_jobs = jobs.iter().filter_map(|job| job.text("/environment"));
    let of_request = payload.text("/environment").or_else(|| payload.text("/workflow_job_run/environment"));
    let mut environments: Vec<&str> = of_jobs.chain(of_request).collect();
    environments.sort_unstable();
    environments.dedup();
    environments.into_iter().filter_map(|environment| reviewed(payload, name, environment)).collect()
}

fn reviewed(payload: &Payload, name: &str, environment: &str) -> Option<DomainEvent> {
    let mut draft = Draft::new(payload)?;
    let run = number(payload, "/workflow_run/id")?;
    let attempt = number(payload, "/workflow_run/run_attempt").unwrap_or_default();
    let environment = draft.environment(Some(environment)).unwrap_or_default();
    draft.pull_request(scoped_to(payload, "workflow_run").as_deref());
    draft.commit(payload.text("/workflow_run/head_sha"));
    draft.id("cicd.pipeline.run.id", "/workflow_run/id");
    draft.attribute("cicd.pipeline.name", "/workflow_run/name");
    if name == "ApprovalRequested" {
        draft.actor(&["/requestor/login"]);
        // Persons have a login, teams a name.
        let reviewers = payload.list("/reviewers");
        let who = |reviewer: &Payload| {
            reviewer.text("/reviewer/login").or_else(|| reviewer.text("/reviewer/name")).map(str::to_owned)
        };
        let who: Vec<String> = reviewers.iter().filter_map(who).collect();
        if !who.is_empty() {
            draft.say("reviewer", &who.join(", "));
        }
    } else {
        draft.actor(&["/approver/login"]);
        draft.text("approver", "/approver/login");
    }
    let times: &[&str] = match name {
        "ApprovalRequested" => &["/workflow_job_run/created_at", "/since", "/workflow_run/updated_at"],
        _ => &["/workflow_job_runs/0/updated_at", "/workflow_run/updated_at", "/since"],
    };
    let entity = format!("run-{run}/approval/{environment}");
    draft.finish(name, entity, payload.first_time(times), &[&attempt])
}
