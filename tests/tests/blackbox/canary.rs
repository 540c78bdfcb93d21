//! A canary: a token, random in every run, in every string that can reach the agent, and then searched for in everything
//! that comes out of it, raw and encoded (invariant 7, RED).

use std::hash::{BuildHasher, RandomState};
use std::path::Path;

use base64::Engine;
use serde_json::{Value as Json, json};
use throughline_tests::github::change;
use throughline_tests::{Agent, await_that, http, records};

const CONFIG: &str = "
receivers:
  otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}
  github: {keep_other_events: true, webhook: {endpoint: '127.0.0.1:0', secret: \"It's a Secret to Everybody\"}}
processors: {change: }
connectors: {events: , change_metrics: {lateness: 0s}}
extensions: {file_storage: {directory: storage, create_directory: true}}
exporters:
  prometheus: {endpoint: '127.0.0.1:0', enable_open_metrics: true}
  file/traces: {path: traces.jsonl}
  file/logs: {path: logs.jsonl}
  file/metrics: {path: metrics.jsonl}
  debug: {verbosity: detailed}
  otlp_http: {endpoint: 'http://127.0.0.1:9', sending_queue: {storage: file_storage}}
service:
  extensions: [file_storage]
  telemetry: {logs: {level: debug}}
  pipelines:
    traces: {receivers: [otlp, github], processors: [change], exporters: [events, file/traces, debug, otlp_http]}
    logs: {receivers: [otlp, github, events], processors: [change], exporters: [change_metrics, file/logs, debug, otlp_http]}
    metrics: {receivers: [otlp], processors: [change], exporters: [prometheus, file/metrics, debug, otlp_http]}
    metrics/change: {receivers: [change_metrics], processors: [change], exporters: [prometheus]}
";

/// A token such as GitHub's, which nothing but this run knows.
fn canary() -> String {
    let random = |n: u8| format!("{:016x}", RandomState::new().hash_one(n));
    format!("ghp_{}", &[random(0), random(1), random(2)].concat()[..36])
}

/// What the canary looks like wherever it may turn up: as it is, URL-encoded, and in base64 at any of three offsets.
fn forms(canary: &str) -> Vec<String> {
    let mut forms = vec![
        canary.to_owned(),
        canary.replace('_', "%5F"),
        canary.replace('_', "%5f"),
        canary[4..].to_owned(),
    ];
    for offset in 0..3 {
        let text = base64::engine::general_purpose::STANDARD
            .encode(["\0".repeat(offset), canary.into(), "\0\0".into()].concat());
        // What the neighbours' bits do not touch.
        forms.push(text[4..48].to_owned());
    }
    forms
}

/// Where a form of the canary is, each with what stands before it.
fn find(what: &str, bytes: &[u8], forms: &[String]) -> Vec<String> {
    let place = |form: &String| {
        let at = bytes.windows(form.len()).position(|window| window == form.as_bytes())?;
        let before = String::from_utf8_lossy(&bytes[at.saturating_sub(120)..at]).into_owned();
        Some(format!("{form} in {what} after {before}"))
    };
    forms.iter().filter_map(place).collect()
}

fn walk(folder: &Path, visit: &mut impl FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).expect("the folder can be read").flatten() {
        if entry.path().is_dir() { walk(&entry.path(), visit) } else { visit(&entry.path()) }
    }
}

/// One request a signal, with the text in every string field and in a bytes field of every level.
fn otlp(text: &str) -> [(&'static str, Json); 3] {
    let bytes = base64::engine::general_purpose::STANDARD.encode(text);
    let value = json!({ "stringValue": text });
    let nested = json!({ "kvlistValue": { "values": [{ "key": text, "value": { "arrayValue": { "values":
        [value, { "bytesValue": bytes }, { "stringValue": format!("before {text}, after") }] } } }] } });
    let attributes = json!([{ "key": "plain", "value": value }, { "key": "nested", "value": nested },
        { "key": text, "value": { "intValue": "1" } }, { "key": "bytes", "value": { "bytesValue": bytes } },
        { "key": "vcs.repository.url.full", "value": { "stringValue": format!("https://github.com/acme/{text}") } },
        { "key": "deployment.environment.name", "value": value },
        { "key": "url", "value": { "stringValue": format!("https://bot:{text}@example.org/?token={text}") } }]);
    let entity = json!({ "schemaUrl": text, "type": text, "idKeys": [text], "descriptionKeys": [text] });
    let resource = json!({ "attributes": attributes, "entityRefs": [entity] });
    let scope = json!({ "name": text, "version": text, "attributes": attributes });
    let (trace, span, time) = ("0123456789abcdef0123456789abcdef", "0123456789abcdef", "1772359200000000000");
    let around = |groups: &str, scopes: &str, kind: &str, records: Json| {
        json!({ groups: [{ "resource": resource, "schemaUrl": text,
            scopes: [{ "scope": scope, "schemaUrl": text, kind: records }] }] })
    };
    let spans = json!([{ "traceId": trace, "spanId": span, "name": text, "traceState": format!("vendor={text}"), "kind": 1,
        "startTimeUnixNano": time, "endTimeUnixNano": time, "attributes": attributes,
        "events": [{ "name": text, "timeUnixNano": time, "attributes": attributes }],
        "links": [{ "traceId": trace, "spanId": span, "traceState": text, "attributes": attributes }],
        "status": { "code": 2, "message": text } }]);
    let logs = json!([
        { "timeUnixNano": time, "severityText": text, "body": nested, "attributes": attributes, "eventName": text },
        { "timeUnixNano": time, "body": value }, { "timeUnixNano": time, "body": { "bytesValue": bytes } }]);
    let exemplars = json!([{ "timeUnixNano": time, "asInt": "1", "filteredAttributes": attributes }]);
    let number =
        json!([{ "timeUnixNano": time, "asInt": "1", "attributes": attributes, "exemplars": exemplars }]);
    let metric = |suffix: &str, kind: &str, data: Json| json!({ "name": format!("{suffix}.{text}"), "description": text, "unit": text, "metadata": attributes, kind: data });
    let metrics = json!([
        metric("gauge", "gauge", json!({ "dataPoints": number })),
        metric(
            "sum",
            "sum",
            json!({ "aggregationTemporality": 2, "isMonotonic": true, "dataPoints": number })
        ),
        metric(
            "histogram",
            "histogram",
            json!({ "aggregationTemporality": 2, "dataPoints": [{ "timeUnixNano": time,
            "count": "1", "sum": 1, "bucketCounts": ["1", "0"], "explicitBounds": [1], "attributes": attributes,
            "exemplars": exemplars }] })
        ),
        metric(
            "exponential",
            "exponentialHistogram",
            json!({ "aggregationTemporality": 2, "dataPoints": [{
            "timeUnixNano": time, "count": "1", "scale": 0, "zeroCount": "1", "attributes": attributes,
            "exemplars": exemplars }] })
        ),
        metric(
            "summary",
            "summary",
            json!({ "dataPoints": [{ "timeUnixNano": time, "count": "1", "sum": 1,
            "attributes": attributes }] })
        ),
    ]);
    [
        ("traces", around("resourceSpans", "scopeSpans", "spans", spans)),
        ("logs", around("resourceLogs", "scopeLogs", "logRecords", logs)),
        ("metrics", around("resourceMetrics", "scopeMetrics", "metrics", metrics)),
    ]
}

/// The addresses of all strings in a document.
fn strings(json: &Json, at: &str, found: &mut Vec<String>) {
    match json {
        Json::String(_) => found.push(at.to_owned()),
        Json::Array(list) => {
            list.iter().enumerate().for_each(|(n, item)| strings(item, &format!("{at}/{n}"), found))
        }
        Json::Object(map) => map.iter().for_each(|(key, item)| strings(item, &format!("{at}/{key}"), found)),
        _ => {}
    }
}

#[test]
fn a_canary_in_every_field_comes_out_nowhere() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let (agent, canary) = (Agent::start(folder.path(), CONFIG), canary());
    let forms = forms(&canary);
    let (to, hooks) = (agent.http(), agent.address("github", "/events"));
    let mut found = Vec::new();
    for (signal, request) in otlp(&canary) {
        let headers = [("content-type", "application/json"), ("user-agent", &*canary), ("x-extra", &*canary)];
        let body = request.to_string();
        let reply = http::post(&to, &format!("/v1/{signal}"), &headers, body.as_bytes());
        assert_eq!(reply.status, 200, "{signal}: {}", reply.text());
        // Cut and misspelt, so that an error has something to quote.
        for wrong in [
            &body[..body.len() - 2],
            &body.replace("\"timeUnixNano\":\"", &format!("\"timeUnixNano\":\"{canary}")),
        ] {
            let reply = http::post(&to, &format!("/v1/{signal}"), &headers, wrong.as_bytes());
            assert_eq!(reply.status, 400, "{signal}");
            found.extend(find("a reply to wrong JSON", &reply.body, &forms));
        }
    }
    let mut sent = 0;
    for delivery in change() {
        let mut fields = Vec::new();
        strings(&delivery.body, "", &mut fields);
        for (number, field) in fields.iter().enumerate() {
            for form in 0..3 {
                let mut changed = delivery.clone();
                changed.id = format!("{}-{number}-{form}-{canary}", delivery.id);
                let text = changed.body.pointer_mut(field).expect("it was just found");
                let old = text.as_str().unwrap_or_default();
                *text = json!(match form {
                    0 => canary.clone(),
                    1 => format!("{old} {canary}"),
                    // Still an address where it was one, of a repository of this name.
                    _ => format!("{old}/{canary}"),
                });
                let reply = changed.send(&hooks);
                assert!(reply.status < 500, "{field}: {} {}", reply.status, reply.text());
                found.extend(find("a reply to a delivery", &reply.body, &forms));
                sent += 1;
            }
        }
    }
    assert!(sent > 200, "{sent} deliveries carried it");
    let mut other = change().remove(0);
    other.event = "issue_comment";
    other.body["comment"] = json!({ "body": format!("my token is {canary}") });
    assert_eq!(other.send(&hooks).status, 200, "kept on request");
    for (address, page) in [(&to, format!("/v1/{canary}")), (&hooks, format!("/{canary}?token={canary}"))] {
        found.extend(find("a reply to an unknown path", &http::get(address, &page).body, &forms));
    }

    // What was sent has come out: only then does it mean something that the canary has not.
    for (file, least) in [("traces.jsonl", 1), ("logs.jsonl", 100), ("metrics.jsonl", 5)] {
        let path = folder.path().join(file);
        await_that(&format!("{file} is written"), || records::read(&path).len() >= least);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(text.contains("[REDACTED:github:"), "{file} shows that there was something");
    }
    let exporter = agent.address("prometheus", "/metrics");
    for accept in ["text/plain", "application/openmetrics-text"] {
        let page = http::get_with(&exporter, "/metrics", &[("accept", accept)]);
        assert!(page.text().contains("REDACTED"), "{}", page.text());
        found.extend(find(&format!("Prometheus's page as {accept}"), &page.body, &forms));
    }
    found.extend(find("its own metrics", agent.metrics().as_bytes(), &forms));
    found.extend(find("the ledger", agent.ledger().to_string().as_bytes(), &forms));
    agent.assert_sound();
    agent.signal("TERM");
    drop(agent.wait());
    let mut files = 0;
    walk(folder.path(), &mut |path| {
        files += 1;
        let bytes = std::fs::read(path).expect("the agent's files can be read");
        found.extend(find(&path.display().to_string(), &bytes, &forms));
    });
    assert!(files >= 6, "outputs, log and storage were searched: {files} files");
    found.sort();
    found.dedup();
    assert!(found.is_empty(), "{found:#?}");
}
