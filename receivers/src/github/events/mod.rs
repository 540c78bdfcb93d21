//! Deliveries to domain events (requirements EVT-04, EVT-05 to EVT-07, EVT-29, EVT-30, EVT-34, EVT-36, EVT-40, GAP-01 to GAP-03,
//! GAP-13). `docs/github.md` shows what each delivery becomes.

mod checks;
mod deployments;
mod draft;
mod pulls;
mod pushes;
mod runs;

pub(super) use draft::result;
pub(super) use runs::{scoped_to, workflow};

use super::payload::Payload;
use crate::domain_event::DomainEvent;

/// The deliveries that become events, as `docs/github.md` lists them.
#[cfg(test)]
const DELIVERIES: &[&str] = &[
    "check_run",
    "check_suite",
    "deployment",
    "deployment_review",
    "deployment_status",
    "merge_group",
    "pull_request",
    "pull_request_review",
    "push",
    "release",
    "status",
    "workflow_job",
    "workflow_run",
];

/// The events of one delivery; none if it is not about a transition of a change.
pub(super) fn of(event: &str, payload: &Payload) -> Vec<DomainEvent> {
    let found = match event {
        "check_run" => checks::run(payload),
        "check_suite" => checks::suite(payload),
        "deployment" => deployments::created(payload),
        "deployment_review" => return deployments::review(payload),
        "deployment_status" => deployments::status(payload),
        "merge_group" => pulls::merge_group(payload),
        "pull_request" => pulls::pull_request(payload),
        "pull_request_review" => pulls::review(payload),
        "push" => pushes::push(payload),
        "release" => pushes::release(payload),
        "status" => checks::status(payload),
        "workflow_job" => runs::job(payload),
        "workflow_run" => runs::run(payload),
        _ => None,
    };
    found.into_iter().collect()
}

#[cfg(test)]
mod tests;
