//! CI spans from completed runs and jobs. Ids follow the formula that the Collector's `github` receiver publishes, so
//! any order and any repetition of deliveries gives the same trace.
//!
//! Source: semantic conventions v1.44, "CI/CD spans"; reference `collector-conventions.md` §2 (github).

use std::collections::HashSet;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use throughline_otlp::Value;
use throughline_otlp::build::{self, Link, Scope, Traces};

use super::events::{result, scoped_to, workflow};
use super::payload::Payload;

const INTERNAL: i32 = 1;
const SERVER: i32 = 2;
const ERROR: i32 = 2;

/// The spans of a delivery: a run's root, or a job with its queue and steps.
pub(super) fn of(event: &str, payload: &Payload, resource: &[(&str, Value<'_>)]) -> Option<Bytes> {
    if payload.text("/action") != Some("completed") {
        return None;
    }
    let ids = match event {
        "workflow_run" => Ids::of(payload, "/workflow_run/id", "/workflow_run/run_attempt")?,
        "workflow_job" => Ids::of(payload, "/workflow_job/run_id", "/workflow_job/run_attempt")?,
        _ => return None,
    };
    Some(build::traces(|request| {
        request.resource(resource, |resource| {
            resource.scope("throughline.github", env!("CARGO_PKG_VERSION"), |scope| {
                if event == "workflow_run" { run(scope, payload, &ids) } else { job(scope, payload, &ids) }
            });
        });
    }))
}

/// The ids of one attempt of one run.
struct Ids {
    run: u64,
    attempt: u64,
}

impl Ids {
    fn of(payload: &Payload, run: &str, attempt: &str) -> Option<Self> {
        Some(Self { run: payload.number(run)?, attempt: payload.number(attempt).unwrap_or(1) })
    }

    fn trace(&self) -> [u8; 16] {
        slice(&format!("{}{}t", self.run, self.attempt), 0)
    }

    fn root(&self) -> [u8; 8] {
        slice(&format!("{}{}s", self.run, self.attempt), 8)
    }
}

fn span_id(text: &str) -> [u8; 8] {
    slice(text, 8)
}

/// `N` bytes of the text's SHA-256, from `start` on.
fn slice<const N: usize>(text: &str, start: usize) -> [u8; N] {
    let digest = Sha256::digest(text.as_bytes());
    let mut out = [0; N];
    out.copy_from_slice(&digest[start..start + N]);
    out
}

/// Text attributes; those that a delivery lacks are left out.
fn attributes<'v>(list: &[(&'v str, Option<&'v str>)]) -> Vec<(&'v str, Value<'v>)> {
    list.iter().filter_map(|(key, text)| text.map(|text| (*key, Value::Str(text)))).collect()
}

fn outcome(span: &mut build::Span<'_>, result: &str) {
    if matches!(result, "failure" | "error" | "timeout") {
        span.attribute("error.type", result).status(ERROR, result);
    }
}

/// Some sources say that a thing ended before it began: it then took no time.
fn times(start: u64, end: u64) -> (u64, u64) {
    (start, end.max(start))
}

fn run(scope: &mut Scope<'_, Traces>, payload: &Payload, ids: &Ids) {
    let at = |name: &str| format!("/workflow_run/{name}");
    let name = workflow(payload).unwrap_or("workflow");
    let result = result(payload.text(&at("conclusion")));
    let start = payload.first_time(&[&at("run_started_at"), &at("created_at")]);
    let (start, end) = times(start, payload.first_time(&[&at("updated_at")]));
    let (run, branch) = (ids.run.to_string(), payload.text(&at("head_branch")));
    let change = scoped_to(payload, "workflow_run");
    scope.span(|span| {
        span.trace_id(&ids.trace())
            .span_id(&ids.root())
            .name(&format!("RUN {name}"))
            .kind(SERVER)
            .time(start, end);
        span.attributes(&attributes(&[
            ("cicd.pipeline.name", Some(name)),
            ("cicd.pipeline.action.name", Some("RUN")),
            ("cicd.pipeline.result", Some(result)),
            ("cicd.pipeline.run.id", Some(&run)),
            ("cicd.pipeline.run.url.full", payload.text(&at("html_url"))),
            ("vcs.ref.head.name", branch),
            ("vcs.ref.head.revision", payload.text(&at("head_sha"))),
            ("vcs.ref.type", branch.map(|_| "branch")),
            ("vcs.change.id", change.as_deref()),
        ]));
        if ids.attempt > 1 {
            let before = Ids { run: ids.run, attempt: ids.attempt - 1 };
            span.link(&Link { trace_id: &before.trace(), span_id: &before.root(), attributes: &[] });
        }
        outcome(span, result);
    });
}

fn job(scope: &mut Scope<'_, Traces>, payload: &Payload, ids: &Ids) {
    let at = |name: &str| format!("/workflow_job/{name}");
    let Some(id) = payload.number(&at("id")) else { return };
    let (id, run) = (id.to_string(), ids.run.to_string());
    let name = payload.text(&at("name")).unwrap_or("job");
    let result = result(payload.text(&at("conclusion")));
    let created = payload.first_time(&[&at("created_at"), &at("started_at")]);
    let (start, end) =
        times(payload.first_time(&[&at("started_at")]), payload.first_time(&[&at("completed_at")]));
    let common = [
        ("cicd.pipeline.name", payload.text(&at("workflow_name"))),
        ("cicd.pipeline.run.id", Some(&*run)),
        ("vcs.ref.head.revision", payload.text(&at("head_sha"))),
    ];
    let worker = payload.number(&at("runner_id")).map(|id| id.to_string());
    let own = span_id(&format!("{id}-j"));
    scope.span(|span| {
        span.trace_id(&ids.trace())
            .span_id(&own)
            .parent_span_id(&ids.root())
            .name(name)
            .kind(INTERNAL)
            .time(start, end);
        span.attributes(&attributes(&common));
        span.attributes(&attributes(&[
            ("cicd.pipeline.task.name", Some(name)),
            ("cicd.pipeline.task.run.id", Some(&id)),
            ("cicd.pipeline.task.run.result", Some(result)),
            ("cicd.pipeline.task.run.url.full", payload.text(&at("html_url"))),
            ("cicd.worker.id", worker.as_deref()),
            ("cicd.worker.name", payload.text(&at("runner_name"))),
            ("runner_pool", payload.text(&at("runner_group_name"))),
        ]));
        outcome(span, result);
    });
    let (queued, started) = times(created, start);
    scope.span(|span| {
        let queue = span_id(&format!("{id}-q"));
        span.trace_id(&ids.trace()).span_id(&queue).parent_span_id(&own).name("queue").kind(INTERNAL);
        span.time(queued, started).attributes(&attributes(&common));
    });
    steps(scope, payload, ids, &id, own, &common);
}

/// The name of the next step: the second of a name is `name-1`, the third `name-2`. A name that another step has already,
/// because somebody called it so, is passed over.
fn unique(name: &str, given: &mut HashSet<String>) -> String {
    let numbered = (1_u32..).map(|nth| format!("{name}-{nth}"));
    let mut free = std::iter::once(name.to_owned()).chain(numbered).filter(|name| !given.contains(name));
    let unique = free.next().unwrap_or_default();
    given.insert(unique.clone());
    unique
}

fn steps(
    scope: &mut Scope<'_, Traces>,
    payload: &Payload,
    ids: &Ids,
    job: &str,
    parent: [u8; 8],
    common: &[(&str, Option<&str>)],
) {
    let page = payload.text("/workflow_job/html_url");
    let mut given = HashSet::new();
    for step in payload.list("/workflow_job/steps") {
        let name = step.text("/name").unwrap_or("step").to_owned();
        let unique = unique(&name, &mut given);
        let result = result(step.text("/conclusion"));
        let (start, end) = times(step.first_time(&["/started_at"]), step.first_time(&["/completed_at"]));
        let number = step.number("/number").unwrap_or(0);
        // GitHub has no id for a step; its page has an anchor.
        let (id, page) = (format!("{job}#{number}"), page.map(|page| format!("{page}#step:{number}:1")));
        scope.span(|span| {
            let own = span_id(&format!("{job}-{unique}-s"));
            span.trace_id(&ids.trace())
                .span_id(&own)
                .parent_span_id(&parent)
                .name(&name)
                .kind(INTERNAL)
                .time(start, end);
            span.attributes(&attributes(common));
            span.attributes(&attributes(&[
                ("cicd.pipeline.task.name", Some(&*unique)),
                ("cicd.pipeline.task.run.id", Some(&id)),
                ("cicd.pipeline.task.run.result", Some(result)),
                ("cicd.pipeline.task.run.url.full", page.as_deref()),
            ]));
            span.attribute("throughline.step.number", i64::try_from(number).unwrap_or(0));
            outcome(span, result);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_the_published_formula() {
        // printf '422t' | sha256sum, and so on: run 42, attempt 2.
        let ids = Ids { run: 42, attempt: 2 };
        assert_eq!(ids.trace()[..], Sha256::digest(b"422t")[..16]);
        assert_eq!(ids.root()[..], Sha256::digest(b"422s")[8..16]);
        assert_eq!(span_id("7-build-1-s")[..], Sha256::digest(b"7-build-1-s")[8..16]);
    }

    #[test]
    fn steps_of_one_name_are_told_apart_whatever_others_are_called() {
        let mut given = HashSet::new();
        let names = ["a", "a", "a-1", "b", "a", "a-1"].map(|name| unique(name, &mut given));
        assert_eq!(names, ["a", "a-1", "a-1-1", "b", "a-2", "a-1-2"]);
    }

    #[test]
    fn a_thing_that_ended_before_it_began_took_no_time() {
        assert_eq!(times(5, 3), (5, 5));
    }
}
