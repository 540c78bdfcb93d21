//! Checks and commit statuses: what tools beside GitHub Actions report (Atlantis, Jenkins, Spacelift …).

use super::draft::{Draft, number};
use super::runs::scoped_to;
use crate::domain_event::DomainEvent;
use crate::github::payload::Payload;

/// What GitHub Actions reports by checks, it reports by runs and jobs too.
const ACTIONS: &str = "github-actions";

pub(super) fn run(payload: &Payload) -> Option<DomainEvent> {
    let completed = payload.text("/action")? == "completed";
    let started = payload.text("/check_run/status") == Some("in_progress");
    let name = match payload.text("/action")? {
        "completed" => "JobCompleted",
        "created" if started => "JobStarted",
        _ => return None,
    };
    let app = payload.text("/check_run/app/slug");
    if app == Some(ACTIONS) {
        return None;
    }
    let mut draft = Draft::new(payload)?;
    let id = number(payload, "/check_run/id")?;
    draft.pull_request(scoped_to(payload, "check_run").as_deref());
    draft.commit(payload.text("/check_run/head_sha"));
    draft.attribute("cicd.pipeline.task.name", "/check_run/name");
    draft.id("cicd.pipeline.task.run.id", "/check_run/id");
    draft.attribute("cicd.pipeline.task.run.url.full", "/check_run/html_url");
    draft.text("job", "/check_run/name");
    draft.text("source", "/check_run/app/slug");
    draft.text("url", "/check_run/details_url");
    let (start, end) = (payload.time("/check_run/started_at"), payload.time("/check_run/completed_at"));
    if completed {
        draft.result(
            "cicd.pipeline.task.run.result",
            payload.text("/check_run/conclusion").unwrap_or_default(),
        );
        draft.took(start, end);
    }
    let occurred_at = if completed { end } else { start };
    draft.finish(name, format!("check-{id}"), occurred_at.unwrap_or(0), &[])
}

pub(super) fn suite(payload: &Payload) -> Option<DomainEvent> {
    if payload.text("/action")? != "completed" || payload.text("/check_suite/app/slug") == Some(ACTIONS) {
        return None;
    }
    let mut draft = Draft::new(payload)?;
    let id = number(payload, "/check_suite/id")?;
    draft.pull_request(scoped_to(payload, "check_suite").as_deref());
    draft.commit(payload.text("/check_suite/head_sha"));
    draft.attribute("vcs.ref.head.name", "/check_suite/head_branch");
    draft.attribute("cicd.pipeline.name", "/check_suite/app/name");
    draft.id("cicd.pipeline.run.id", "/check_suite/id");
    draft.text("pipeline", "/check_suite/app/name");
    draft.text("source", "/check_suite/app/slug");
    draft.result("cicd.pipeline.result", payload.text("/check_suite/conclusion").unwrap_or_default());
    let occurred_at = payload.first_time(&["/check_suite/updated_at"]);
    draft.finish("PipelineCompleted", format!("suite-{id}"), occurred_at, &[&occurred_at.to_string()])
}

/// What a status is about, by how its context begins: Atlantis plans and applies, the others run pipelines.
const STAGES: &[(&str, [&str; 3])] = &[
    ("atlantis/plan", ["PlanStarted", "PlanCompleted", "PlanFailed"]),
    ("atlantis/apply", ["ApplyStarted", "ApplySucceeded", "ApplyFailed"]),
    ("", ["PipelineStarted", "PipelineCompleted", "PipelineCompleted"]),
];

pub(super) fn status(payload: &Payload) -> Option<DomainEvent> {
    let (sha, context, state) = (payload.text("/sha")?, payload.text("/context")?, payload.text("/state")?);
    let (_, [started, good, bad]) = STAGES.iter().find(|(prefix, _)| context.starts_with(prefix))?;
    let (name, result) = match state {
        "pending" => (*started, None),
        "success" => (*good, Some("success")),
        "failure" => (*bad, Some("failure")),
        _ => (*bad, Some("error")),
    };
    let mut draft = Draft::new(payload)?;
    draft.commit(Some(sha));
    let (tool, of) = context.split_once(':').unwrap_or((context, ""));
    // Atlantis says which project or `directory/workspace`: the stack (ENT-06).
    let stack = of.trim();
    draft.label("stack_id", (!stack.is_empty() && tool.starts_with("atlantis/")).then_some(stack));
    draft.label("cicd.pipeline.name", Some(context));
    draft.say("pipeline", context);
    draft.say("source", context.split(['/', ':', ' ']).next().unwrap_or(context));
    draft.text("description", "/description");
    draft.text("url", "/target_url");
    if let Some(result) = result {
        draft.result("cicd.pipeline.result", result);
    }
    let id = number(payload, "/id").unwrap_or_default();
    let occurred_at = payload.first_time(&["/updated_at", "/created_at"]);
    draft.finish(name, format!("{context}@{sha}"), occurred_at, &[&id, state])
}
