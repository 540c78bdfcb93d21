use serde_json::json;
use throughline_change::event::Severity;

use super::*;
use crate::domain_event::Field;

fn deliver(event: &str, mut body: serde_json::Value) -> Vec<DomainEvent> {
    body["repository"] = json!({ "html_url": "https://github.com/Acme/Live", "name": "Live" });
    of(event, &Payload::parse(body.to_string().as_bytes(), None).expect("JSON"))
}

fn only(events: Vec<DomainEvent>) -> DomainEvent {
    let [event] = <[DomainEvent; 1]>::try_from(events).expect("one event");
    event
}

fn attribute<'e>(event: &'e DomainEvent, key: &str) -> Option<&'e Field> {
    event.attributes.iter().find(|(name, _)| *name == key).map(|(_, field)| field)
}

fn pull(action: &str, merged: bool) -> serde_json::Value {
    json!({ "action": action, "number": 7, "pull_request": {
        "number": 7, "merged": merged, "merge_commit_sha": "b".repeat(40), "head": { "sha": "a".repeat(40) },
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-02T00:00:00Z",
        "merged_at": "2026-01-03T00:00:00Z", "closed_at": "2026-01-03T00:00:00Z" } })
}

#[test]
fn gap_01_a_pull_request_opens_changes_merges_and_closes() {
    for (action, merged, name) in [
        ("opened", false, "ChangeOpened"),
        ("synchronize", false, "ChangeUpdated"),
        ("closed", true, "ChangeMerged"),
        ("closed", false, "ChangeClosed"),
    ] {
        let event = only(deliver("pull_request", pull(action, merged)));
        assert_eq!((event.kind.name, &*event.entity_id), (name, "github.com/acme/live#7"));
    }
    assert!(deliver("pull_request", pull("labeled", false)).is_empty());
}

#[test]
fn the_test_merge_of_an_open_pull_request_is_not_its_commit() {
    let merge = |action, merged| {
        attribute(&only(deliver("pull_request", pull(action, merged))), "throughline.merge_commit_sha")
            .cloned()
    };
    assert_eq!(merge("opened", false), None);
    assert_eq!(merge("closed", true), Some(Field::Text("b".repeat(40))));
}

#[test]
fn a_redelivery_has_the_same_event_id_and_another_transition_has_not() {
    let id = |body| only(deliver("pull_request", body)).event_id;
    assert_eq!(id(pull("opened", false)), id(pull("opened", false)));
    assert_ne!(id(pull("opened", false)), id(pull("synchronize", false)));
}

#[test]
fn evt_04_gap_02_only_decisions_are_approvals() {
    let review = |state: &str| {
        deliver(
            "pull_request_review",
            json!({ "action": "submitted", "pull_request": { "number": 7 },
            "review": { "id": 1, "state": state, "submitted_at": "2026-01-01T00:00:00Z" } }),
        )
    };
    assert_eq!(only(review("approved")).kind.name, "ApprovalGranted");
    assert_eq!(only(review("CHANGES_REQUESTED")).kind.name, "ApprovalDenied");
    let dismissed = json!({ "action": "dismissed", "sender": { "login": "ada" },
        "pull_request": { "number": 7, "updated_at": "2026-01-02T00:00:00Z" },
        "review": { "id": 1, "state": "dismissed", "submitted_at": "2026-01-01T00:00:00Z", "user": { "login": "bob" } } });
    let dismissed = only(deliver("pull_request_review", dismissed));
    assert_eq!(dismissed.kind.name, "ApprovalDismissed");
    let text =
        |key: &str| dismissed.payload.iter().find(|(name, _)| *name == key).map(|(_, field)| field.clone());
    assert_eq!(text("actor"), Some(Field::from("ada")), "who dismissed it");
    assert_eq!(text("reviewer"), Some(Field::from("bob")), "whose review it was");
    assert_eq!(dismissed.occurred_at, 1_767_312_000_000_000_000);
    assert!(review("commented").is_empty());
}

#[test]
fn evt_29_a_push_is_of_a_branch_or_a_tag_at_the_time_of_the_push_and_a_deletion_is_none() {
    let push = |reference: &str, after: String| {
        let mut body = json!({ "ref": reference, "after": after, "head_commit": { "id": "c".repeat(40),
            "timestamp": "2020-01-01T00:00:00Z" } });
        body["repository"] =
            json!({ "html_url": "https://github.com/Acme/Live", "name": "Live", "pushed_at": 1_700_000_000 });
        of("push", &Payload::parse(body.to_string().as_bytes(), None).expect("JSON"))
    };
    let branch = only(push("refs/heads/main", "a".repeat(40)));
    assert_eq!((branch.kind.name, branch.occurred_at), ("CommitPushed", 1_700_000_000_000_000_000));
    assert_eq!(attribute(&branch, "commit_sha"), Some(&Field::Text("a".repeat(40))));
    // An annotated tag is an object of its own; what it points at is the commit.
    let tag = only(push("refs/tags/v1", "a".repeat(40)));
    assert_eq!(
        (tag.kind.name, attribute(&tag, "commit_sha")),
        ("TagPushed", Some(&Field::Text("c".repeat(40))))
    );
    assert!(push("refs/heads/main", "0".repeat(40)).is_empty());
    assert!(push("refs/notes/commits", "a".repeat(40)).is_empty());
}

#[test]
fn a_run_belongs_to_a_pull_request_only_if_it_is_scoped_to_exactly_one() {
    let run = |pulls: serde_json::Value| {
        let body = json!({ "action": "completed", "workflow_run": { "id": 5, "run_attempt": 2, "conclusion": "failure",
            "head_sha": "a".repeat(40), "pull_requests": pulls } });
        only(deliver("workflow_run", body))
    };
    let one = run(json!([{ "number": 7 }]));
    assert_eq!(attribute(&one, "pull_request"), Some(&Field::Text("7".into())));
    assert_eq!(one.severity, Severity::High);
    assert_eq!(attribute(&run(json!([])), "pull_request"), None);
    assert_eq!(attribute(&run(json!([{ "number": 7 }, { "number": 8 }])), "pull_request"), None);
}

#[test]
fn gap_13_a_deployment_finishes_once_it_succeeded_or_failed() {
    let status = |state: &str| {
        deliver(
            "deployment_status",
            json!({ "deployment": { "id": 3, "sha": "a".repeat(40), "environment": "Prod",
            "created_at": "2026-01-01T00:00:00Z" },
            "deployment_status": { "id": 9, "state": state, "created_at": "2026-01-01T00:01:00Z" } }),
        )
    };
    let event = only(status("success"));
    assert_eq!(attribute(&event, "environment"), Some(&Field::Text("production".into())));
    assert!(event.payload.contains(&("duration_ms", Field::Int(60_000))));
    assert!(status("pending").is_empty());
}

#[test]
fn gap_02_a_review_of_environments_is_an_approval_of_each() {
    let run = json!({ "id": 5, "run_attempt": 1, "head_sha": "a".repeat(40), "updated_at": "2026-01-01T00:00:00Z" });
    let requested = json!({ "action": "requested", "environment": "prod", "requestor": { "login": "ada" },
        "reviewers": [{ "reviewer": { "login": "bob" } }, { "reviewer": { "name": "sre" } }], "workflow_run": run });
    let requested = only(deliver("deployment_review", requested));
    assert_eq!((requested.kind.name, requested.kind.entity), ("ApprovalRequested", "approval"));
    assert_eq!(attribute(&requested, "environment"), Some(&Field::Text("production".into())));
    assert!(requested.payload.contains(&("reviewer", Field::from("bob, sre"))));
    let approved = json!({ "action": "approved", "approver": { "login": "bob" }, "workflow_run": run,
        "workflow_job_runs": [{ "environment": "staging" }, { "environment": "prod" }, { "environment": "prod" }] });
    let approved = deliver("deployment_review", approved);
    let of: Vec<_> =
        approved.iter().map(|event| (event.kind.name, attribute(event, "environment").cloned())).collect();
    let in_place = |name: &str| ("ApprovalGranted", Some(Field::Text(name.into())));
    assert_eq!(of, [in_place("production"), in_place("staging")]);
    assert_eq!(approved[0].entity_id, requested.entity_id);
    assert_ne!(approved[0].event_id, approved[1].event_id);
}

#[test]
fn statuses_of_atlantis_are_plans_and_applies_and_those_of_others_runs() {
    let status = |context: &str, state: &str| {
        let body = json!({ "id": 1, "sha": "a".repeat(40), "context": context, "state": state,
            "updated_at": "2026-01-01T00:00:00Z" });
        only(deliver("status", body))
    };
    for (context, state, name) in [
        ("atlantis/plan: network/production", "pending", "PlanStarted"),
        ("atlantis/plan: network/production", "success", "PlanCompleted"),
        ("atlantis/plan", "failure", "PlanFailed"),
        ("atlantis/apply: network/production", "pending", "ApplyStarted"),
        ("atlantis/apply: network/production", "success", "ApplySucceeded"),
        ("atlantis/apply: network/production", "error", "ApplyFailed"),
        ("continuous-integration/jenkins/pr-merge", "pending", "PipelineStarted"),
        ("spacelift/vpc", "failure", "PipelineCompleted"),
    ] {
        assert_eq!(status(context, state).kind.name, name, "{context} {state}");
    }
    let plan = status("atlantis/plan: network/production", "success");
    assert_eq!(attribute(&plan, "stack_id"), Some(&Field::Text("network/production".into())));
    assert!(plan.payload.contains(&("source", Field::from("atlantis"))));
    let failed = status("spacelift/vpc", "failure");
    assert_eq!(
        (failed.severity, attribute(&failed, "cicd.pipeline.result")),
        (Severity::High, Some(&Field::from("failure")))
    );
}

#[test]
fn checks_of_other_apps_are_jobs_and_suites_runs_and_those_of_actions_are_told_by_itself() {
    let check = |app: &str| {
        let body = json!({ "action": "completed", "check_run": { "id": 3, "name": "terraform", "conclusion": "neutral",
            "head_sha": "a".repeat(40), "app": { "slug": app }, "pull_requests": [{ "number": 7 }],
            "started_at": "2026-01-01T00:00:00Z", "completed_at": "2026-01-01T00:00:05Z" } });
        deliver("check_run", body)
    };
    let event = only(check("terraform-cloud"));
    assert_eq!((event.kind.name, &*event.entity_id), ("JobCompleted", "check-3"));
    assert!(event.payload.contains(&("result", Field::from("success"))));
    assert!(event.payload.contains(&("duration_ms", Field::Int(5000))));
    assert!(check("github-actions").is_empty());
    let suite = json!({ "action": "completed", "check_suite": { "id": 4, "conclusion": "failure", "head_sha": "a".repeat(40),
        "updated_at": "2026-01-01T00:00:00Z", "app": { "slug": "jenkins", "name": "Jenkins" } } });
    assert_eq!(only(deliver("check_suite", suite)).kind.name, "PipelineCompleted");
}

#[test]
fn gap_01_the_merge_queue_tells_of_the_pull_request_that_its_branch_names() {
    let group = |action: &str, reason: &str, reference: &str| {
        let body = json!({ "action": action, "reason": reason, "merge_group": { "head_sha": "a".repeat(40),
            "head_ref": reference, "base_ref": "refs/heads/main", "head_commit": { "timestamp": "2026-01-01T00:00:00Z" } } });
        deliver("merge_group", body)
    };
    let branch = format!("refs/heads/gh-readonly-queue/main/pr-7-{}", "b".repeat(40));
    let queued = only(group("checks_requested", "", &branch));
    assert_eq!((queued.kind.name, &*queued.entity_id), ("ChangeQueued", "github.com/acme/live#7"));
    assert_eq!(only(group("destroyed", "invalidated", &branch)).kind.name, "ChangeDequeued");
    assert!(group("destroyed", "merged", &branch).is_empty());
    assert!(group("checks_requested", "", "refs/heads/main").is_empty());
}

#[test]
fn a_release_names_a_commit_only_if_it_was_given_one() {
    let release = |target: &str| {
        let body = json!({ "action": "published", "release": { "id": 2, "tag_name": "v1.2.0", "target_commitish": target,
            "published_at": "2026-01-01T00:00:00Z" } });
        only(deliver("release", body))
    };
    assert_eq!(attribute(&release("main"), "commit_sha"), None);
    assert_eq!(attribute(&release(&"a".repeat(40)), "commit_sha"), Some(&Field::Text("a".repeat(40))));
    assert_eq!(release("main").entity_id, "github.com/acme/live/release/v1.2.0");
}

#[test]
fn nothing_is_made_up_that_a_delivery_does_not_say() {
    let deployment = json!({ "deployment": { "id": 3, "sha": "a".repeat(40), "environment": "prod" } });
    let event = only(deliver("deployment", deployment));
    assert!(event.payload.iter().all(|(key, _)| *key != "production"), "{:?}", event.payload);
    assert_eq!((event.kind.entity, &*event.entity_id), ("environment", "production"));
    let run = json!({ "action": "requested", "workflow_run": { "id": 5, "head_sha": "a".repeat(40),
        "path": ".github/workflows/ci.yml" } });
    let event = only(deliver("workflow_run", run));
    assert_eq!(
        attribute(&event, "cicd.pipeline.name"),
        Some(&Field::Text(".github/workflows/ci.yml".into()))
    );
}

#[test]
fn a_job_that_waits_for_an_environment_is_queued_and_one_that_waits_for_a_runner_is_not_told_of() {
    let job = |action: &str| {
        let body = json!({ "action": action, "workflow_job": { "id": 8, "run_id": 5, "head_sha": "a".repeat(40),
            "created_at": "2026-01-01T00:00:00Z", "runner_id": 31 } });
        deliver("workflow_job", body)
    };
    let event = only(job("waiting"));
    assert_eq!((event.kind.name, event.kind.entity, &*event.entity_id), ("JobQueued", "run", "run-5/job-8"));
    assert_eq!(attribute(&event, "cicd.worker.id"), Some(&Field::Text("31".into())));
    assert!(job("queued").is_empty());
}

#[test]
fn attributes_are_entity_labels_or_have_a_namespace() {
    let run = json!({ "action": "completed", "workflow_run": { "id": 5, "conclusion": "success", "head_sha": "a".repeat(40),
        "name": "CI", "pull_requests": [{ "number": 7 }], "html_url": "https://x", "head_branch": "b" } });
    let deployment = json!({ "deployment": { "id": 3, "sha": "a".repeat(40), "environment": "prod" },
        "deployment_status": { "id": 1, "state": "success" } });
    let all = [
        deliver("workflow_run", run),
        deliver("deployment_status", deployment),
        deliver("pull_request", pull("closed", true)),
    ];
    for (key, _) in all.iter().flatten().flat_map(|event| &event.attributes) {
        assert!(key.contains('.') || throughline_change::labels::LABELS.contains(key), "{key}");
    }
}

#[test]
fn the_page_names_every_delivery() {
    let page = include_str!("../../../../docs/github.md");
    let shown: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert_eq!(shown, DELIVERIES);
}

#[test]
fn a_delivery_without_its_fields_is_no_event_and_no_panic() {
    for event in DELIVERIES {
        for body in [json!({}), json!({ "action": "completed" }), json!({ "action": 5, "number": "x" })] {
            assert!(deliver(event, body).is_empty());
        }
    }
}
