//! Telling the story from the agent's public outputs alone: its files, its pages.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use serde_json::Value as Json;
use throughline_change::timeline::Listing;

use super::child::Addresses;
use super::script::Script;
use super::traffic::SentTraffic;
use crate::changes::{self, client};

/// Writing to memory does not fail.
macro_rules! put {
    ($out:expr, $($text:tt)*) => { let _ = writeln!($out, $($text)*); };
}

/// Reads all outputs and tells what they say of the change.
pub(super) async fn report(
    sent: &SentTraffic,
    script: &Script,
    at: &Addresses,
    folder: &Path,
) -> Result<String, String> {
    let read = |name: &str| records(&folder.join("throughline").join(name));
    let (events, spans, logs) = (read("events.jsonl")?, read("traces.jsonl")?, read("logs.jsonl")?);
    let page = counted(&at.prometheus).await?;
    let own = get(&at.telemetry, "/metrics").await?;
    let ledger: Json =
        serde_json::from_str(&get(&at.telemetry, "/ledger").await?).map_err(|error| error.to_string())?;

    let mut out = String::new();
    let change = arrived(&events).ok_or("no event tells of a change that reached its environment")?;
    // What `throughline change` fingerprints of any agent.
    let report = get(&at.telemetry, &changes::path(change)).await?;
    let report = serde_json::from_str(&report).map_err(|error| format!("{error} in {report}"))?;
    put!(out, "\n{}", changes::story(&report));
    let others: Listing =
        serde_json::from_str(&get(&at.telemetry, "/changes").await?).map_err(|error| error.to_string())?;
    put!(out, "  ALL CHANGES\n{}", indented(&changes::listing(&others)));
    linked(&mut out, &[("spans", &spans), ("logs", &logs), ("events", &events)], &page, change);
    masked(&mut out, &logs, &own);
    metrics(&mut out, &page);
    accounts(&mut out, &ledger, &own, sent);
    put!(out, "\n  LOOK FOR YOURSELF");
    put!(
        out,
        "    change metrics   curl -H 'Accept: application/openmetrics-text' http://{}/metrics",
        at.prometheus
    );
    put!(out, "    its own          curl http://{}/metrics", at.telemetry);
    put!(out, "    the ledger       curl http://{}/ledger", at.telemetry);
    put!(out, "    health           curl http://{}/", at.health);
    put!(out, "    send OTLP        http://{} (gRPC), http://{} (HTTP)", at.grpc, at.http);
    put!(out, "    one change       throughline change '{change}' --agent {}", at.telemetry);
    put!(out, "    all changes      throughline changes --agent {}", at.telemetry);
    put!(out, "    everything       {}", folder.display());
    put!(out, "    what runs        quickstart.yaml and demo.yaml in that folder");
    put!(out, "\n  SEND A WEBHOOK (then ask for all changes again)");
    put!(out, "{}", by_hand(script, &at.github));
    put!(
        out,
        "\n  YOUR OWN REPOSITORY\n    {}",
        "https://github.com/…/settings/hooks: payload URL http://HOST:8080/events, application/json, a secret; then\n    \
         GITHUB_WEBHOOK_SECRET=… throughline run --config quickstart.yaml \\\n      \
         --set receivers::github::webhook::endpoint=0.0.0.0:8080   (docs/github.md)"
    );
    Ok(out)
}

/// A delivery as it can be sent from a shell, signed.
fn by_hand(script: &Script, github: &str) -> String {
    let Script { owner, repository, number, reviewer, .. } = script;
    let number = number + 2;
    let body = format!(
        "{{\"action\":\"opened\",\"number\":{number},\"pull_request\":{{\"number\":{number},\"created_at\":\"{}\",\
         \"head\":{{\"sha\":\"{}\"}}}},\"repository\":{{\"html_url\":\"https://github.com/{owner}/{repository}\"}},\
         \"sender\":{{\"login\":\"{reviewer}\"}}}}",
        script.at(120.0),
        hex::encode(script.id::<20>("by hand")),
    );
    let signature = super::traffic::sign(&script.webhook_secret, body.as_bytes());
    format!(
        "    curl http://{github}/events -H 'X-GitHub-Event: pull_request' -H 'X-GitHub-Delivery: by-hand-1' \\\n      \
         -H 'X-Hub-Signature-256: {signature}' \\\n      -d '{body}'"
    )
}

/// The page, once the change that was sent is counted: observations wait for what is told in another order.
async fn counted(prometheus: &str) -> Result<String, String> {
    let mut page = get(prometheus, "/metrics").await?;
    for _ in 0..100 {
        if page.contains("change_lead_time_seconds_count") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        page = get(prometheus, "/metrics").await?;
    }
    Ok(page)
}

/// One record of a file, with its resource's attributes below its own.
struct Entry {
    record: Json,
    attributes: BTreeMap<String, String>,
}

impl Entry {
    fn text(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }

    fn time(&self) -> u64 {
        let field = |name: &str| self.record[name].as_str().and_then(|text| text.parse().ok());
        field("timeUnixNano").or_else(|| field("startTimeUnixNano")).unwrap_or(0)
    }
}

/// All records of an OTLP/JSON lines file.
fn records(path: &Path) -> Result<Vec<Entry>, String> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let mut entries = Vec::new();
    for line in text.lines() {
        let request: Json =
            serde_json::from_str(line).map_err(|error| format!("{}: {error}", path.display()))?;
        for (groups, scopes, records) in
            [("resourceSpans", "scopeSpans", "spans"), ("resourceLogs", "scopeLogs", "logRecords")]
        {
            for group in list(&request[groups]) {
                for record in list(&group[scopes]).iter().flat_map(|scope| list(&scope[records])) {
                    let mut attributes = pairs(&group["resource"]["attributes"]);
                    attributes.extend(pairs(&record["attributes"]));
                    entries.push(Entry { record: record.clone(), attributes });
                }
            }
        }
    }
    entries.sort_by_key(Entry::time);
    Ok(entries)
}

fn list(value: &Json) -> &[Json] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn pairs(attributes: &Json) -> BTreeMap<String, String> {
    let pairs = list(attributes).iter();
    pairs.map(|pair| (pair["key"].as_str().unwrap_or_default().to_owned(), value(&pair["value"]))).collect()
}

fn value(any: &Json) -> String {
    let Some((_, inner)) = any.as_object().and_then(|any| any.iter().next()) else { return String::new() };
    inner.as_str().map_or_else(|| inner.to_string(), str::to_owned)
}

/// The change that reached its environment last.
fn arrived(events: &[Entry]) -> Option<&str> {
    let deployed = events.iter().rev().find(|event| event.text("event_type") == "DeploymentFinished");
    deployed.map(|event| event.text("change_id"))
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

fn linked(out: &mut String, kinds: &[(&str, &[Entry])], page: &str, change: &str) {
    put!(out, "\n  LINKED TO THE CHANGE");
    for (kind, entries) in kinds {
        let mut ways: BTreeMap<&str, usize> = BTreeMap::new();
        for entry in *entries {
            let way = match entry.text("change_id") {
                "" => "not linked: nothing in them names a change",
                id if id != change => "linked to another change",
                _ if entry.attributes.contains_key("vcs.change.id") => "by their pull request",
                _ if entry.text("event_type").is_empty() => "by nothing but a commit SHA",
                _ => "as events of the change",
            };
            *ways.entry(way).or_default() += 1;
        }
        for (way, count) in ways {
            put!(out, "    {count:>3} {kind:<7} {way}");
        }
    }
    let exemplar = format!("change_id=\"{change}\"");
    let named = |line: &&str| line.split_once(" # {").is_some_and(|(_, behind)| behind.contains(&exemplar));
    let series = page.lines().filter(named).count();
    put!(out, "    {series:>3} {:<7} by an exemplar, so that no label grows with the changes", "series");
}

fn masked(out: &mut String, logs: &[Entry], own: &str) {
    put!(out, "\n  MASKED");
    for entry in logs {
        let body = value(&entry.record["body"]);
        if body.contains("[REDACTED:") {
            put!(out, "    {body}");
        }
    }
    let counted = |line: &&str| line.starts_with("throughline_secrets_masked{") && !line.ends_with(" 0");
    for line in own.lines().filter(counted) {
        put!(out, "    {line}");
    }
}

fn metrics(out: &mut String, page: &str) {
    put!(out, "\n  CHANGE METRICS");
    let names = [
        "change_lead_time_seconds_sum",
        "plan_latency_seconds_sum",
        "apply_duration_seconds_sum",
        "change_apply_total",
        "apply_queue_age_seconds",
    ];
    for line in page.lines().filter(|line| names.iter().any(|name| line.starts_with(name))) {
        let (series, value) =
            line.split_once(" # ").unwrap_or((line, "")).0.rsplit_once(' ').unwrap_or((line, ""));
        let shown: Vec<&str> =
            series.split_inclusive([',', '{']).filter(|label| !label.starts_with("otel_scope")).collect();
        put!(
            out,
            "    {} {value}",
            shown.concat().trim_end_matches(',').trim_end_matches('}').to_owned() + "}"
        );
    }
}

fn accounts(out: &mut String, ledger: &Json, own: &str, sent: &SentTraffic) {
    put!(out, "\n  THE LEDGER (items)");
    put!(
        out,
        "    {:<9}{:<36}{:>6}{:>6}{:>8}{:>7}{:>9}",
        "hop",
        "name",
        "in",
        "out",
        "merged",
        "held",
        "rejected"
    );
    for hop in list(&ledger["hops"]) {
        let rejected: u64 =
            hop["rejected"].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum();
        let text = |key: &str| hop[key].as_str().unwrap_or_default().to_owned();
        let over =
            hop["transport"].as_str().map(|transport| format!(" over {transport}")).unwrap_or_default();
        let name = format!("{} ({}{over})", text("name"), text("signal"));
        put!(
            out,
            "    {:<9}{name:<36}{:>6}{:>6}{:>8}{:>7}{rejected:>9}",
            text("hop"),
            hop["in"].to_string(),
            hop["out"].to_string(),
            hop["merged"].to_string(),
            hop["held"].to_string()
        );
    }
    let balance = if list(&ledger["imbalances"]).is_empty() { "every hop balances" } else { "NOT BALANCED" };
    let repeated = own.lines().find_map(|line| {
        line.strip_prefix("throughline_github_deliveries{component=\"github\",result=\"repeated\"} ")
    });
    put!(
        out,
        "    {balance}; {} deliveries and {} OTLP requests were sent, {} deliveries twice (recognised: {})",
        sent.deliveries,
        sent.otlp_requests,
        sent.repeated,
        repeated.unwrap_or("0")
    );
}

async fn get(address: &str, path: &str) -> Result<String, String> {
    let uri = format!("http://{address}{path}").parse().map_err(|_| format!("{address} is no address"))?;
    let mut headers = HeaderMap::new();
    headers.insert("accept", HeaderValue::from_static("application/openmetrics-text"));
    let answer = client()?.get(&uri, &headers).await.map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&answer.body).into_owned())
}
