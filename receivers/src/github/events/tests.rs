use serde_json::json;

use super::*;

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
        attribute(&only(deliver("pull_request", pull(action, merged))), "merge_commit_sha").cloned()
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
    assert!(review("commented").is_empty());
}

#[test]
fn a_deleted_branch_and_a_tag_push_no_commit() {
    let push = |reference: &str, after: String| deliver("push", json!({ "ref": reference, "after": after }));
    assert_eq!(only(push("refs/heads/main", "a".repeat(40))).kind.name, "CommitPushed");
    assert!(push("refs/heads/main", "0".repeat(40)).is_empty());
    assert!(push("refs/tags/v1", "a".repeat(40)).is_empty());
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
fn a_delivery_without_its_fields_is_no_event_and_no_panic() {
    for event in [
        "pull_request",
        "pull_request_review",
        "push",
        "workflow_run",
        "workflow_job",
        "deployment",
        "deployment_status",
    ] {
        for body in [json!({}), json!({ "action": "completed" }), json!({ "action": 5, "number": "x" })] {
            assert!(deliver(event, body).is_empty());
        }
    }
}
