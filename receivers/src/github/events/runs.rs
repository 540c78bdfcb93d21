//! Workflow runs and jobs of GitHub Actions.

use super::draft::{Draft, number};
use crate::domain_event::DomainEvent;
use crate::github::payload::Payload;

/// The pull request a run is scoped to, if GitHub names exactly one of this repository.
pub(in crate::github) fn scoped_to(payload: &Payload, object: &str) -> Option<String> {
    let pulls = payload.list(&format!("/{object}/pull_requests"));
    match pulls.as_slice() {
        [only] => number(only, "/number"),
        _ => None,
    }
}

/// The workflow's name; one without takes its path.
pub(in crate::github) fn workflow(payload: &Payload) -> Option<&str> {
    payload.text("/workflow_run/name").or_else(|| payload.text("/workflow_run/path"))
}

pub(super) fn run(payload: &Payload) -> Option<DomainEvent> {
    let action = payload.text("/action")?;
    let name = match action {
        "requested" | "in_progress" => "PipelineStarted",
        "completed" => "PipelineCompleted",
        _ => return None,
    };
    let mut draft = Draft::new(payload)?;
    let id = number(payload, "/workflow_run/id")?;
    let attempt = payload.number("/workflow_run/run_attempt").unwrap_or(1);
    draft.pull_request(scoped_to(payload, "workflow_run").as_deref());
    draft.commit(payload.text("/workflow_run/head_sha"));
    draft.attribute("vcs.ref.head.name", "/workflow_run/head_branch");
    draft.label("cicd.pipeline.name", workflow(payload));
    draft.id("cicd.pipeline.run.id", "/workflow_run/id");
    draft.attribute("cicd.pipeline.run.url.full", "/workflow_run/html_url");
    draft.label(
        "cicd.pipeline.run.state",
        Some(if action == "completed" { "finalizing" } else { "executing" }),
    );
    draft.actor(&["/workflow_run/triggering_actor/login", "/workflow_run/actor/login"]);
    if let Some(workflow) = workflow(payload) {
        draft.say("pipeline", workflow);
    }
    draft.text("trigger", "/workflow_run/event");
    draft.text("url", "/workflow_run/html_url");
    draft.number("attempt", "/workflow_run/run_attempt");
    let completed = action == "completed";
    if completed {
        draft.result("cicd.pipeline.result", payload.text("/workflow_run/conclusion").unwrap_or_default());
        let started = payload.time("/workflow_run/run_started_at");
        draft.took(started, payload.time("/workflow_run/updated_at"));
    }
    let times: &[&str] = if completed {
        &["/workflow_run/updated_at"]
    } else {
        &["/workflow_run/run_started_at", "/workflow_run/created_at"]
    };
    draft.finish(name, format!("run-{id}"), payload.first_time(times), &[&attempt.to_string()])
}

pub(super) fn job(payload: &Payload) -> Option<DomainEvent> {
    let action = payload.text("/action")?;
    let name = match action {
        // It waits for an environment's rules; what waits for a runner only is told by its start.
        "waiting" => "JobQueued",
        "in_progress" => "JobStarted",
        "completed" => "JobCompleted",
        _ => return None,
    };
    let mut draft = Draft::new(payload)?;
    let (id, run) = (number(payload, "/workflow_job/id")?, number(payload, "/workflow_job/run_id"));
    draft.commit(payload.text("/workflow_job/head_sha"));
    draft.attribute("vcs.ref.head.name", "/workflow_job/head_branch");
    draft.attribute("runner_pool", "/workflow_job/runner_group_name");
    draft.attribute("cicd.pipeline.name", "/workflow_job/workflow_name");
    draft.id("cicd.pipeline.run.id", "/workflow_job/run_id");
    draft.attribute("cicd.pipeline.task.name", "/workflow_job/name");
    draft.id("cicd.pipeline.task.run.id", "/workflow_job/id");
    draft.attribute("cicd.pipeline.task.run.url.full", "/workflow_job/html_url");
    draft.id("cicd.worker.id", "/workflow_job/runner_id");
    draft.attribute("cicd.worker.name", "/workflow_job/runner_name");
    draft.text("job", "/workflow_job/name");
    draft.text("pipeline", "/workflow_job/workflow_name");
    draft.text("url", "/workflow_job/html_url");
    draft.number("attempt", "/workflow_job/run_attempt");
    let (start, end) = (payload.time("/workflow_job/started_at"), payload.time("/workflow_job/completed_at"));
    let occurred_at = match name {
        "JobCompleted" => {
            draft.result(
                "cicd.pipeline.task.run.result",
                payload.text("/workflow_job/conclusion").unwrap_or_default(),
            );
            draft.took(start, end);
            let steps = payload.list("/workflow_job/steps");
            let failed = steps.iter().find(|step| step.text("/conclusion") == Some("failure"));
            if let Some(step) = failed.and_then(|step| step.text("/name")) {
                draft.say("failed_step", step);
            }
            end
        }
        "JobStarted" => start,
        _ => payload.time("/workflow_job/created_at"),
    };
    let entity = run.map_or_else(|| format!("job-{id}"), |run| format!("run-{run}/job-{id}"));
    draft.finish(name, entity, occurred_at.unwrap_or(0), &[])
}
