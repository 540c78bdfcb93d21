//! GitHub webhooks: who may deliver, what a repetition does, and that order does not matter (SYS-02, SYS-03, SYS-10).

use std::collections::{BTreeMap, BTreeSet};

use throughline_tests::github::{self, SECRET, change, sign};
use throughline_tests::{Agent, cli, http, records};

/// An agent that writes down the spans and the events that it makes of deliveries.
pub(crate) const CONFIG: &str = "
receivers:
  github: {webhook: {endpoint: '127.0.0.1:0', secret: \"It's a Secret to Everybody\"}}
processors: {change: , secrets: }
exporters:
  file/traces: {path: traces.jsonl}
  file/events: {path: events.jsonl}
service:
  pipelines:
    traces: {receivers: [github], processors: [change, secrets], exporters: [file/traces]}
    logs: {receivers: [github], processors: [change, secrets], exporters: [file/events]}
";

fn start(folder: &std::path::Path) -> (Agent, String) {
    let agent = Agent::start(folder, CONFIG);
    let address = agent.address("github", "/events");
    (agent, address)
}

#[test]
fn the_signature_vector_of_githubs_documentation_is_taken_and_no_other() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let (agent, address) = start(folder.path());
    let body = b"Hello, World!";
    let vector = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    assert_eq!(sign(SECRET, body), vector, "the documentation's own numbers");
    let deliver = |headers: &[(&str, &str)]| http::post(&address, "/events", headers, body).status;
    assert_eq!(deliver(&[("x-github-event", "ping"), ("x-hub-signature-256", vector)]), 200);
    assert_eq!(deliver(&[("x-github-event", "ping")]), 401, "unsigned");
    let wrong = vector.replace("757107", "757108");
    for forged in [
        wrong.as_str(),
        "sha256=",
        "sha256=zz",
        "",
        &vector[7..],
        &vector[..60],
        &vector.replace("sha256", "sha1"),
    ] {
        let status = deliver(&[("x-github-event", "ping"), ("x-hub-signature-256", forged)]);
        assert_eq!(status, 401, "signed with `{forged}`");
    }
    // What is signed but no JSON was GitHub's; it is told what is wrong with it.
    let reply =
        http::post(&address, "/events", &[("x-github-event", "push"), ("x-hub-signature-256", vector)], body);
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert!(reply.text().contains("JSON"), "{}", reply.text());
    assert_eq!(http::get(&address, "/events").status, 405);
    assert_eq!(http::get(&address, "/health").status, 200);
    assert!(agent.counter("throughline_github_deliveries", "result=\"unsigned\"") >= 8.0);
    agent.assert_sound();
}

#[test]
fn a_redelivery_is_recognised_and_recorded_once() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let (agent, address) = start(folder.path());
    let deliveries = change();
    for delivery in deliveries.iter().chain(&deliveries) {
        assert_eq!(delivery.send(&address).status, 200, "{delivery:?}");
    }
    let seen = agent.counter("throughline_github_deliveries", "result=\"repeated\"");
    assert_eq!(seen, deliveries.len() as f64);
    agent.assert_sound();
    assert_eq!(agent.stop().code, Some(0));
    let events = records::read(&folder.path().join("events.jsonl"));
    let ids: BTreeSet<_> = events.iter().map(|event| event.attribute("event_id")).collect();
    assert_eq!((events.len(), ids.len()), (deliveries.len(), deliveries.len()), "each event once");
}

#[test]
fn deliveries_that_nobody_signs_are_a_configuration_error_until_the_configuration_says_so() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let unsigned = CONFIG.replace(", secret: \"It's a Secret to Everybody\"", "");
    std::fs::write(folder.path().join("unsigned.yaml"), &unsigned).expect("the folder can be written");
    for command in ["run", "validate"] {
        let output = cli(folder.path(), &[command, "--config", "unsigned.yaml"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("deliveries must be signed") && said.contains("insecure_unsigned"), "{said}");
        assert!(said.contains("unsigned.yaml:3:"), "the place is named: {said}");
    }
    let allowed = unsigned.replace("github: {", "github: {insecure_unsigned: true, ");
    let agent = Agent::start(folder.path(), &allowed);
    let delivery = &change()[0];
    let headers = [("x-github-event", delivery.event), ("x-github-delivery", &*delivery.id)];
    let body = delivery.body.to_string();
    let address = agent.address("github", "/events");
    assert_eq!(http::post(&address, "/events", &headers, body.as_bytes()).status, 200);
}

#[test]
fn a_delivery_that_comes_as_a_form_is_recorded_like_any_other() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let (agent, address) = start(folder.path());
    let delivery = &change()[0];
    // As GitHub's own forms are: percent-encoded, spaces as plus signs; the signature is over the form.
    let encode = |text: String| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.*".contains(&byte);
        let one = |byte: u8| match byte {
            b' ' => "+".to_owned(),
            byte if plain(byte) => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        };
        text.bytes().map(one).collect::<String>()
    };
    let form = format!("payload={}", encode(delivery.body.to_string()));
    let send = |body: &str, id: &str| {
        let signature = sign(SECRET, body.as_bytes());
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("x-github-event", delivery.event),
            ("x-github-delivery", id),
            ("x-hub-signature-256", &signature),
        ];
        http::post(&address, "/events", &headers, body.as_bytes())
    };
    assert_eq!(send(&form, "one").status, 200);
    let reply = send("other=1", "two");
    assert_eq!((reply.status, reply.text().contains("no field `payload`")), (400, true), "{}", reply.text());
    agent.assert_sound();
    assert_eq!(agent.stop().code, Some(0));
    let events = records::read(&folder.path().join("events.jsonl"));
    assert_eq!(
        events.iter().map(|event| event.attribute("event_type")).collect::<Vec<_>>(),
        ["ChangeOpened"]
    );
}

/// What a run of the agent recorded, apart from what the order of arrival may decide.
#[derive(Debug, PartialEq, Eq)]
struct Recorded {
    /// Trace, span, parent and name.
    spans: BTreeSet<[String; 4]>,
    /// Event id to type and trace.
    events: BTreeMap<String, [String; 2]>,
}

fn record(deliveries: &[github::Delivery]) -> (Recorded, Vec<records::Record>) {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let (agent, address) = start(folder.path());
    for delivery in deliveries {
        assert_eq!(delivery.send(&address).status, 200, "{delivery:?}");
    }
    agent.assert_sound();
    assert_eq!(agent.stop().code, Some(0));
    let spans = records::read(&folder.path().join("traces.jsonl"));
    let span = |span: &records::Record| {
        ["traceId", "spanId", "parentSpanId", "name"].map(|field| span.text(field).to_owned())
    };
    let events = records::read(&folder.path().join("events.jsonl"));
    let event = |event: &records::Record| {
        let kind = event.attribute("event_type").to_owned();
        (event.attribute("event_id").to_owned(), [kind, event.attribute("entity_id").to_owned()])
    };
    let recorded =
        Recorded { spans: spans.iter().map(span).collect(), events: events.iter().map(event).collect() };
    (recorded, events)
}

#[test]
fn deliveries_in_any_order_and_any_repetition_give_the_same_trace_and_the_same_events() {
    let told = change();
    let (in_order, events) = record(&told);
    assert_eq!(in_order.events.len(), told.len());
    // Two attempts, each: the run, the job, its queue, and two steps of one name.
    assert_eq!(in_order.spans.len(), 10);
    for event in &events {
        assert_eq!(event.attribute("change_id"), "github.com/acme/infra#7", "{event:?}");
    }
    let mut state = 7_u64;
    for _ in 0..6 {
        let mut shuffled = told.clone();
        shuffled.extend(told.iter().step_by(3).cloned());
        for last in (1..shuffled.len()).rev() {
            // Knuth's generator is random enough for a shuffle, and the same every time.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            shuffled.swap(last, (state >> 33) as usize % (last + 1));
        }
        let order: Vec<_> = shuffled.iter().map(|delivery| &*delivery.id).collect();
        let (recorded, events) = record(&shuffled);
        assert_eq!(recorded, in_order, "in the order {order:?}");
        let mut opened = false;
        for event in &events {
            opened |= event.attribute("event_type") == "ChangeMerged";
            let change = event.attribute("change_id");
            // Whoever names the pull request belongs to it at once; who comes after the merge can be linked by its commit.
            let names_it = !event.attribute("pull_request").is_empty();
            if names_it || opened {
                assert_eq!(change, "github.com/acme/infra#7", "in the order {order:?}: {event:?}");
            } else {
                // Identity binds late: until then it is linked to nothing, or to its commit, never to another pull request.
                assert!(!change.contains('#') || change.ends_with("#7"), "in the order {order:?}: {event:?}");
            }
        }
    }
}
