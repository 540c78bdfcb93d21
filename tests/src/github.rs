//! Being GitHub: signed deliveries.

use hmac::{Hmac, Mac};
use serde_json::{Value as Json, json};
use sha2::Sha256;

use crate::http::{self, Reply};

/// The secret of GitHub's own documentation.
pub const SECRET: &str = "It's a Secret to Everybody";

/// The header `X-Hub-Signature-256` for a body.
pub fn sign(secret: &str, body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key will do");
    format!("sha256={}", hex::encode(mac.chain_update(body).finalize().into_bytes()))
}

/// A webhook delivery.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// `X-GitHub-Event`.
    pub event: &'static str,
    /// `X-GitHub-Delivery`.
    pub id: String,
    /// The payload.
    pub body: Json,
}

impl Delivery {
    /// Delivers it, signed with [`SECRET`].
    pub fn send(&self, address: &str) -> Reply {
        self.send_signed(address, &sign(SECRET, self.body.to_string().as_bytes()))
    }

    /// Delivers it with this signature, be it right or not.
    pub fn send_signed(&self, address: &str, signature: &str) -> Reply {
        let body = self.body.to_string();
        let headers = [
            ("content-type", "application/json"),
            ("x-github-event", self.event),
            ("x-github-delivery", &self.id),
            ("x-hub-signature-256", signature),
        ];
        http::post(address, "/events", &headers, body.as_bytes())
    }
}

/// A change from its opening to production, in the order in which GitHub would tell it: pull request 7 of `acme/infra`.
pub fn change() -> Vec<Delivery> {
    let (head, merge) = ("a".repeat(40), "b".repeat(40));
    let at = |minute: u32| format!("2026-03-01T10:{minute:02}:00Z");
    let pull = |action: &str, minute: u32| {
        let merged = action == "closed";
        json!({ "action": action, "number": 7, "pull_request": {
            "number": 7, "title": "Widen the subnets", "merged": merged, "user": { "login": "ada" },
            "head": { "sha": head, "ref": "widen" }, "base": { "ref": "main" }, "merge_commit_sha": merge,
            "created_at": at(0), "updated_at": at(minute), "merged_at": at(minute), "closed_at": at(minute) } })
    };
    let run = |attempt: u64, conclusion: &str, minute: u32| {
        json!({ "action": "completed", "workflow_run": {
            "id": 4711, "run_attempt": attempt, "name": "CI", "event": "pull_request", "head_sha": head,
            "head_branch": "widen", "conclusion": conclusion, "pull_requests": [{ "number": 7 }],
            "run_started_at": at(minute - 3), "updated_at": at(minute) } })
    };
    let job = |attempt: u64, conclusion: &str, minute: u32| {
        let step = |name: &str, number: u64| {
            json!({ "name": name, "number": number, "conclusion": conclusion, "started_at": at(minute - 1),
                "completed_at": at(minute) })
        };
        json!({ "action": "completed", "workflow_job": {
            "id": 47110 + attempt, "run_id": 4711, "run_attempt": attempt, "name": "checks", "workflow_name": "CI",
            "head_sha": head, "conclusion": conclusion, "runner_group_name": "linux", "created_at": at(minute - 2),
            "started_at": at(minute - 1), "completed_at": at(minute), "steps": [step("Lint", 1), step("Lint", 2)] } })
    };
    let deployment = json!({ "id": 9, "sha": merge, "environment": "production", "ref": "main",
        "production_environment": true, "created_at": at(30) });
    let push = json!({ "ref": "refs/heads/main", "before": head, "after": merge, "commits": [{}],
        "head_commit": { "message": "Widen the subnets (#7)", "timestamp": at(25) } });
    let status = json!({ "deployment": deployment,
        "deployment_status": { "id": 10, "state": "success", "created_at": at(40) } });
    let told = [
        ("pull_request", pull("opened", 0)),
        ("workflow_job", job(1, "failure", 5)),
        ("workflow_run", run(1, "failure", 6)),
        ("workflow_job", job(2, "success", 10)),
        ("workflow_run", run(2, "success", 11)),
        ("pull_request", pull("closed", 25)),
        ("push", push),
        ("deployment", json!({ "action": "created", "deployment": deployment })),
        ("deployment_status", status),
    ];
    let mut deliveries = Vec::new();
    for (number, (event, mut body)) in told.into_iter().enumerate() {
        body["repository"] = json!({ "name": "infra", "full_name": "acme/infra", "owner": { "login": "acme" },
            "html_url": "https://github.com/acme/infra" });
        body["sender"] = json!({ "login": "ada" });
        deliveries.push(Delivery { event, id: format!("delivery-{number}"), body });
    }
    deliveries
}
