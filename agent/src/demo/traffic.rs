//! Playing the script against the agent's ports, as the outside world would.

use bytes::Bytes;
use hmac::{Hmac, Mac};
use http::{HeaderMap, HeaderValue, Uri};
use serde_json::{Value as Json, json};
use sha2::Sha256;
use throughline_net::{Body, Client};
use throughline_otlp::build::{self, NumberPoint, Temporality};
use throughline_otlp::view::Number;
use throughline_otlp::{Signal, Value};

use super::child::Addresses;
use super::script::{OWNER_TEAM, STEPS, Script};
use crate::changes::client;

/// What was sent.
#[derive(Debug, Default)]
pub(super) struct SentTraffic {
    pub(super) deliveries: u32,
    pub(super) repeated: u32,
    pub(super) otlp_requests: u32,
}

/// Plays the whole script.
pub(super) async fn send(script: &Script, addresses: &Addresses) -> Result<SentTraffic, String> {
    let (client, other) = (client()?, script.other());
    let mut stage = Stage { script, addresses, client, sent: SentTraffic::default(), count: 0 };
    stage.pull_request("opened", 0.0).await?;
    stage.run("in_progress", None, 1, 1.0).await?;
    stage.job(1, true, 1.2).await?;
    stage.run("completed", Some("failure"), 1, 6.0).await?;
    stage.ci_telemetry(2.0).await?;
    // Out of order: the second attempt ends before anyone hears that it began.
    stage.run("completed", Some("success"), 2, 14.0).await?;
    stage.job(2, false, 9.0).await?;
    stage.run("in_progress", None, 2, 8.0).await?;
    stage.plan(15.0).await?;
    stage.pull_request("review_requested", 20.0).await?;
    let approval = stage.review(65.0).await?;
    stage.pull_request("closed", 70.0).await?;
    stage.redeliver(&approval).await?;
    stage.push(70.1).await?;
    stage.apply(72.0).await?;
    let deployment = stage.deployment("deployment", None, 72.0).await?;
    stage.deployment("deployment_status", Some("success"), 80.0).await?;
    stage.redeliver(&deployment).await?;
    // The other change was opened and approved meanwhile, and waits.
    stage.script = &other;
    stage.pull_request("opened", 62.0).await?;
    stage.review(95.0).await?;
    Ok(stage.sent)
}

/// The value of `X-Hub-Signature-256`.
pub(super) fn sign(secret: &str, body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes());
    let digest = mac.map(|mac| mac.chain_update(body).finalize().into_bytes()).unwrap_or_default();
    format!("sha256={}", hex::encode(digest))
}

struct Stage<'a> {
    script: &'a Script,
    addresses: &'a Addresses,
    client: Client,
    sent: SentTraffic,
    count: u32,
}

/// A delivery that can be sent again.
struct Delivery {
    event: &'static str,
    id: String,
    body: Bytes,
}

impl Stage<'_> {
    async fn deliver(&mut self, event: &'static str, mut body: Json) -> Result<Delivery, String> {
        let Script { owner, repository, author, .. } = self.script;
        body["repository"] = json!({
            "name": repository, "full_name": format!("{owner}/{repository}"), "owner": { "login": owner },
            "html_url": format!("https://github.com/{owner}/{repository}"),
        });
        body["sender"] = json!({ "login": author });
        self.count += 1;
        let delivery =
            Delivery { event, id: format!("demo-{:04}", self.count), body: Bytes::from(body.to_string()) };
        self.send(&delivery).await?;
        self.sent.deliveries += 1;
        Ok(delivery)
    }

    async fn redeliver(&mut self, delivery: &Delivery) -> Result<(), String> {
        self.sent.repeated += 1;
        self.send(delivery).await
    }

    async fn send(&self, delivery: &Delivery) -> Result<(), String> {
        let signature = sign(&self.script.webhook_secret, &delivery.body);
        let headers = [
            ("content-type", "application/json"),
            ("x-github-event", delivery.event),
            ("x-github-delivery", &delivery.id),
            ("x-hub-signature-256", &signature),
        ];
        self.post(&format!("http://{}/events", self.addresses.github), &headers, delivery.body.clone()).await
    }

    async fn otlp(&mut self, signal: Signal, body: Bytes) -> Result<(), String> {
        self.sent.otlp_requests += 1;
        let headers = [("content-type", "application/x-protobuf")];
        self.post(&format!("http://{}/v1/{signal}", self.addresses.http), &headers, body).await
    }

    async fn post(&self, uri: &str, headers: &[(&'static str, &str)], body: Bytes) -> Result<(), String> {
        let uri: Uri = uri.parse().map_err(|_| format!("{uri} is no address"))?;
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_str(value).map_err(|error| error.to_string())?);
        }
        let answer =
            self.client.post(&uri, &map, Body::new(body)).await.map_err(|error| error.to_string())?;
        if answer.status.is_success() {
            return Ok(());
        }
        Err(format!("{uri} answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body)))
    }

    async fn pull_request(&mut self, action: &'static str, minutes: f64) -> Result<(), String> {
        let Script { number, author, reviewer, head, merge, .. } = self.script;
        let (at, merged) = (self.script.at(minutes).to_string(), action == "closed");
        let mut body = json!({ "action": action, "number": number,
            "pull_request": {
                "number": number, "title": "Widen the private subnets", "merged": merged,
                "user": { "login": author }, "head": { "sha": head, "ref": "widen-subnets" }, "base": { "ref": "main" },
                "merge_commit_sha": merge, "created_at": self.script.at(0.0).to_string(), "updated_at": at,
                "merged_at": at, "closed_at": at,
            } });
        if action == "review_requested" {
            body["requested_reviewer"] = json!({ "login": reviewer });
        }
        self.deliver("pull_request", body).await.map(drop)
    }

    async fn review(&mut self, minutes: f64) -> Result<Delivery, String> {
        let Script { number, reviewer, head, .. } = self.script;
        let body = json!({ "action": "submitted", "pull_request": { "number": number },
            "review": { "id": number * 10, "state": "approved", "commit_id": head, "user": { "login": reviewer },
                "submitted_at": self.script.at(minutes).to_string() } });
        self.deliver("pull_request_review", body).await
    }

    async fn push(&mut self, minutes: f64) -> Result<(), String> {
        let Script { head, merge, .. } = self.script;
        let body = json!({ "ref": "refs/heads/main", "before": head, "after": merge, "commits": [{}],
            "head_commit": { "message": "Widen the private subnets", "timestamp": self.script.at(minutes).to_string() } });
        self.deliver("push", body).await.map(drop)
    }

    async fn run(
        &mut self,
        action: &str,
        conclusion: Option<&str>,
        attempt: u64,
        minutes: f64,
    ) -> Result<(), String> {
        let Script { run, number, head, .. } = self.script;
        let started = self.script.at(if attempt == 1 { 1.0 } else { 8.0 }).to_string();
        let body = json!({ "action": action, "workflow_run": {
            "id": run, "run_attempt": attempt, "name": "CI", "event": "pull_request", "head_sha": head,
            "head_branch": "widen-subnets", "conclusion": conclusion, "pull_requests": [{ "number": number }],
            "run_started_at": started, "updated_at": self.script.at(minutes).to_string(),
        } });
        self.deliver("workflow_run", body).await.map(drop)
    }

    async fn job(&mut self, attempt: u64, fails: bool, minutes: f64) -> Result<(), String> {
        let Script { run, head, failing_step, .. } = self.script;
        let mut at = minutes + 0.3;
        let mut steps = Vec::new();
        for (number, name) in STEPS.iter().enumerate() {
            let failed = fails && name == failing_step;
            let (start, end) = (self.script.at(at).to_string(), self.script.at(at + 0.8).to_string());
            let conclusion = if failed { "failure" } else { "success" };
            steps.push(
                json!({ "name": name, "number": number + 1, "conclusion": conclusion, "started_at": start,
                "completed_at": end }),
            );
            at += 0.9;
            if failed {
                break;
            }
        }
        let body = json!({ "action": "completed", "workflow_job": {
            "id": run * 10 + attempt, "run_id": run, "run_attempt": attempt, "name": "checks", "workflow_name": "CI",
            "head_sha": head, "conclusion": if fails { "failure" } else { "success" }, "runner_name": "runner-7",
            "runner_group_name": "linux-large", "created_at": self.script.at(minutes).to_string(),
            "started_at": self.script.at(minutes + 0.3).to_string(), "completed_at": self.script.at(at).to_string(),
            "steps": steps,
        } });
        self.deliver("workflow_job", body).await.map(drop)
    }

    async fn deployment(
        &mut self,
        event: &'static str,
        state: Option<&str>,
        minutes: f64,
    ) -> Result<Delivery, String> {
        let Script { number, merge, .. } = self.script;
        let body = json!({ "action": "created",
            "deployment": { "id": number * 100, "sha": merge, "environment": "Production", "ref": "main",
                "task": "deploy", "production_environment": true, "created_at": self.script.at(72.0).to_string() },
            "deployment_status": { "id": number * 100 + 1, "state": state,
                "created_at": self.script.at(minutes).to_string() } });
        self.deliver(event, body).await
    }

    /// What the CI job itself sends. It knows the commit, and nothing of pull requests.
    async fn ci_telemetry(&mut self, minutes: f64) -> Result<(), String> {
        let script = self.script;
        let resource =
            [("service.name", Value::Str("ci-job")), ("vcs.ref.head.revision", Value::Str(&script.head))];
        let spans = build::traces(|request| {
            request.resource(&resource, |resource| {
                resource.scope("otel-cli", "0.4.5", |scope| {
                    scope.span(|span| {
                        span.trace_id(&script.id::<16>("ci")).span_id(&script.id::<8>("unit-tests")).kind(1);
                        span.name("unit-tests").time(script.nanos(minutes), script.nanos(minutes + 1.5));
                        span.attribute("tests.passed", 412_i64);
                    });
                });
            });
        });
        let logs = build::logs(|request| {
            request.resource(&resource, |resource| {
                resource.scope("runner", "1", |scope| {
                    let leak = format!(
                        "cloning with https://bot:{}@github.com/{}/modules.git",
                        script.token, script.owner
                    );
                    for (offset, severity, line) in
                        [(0.1, 9, "restoring cache"), (0.2, 13, &*leak), (0.3, 9, "running 412 tests")]
                    {
                        scope.log_record(|log| {
                            log.time_unix_nano(script.nanos(minutes + offset))
                                .severity(severity, "")
                                .body(line);
                        });
                    }
                });
            });
        });
        let point = NumberPoint {
            start_time_unix_nano: script.nanos(minutes),
            time_unix_nano: script.nanos(minutes + 1.5),
            value: Number::Int(412),
            attributes: &[("suite", Value::Str("unit"))],
            exemplars: &[build::Exemplar {
                time_unix_nano: script.nanos(minutes + 1.0),
                value: Number::Int(1),
                ..build::Exemplar::default()
            }],
            flags: 0,
        };
        let metrics = build::metrics(|request| {
            request.resource(&resource, |resource| {
                resource.scope("runner", "1", |scope| {
                    scope.metric("ci.tests").unit("{test}").sum(Temporality::Cumulative, true, &[point]);
                });
            });
        });
        self.otlp(Signal::Traces, spans).await?;
        self.otlp(Signal::Logs, logs).await?;
        self.otlp(Signal::Metrics, metrics).await
    }

    async fn plan(&mut self, minutes: f64) -> Result<(), String> {
        let changes = [("changes.create", 2_i64), ("changes.update", 1), ("changes.delete", 0)];
        let spans = self.tofu("tofu plan", &self.script.head, minutes, 3.2, &changes);
        self.otlp(Signal::Traces, spans).await
    }

    async fn apply(&mut self, minutes: f64) -> Result<(), String> {
        let spans = self.tofu("tofu apply", &self.script.merge, minutes, 6.5, &[]);
        self.otlp(Signal::Traces, spans).await
    }

    /// OpenTofu's own spans. They know the commit they ran at.
    fn tofu(&self, name: &str, commit: &str, minutes: f64, took: f64, numbers: &[(&str, i64)]) -> Bytes {
        let script = self.script;
        let resource = [
            ("service.name", Value::Str("opentofu")),
            ("deployment.environment.name", Value::Str("prod")),
            ("owner_team", Value::Str(OWNER_TEAM)),
            ("stack_id", Value::Str(script.stack)),
        ];
        build::traces(|request| {
            request.resource(&resource, |resource| {
                resource.scope("opentofu", "1.11", |scope| {
                    scope.span(|span| {
                        span.trace_id(&script.id::<16>(name))
                            .span_id(&script.id::<8>(name))
                            .name(name)
                            .kind(1);
                        span.time(script.nanos(minutes), script.nanos(minutes + took)).status(1, "");
                        span.attribute("vcs.ref.head.revision", commit);
                        for (key, number) in numbers {
                            span.attribute(key, *number);
                        }
                    });
                });
            });
        })
    }
}
