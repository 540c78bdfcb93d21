//! What a destination's refusal means: a reject is only what says that the data is bad; all else keeps the data
//! (invariant 5, ADR 0006).

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use throughline_tests::backend::{Answer, Backend};
use throughline_tests::{Agent, await_that, http};

use crate::otlp;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

fn config(backend: &Backend, exporter: &str, storage: bool) -> String {
    let queue = if storage { "sending_queue: {storage: file_storage}" } else { "" };
    format!(
        "
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:0'}}}}}}}}
extensions:
  file_storage: {{directory: storage, create_directory: true}}
  health_check: {{endpoint: '127.0.0.1:0'}}
exporters:
  otlp_http:
    endpoint: 'http://{}'
    compression: none
    {queue}
{exporter}
service:
  extensions: [file_storage, health_check]
  pipelines:
    logs: {{receivers: [otlp], exporters: [otlp_http]}}
",
        backend.address()
    )
}

const QUICK: &str = "    retry_on_failure: {initial_interval: 10ms, max_interval: 50ms}";

fn send(agent: &Agent, body: &str) -> http::Reply {
    http::post(&agent.http(), "/v1/logs", &[PROTOBUF], &otlp::log(body))
}

/// The names `r0`, `r1` … that some bodies hold, each ended by a semicolon.
fn names(bodies: &[Vec<u8>]) -> BTreeSet<String> {
    let text: Vec<_> = bodies.iter().map(|body| String::from_utf8_lossy(body).into_owned()).collect();
    let found = text.iter().flat_map(|body| body.split("<").skip(1));
    found.filter_map(|rest| Some(rest.split_once('>')?.0.to_owned())).collect()
}

fn warnings(agent: &Agent, message: &str) -> usize {
    let entries = agent.entries();
    entries
        .iter()
        .filter(|e| e["level"] == "WARN" && e["message"].as_str().is_some_and(|m| m.contains(message)))
        .count()
}

#[test]
fn an_expired_token_empties_no_backlog_and_every_other_refusal_that_does_not_concern_the_data_neither() {
    for storage in [true, false] {
        let folder = tempfile::tempdir().expect("there is a temporary folder");
        let codes = [401, 403, 404, 405, 408, 409, 415, 429, 500, 501, 502, 503, 504, 505, 302, 418];
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let backend = Backend::start(move |_| match codes.get(counted.fetch_add(1, Ordering::Relaxed)) {
            Some(code) => Answer::status(*code, "the token expired, password=hunter2"),
            None => Answer::ok(),
        });
        let agent = Agent::start(folder.path(), &config(&backend, QUICK, storage));
        for number in 0..20 {
            assert_eq!(send(&agent, &format!("<{number}>")).status, 200, "{}", agent.log());
        }
        await_that("all arrive", || names(&backend.accepted()).len() == 20);
        assert_eq!(agent.counter("throughline_rejected_items", "otlp_http"), 0.0);
        assert_eq!(agent.counter("throughline_dropped_items", ""), 0.0);
        assert!(warnings(&agent, "export failed") <= 2, "{}", agent.log());
        assert!(agent.log().contains("the token expired"), "the backend's words are told: {}", agent.log());
        assert!(!agent.log().contains("hunter2"), "and masked: {}", agent.log());
        agent.assert_sound();
        assert_eq!(agent.stop().code, Some(0));
    }
}

#[test]
fn a_parked_destination_is_shown_with_the_backends_words_and_since_when_and_recovers() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let code = Arc::new(AtomicU16::new(403));
    let says = Arc::clone(&code);
    let backend =
        Backend::start(move |_| Answer::status(says.load(Ordering::Relaxed), "tenant is suspended"));
    let agent = Agent::start(folder.path(), &config(&backend, QUICK, true));
    for number in 0..50 {
        assert_eq!(send(&agent, &format!("<{number}>")).status, 200);
    }
    let health = || http::get(&agent.address("health_check", "/"), "/");
    await_that("it is shown", || health().text().contains("failing"));
    let page = health();
    assert_eq!(page.status, 200, "nothing is lost and nobody refused: {}", page.text());
    let failing = &page.json()["failing"][0];
    assert_eq!(failing["component"], "exporter otlp_http");
    assert!(
        failing["why"].as_str().is_some_and(|why| why.contains("403") && why.contains("tenant is suspended"))
    );
    assert!(
        failing["since"].as_str().is_some_and(|since| since.ends_with('Z') && since.len() == 20),
        "{failing}"
    );
    code.store(200, Ordering::Relaxed);
    await_that("all arrive", || names(&backend.accepted()).len() == 50);
    await_that("it is well", || health().text() == "{\"status\":\"ready\"}\n");
}

#[test]
fn a_full_queue_before_a_dead_destination_turns_readiness_red_until_it_has_room() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let code = Arc::new(AtomicU16::new(503));
    let says = Arc::clone(&code);
    let backend = Backend::start(move |_| Answer::status(says.load(Ordering::Relaxed), "down"));
    let small = format!("{QUICK}\n    sending_queue: {{num_consumers: 1, queue_size: 1}}");
    let agent = Agent::start(folder.path(), &config(&backend, &small, false));
    let address = agent.http();
    let senders: Vec<_> = (0..2)
        .map(|number| {
            let address = address.clone();
            std::thread::spawn(move || {
                http::post(&address, "/v1/logs", &[PROTOBUF], &otlp::log(&format!("<{number}>"))).status
            })
        })
        .collect();
    let health = || http::get(&agent.address("health_check", "/"), "/");
    let held = || agent.counter("throughline_exporter_held_items", "otlp_http");
    await_that("the queue is full", || held() == 2.0);
    await_that("its destination has failed", || health().text().contains("failing"));
    assert_eq!(send(&agent, "<refused>").status, 503);
    let page = health();
    assert_eq!(page.status, 503);
    assert!(
        page.text().contains("exporter otlp_http refuses everything: its queue is full"),
        "{}",
        page.text()
    );
    code.store(200, Ordering::Relaxed);
    for sender in senders {
        assert_eq!(sender.join().expect("no panic"), 200);
    }
    await_that("it is ready", || health().status == 200);
}

#[test]
fn a_backends_401_is_never_the_senders_own() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    for code in [401, 403, 404, 500] {
        let backend = Backend::start(move |_| Answer::status(code, "no"));
        let agent =
            Agent::start(folder.path(), &config(&backend, "    retry_on_failure: {enabled: false}", false));
        let reply = send(&agent, "<0>");
        assert_eq!(reply.status, 503, "{}", reply.text());
        agent.assert_sound();
    }
}

#[test]
fn what_is_too_large_for_the_backend_goes_in_parts() {
    for storage in [true, false] {
        let folder = tempfile::tempdir().expect("there is a temporary folder");
        let backend =
            Backend::start(
                |body| if body.len() > 100 { Answer::status(413, "too large") } else { Answer::ok() },
            );
        let agent = Agent::start(folder.path(), &config(&backend, QUICK, storage));
        let records: Vec<_> = (0..64).map(|n| otlp::log_record(format!("<{n}>").as_bytes())).collect();
        let reply = http::post(&agent.http(), "/v1/logs", &[PROTOBUF], &otlp::logs(&records));
        assert_eq!(reply.status, 200, "{}", reply.text());
        await_that("all arrive", || names(&backend.accepted()).len() == 64);
        // The backend has them a moment before the agent has read its answers.
        let sent = || agent.counter("otelcol_exporter_sent_log_records", "otlp_http");
        await_that("all are counted", || sent() >= 64.0);
        assert_eq!((agent.counter("throughline_rejected_items", "otlp_http"), sent()), (0.0, 64.0));
        agent.assert_sound();
    }
}

#[test]
fn a_record_that_always_fails_keeps_none_of_those_behind_it_waiting() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let poison = |body: &[u8]| body.windows(6).any(|window| window == b"poison");
    let backend =
        Backend::start(
            move |body| if poison(body) { Answer::status(500, "cannot store it") } else { Answer::ok() },
        );
    let agent = Agent::start(folder.path(), &config(&backend, QUICK, true));
    let mut connection = http::KeptAlive::open(&agent.http());
    for number in 0..3000 {
        let body = if number % 500 == 7 { format!("<poison {number}>") } else { format!("<{number}>") };
        assert_eq!(connection.post("/v1/logs", &[PROTOBUF], &otlp::log(&body)), 200);
    }
    await_that("all others arrive", || names(&backend.accepted()).len() == 2994);
    assert_eq!(agent.counter("throughline_rejected_items", "otlp_http"), 0.0);
    let health = http::get(&agent.address("health_check", "/"), "/");
    assert!(health.text().contains("6 batches keep failing while others pass"), "{}", health.text());
    assert_eq!(agent.stop().code, Some(0));
}

/// More of them than a reader may have given out, and each of them too large to be kept in memory beside others.
#[test]
#[ignore = "passes alone, and stalls on a machine that is busy with other tests: a defect that is not found yet"]
fn many_records_that_always_fail_and_large_ones_keep_none_of_those_behind_them_waiting() {
    let poison = |body: &[u8]| body.windows(6).any(|window| window == b"poison");
    for (total, every, length) in [(3300, 3, 0), (106, 18, 3 << 20)] {
        let folder = tempfile::tempdir().expect("there is a temporary folder");
        let heals = Arc::new(AtomicBool::new(false));
        let healed = Arc::clone(&heals);
        let backend = Backend::start(move |body| match poison(body) && !healed.load(Ordering::Relaxed) {
            true => Answer::status(503, "cannot store it"),
            false => Answer::ok(),
        });
        let agent = Agent::start(folder.path(), &config(&backend, QUICK, true));
        let mut connection = http::KeptAlive::open(&agent.http());
        for number in 0..total {
            let is_bad = if length > 0 { number < total / every } else { number % every == 0 };
            let bad = || format!("<{number}> poison {}", "x".repeat(length));
            let body = if is_bad { bad() } else { format!("<{number}>") };
            assert_eq!(connection.post("/v1/logs", &[PROTOBUF], &otlp::log(&body)), 200);
        }
        let good = total - total / every;
        // As long as more of them arrive, they are just slow.
        let arrive = |most: usize| {
            let mut before = 0;
            while before < most {
                await_that("more arrive", || names(&backend.accepted()).len() > before);
                before = names(&backend.accepted()).len();
            }
            assert_eq!(before, most);
        };
        arrive(good);
        assert_eq!(agent.counter("throughline_rejected_items", "otlp_http"), 0.0);
        heals.store(true, Ordering::Relaxed);
        arrive(total);
        agent.assert_sound();
        assert_eq!(agent.stop().code, Some(0));
        let requests = backend.accepted().len();
        let again = Agent::start(folder.path(), &config(&backend, QUICK, true));
        assert_eq!(again.counter("throughline_storage_backlog_bytes", "otlp_http"), 0.0, "nothing waits");
        assert_eq!(again.stop().code, Some(0));
        assert_eq!(backend.accepted().len(), requests, "nothing comes again");
    }
}

#[test]
fn who_wants_the_collectors_dropping_gets_it_counted_and_told() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let backend = Backend::start(|_| Answer::status(401, "who are you"));
    let drop = "    retry_on_failure: {on_permanent_error: drop}";
    let agent = Agent::start(folder.path(), &config(&backend, drop, true));
    for number in 0..100 {
        assert_eq!(send(&agent, &format!("<{number}>")).status, 200);
    }
    let dropped = || agent.counter("throughline_dropped_items", "reason=\"permanent_error\"");
    await_that("all are dropped", || dropped() == 100.0);
    let told = warnings(&agent, "dropped after a permanent error");
    assert!((1..=2).contains(&told), "once a minute: {}", agent.log());
    agent.assert_sound();
}

#[test]
fn a_backend_that_falls_silent_is_given_up_in_time_and_gets_everything_once_it_speaks() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let silent = Arc::new(AtomicUsize::new(25));
    let left = Arc::clone(&silent);
    let backend = Backend::start(move |_| {
        let some = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if some.is_ok() { Answer::Never } else { Answer::ok() }
    });
    let agent = Agent::start(folder.path(), &config(&backend, &format!("{QUICK}\n    timeout: 100ms"), true));
    for number in 0..40 {
        assert_eq!(send(&agent, &format!("<{number}>")).status, 200);
    }
    await_that("all arrive", || names(&backend.accepted()).len() == 40);
    assert!(agent.log().contains("did not answer within 100ms"), "{}", agent.log());
    agent.assert_sound();
}

#[test]
fn without_a_queue_every_sender_has_an_export_of_its_own() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let together = Arc::new(Barrier::new(30));
    let backend = Backend::start(move |_| {
        together.wait();
        Answer::ok()
    });
    let agent = Agent::start(folder.path(), &config(&backend, "    sending_queue: {enabled: false}", false));
    let address = agent.http();
    let senders: Vec<_> = (0..30)
        .map(|number| {
            let address = address.clone();
            std::thread::spawn(move || {
                http::post(&address, "/v1/logs", &[PROTOBUF], &otlp::log(&format!("<{number}>"))).status
            })
        })
        .collect();
    for sender in senders {
        assert_eq!(sender.join().expect("no panic"), 200, "thirty at once");
    }
    agent.assert_sound();
}

#[test]
fn no_peer_can_write_to_the_log_without_bound() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let backend = Backend::start(|_| Answer::ok());
    let text =
        config(&backend, "", false).replace("service:", "service:\n  telemetry: {logs: {level: debug}}");
    let agent = Agent::start(folder.path(), &text);
    let before = agent.log().len();
    // PING frames with ACK that nobody asked for (RFC 9113, section 6.7), then connections that end in the middle.
    let mut stream = http::connect(&agent.http()).expect("it listens");
    let frame = [&[0, 0, 8, 6, 1, 0, 0, 0, 0][..], &[7; 8]].concat();
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let flood = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..], &frame.repeat(20_000)].concat();
    drop(stream.write_all(&flood));
    stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    drop(stream.read(&mut [0; 1024]));
    for number in 0..300 {
        let mut stream = http::connect(&agent.http()).expect("it listens");
        drop(stream.write_all(if number % 2 == 0 {
            b"POST /v1/logs HTTP/1.1\r\n"
        } else {
            b"\x16\x03nonsense\r\n\r\n"
        }));
        assert_eq!(http::post(&agent.http(), "/v1/logs", &[PROTOBUF], b"\x0a\xff").status, 400);
        assert_eq!(http::post(&agent.http(), "/nowhere", &[PROTOBUF], b"").status, 404);
    }
    let grown = agent.log().len() - before;
    assert!(grown < 10_000, "{grown} bytes: {}", agent.log());
    assert_eq!(warnings(&agent, "do not parse"), 1, "{}", agent.log());
}

#[test]
fn a_reload_with_a_new_token_delivers_what_waited_once_and_nothing_fails_any_more() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let code = Arc::new(AtomicU16::new(401));
    let says = Arc::clone(&code);
    let backend = Backend::start(move |_| Answer::status(says.load(Ordering::Relaxed), "the token expired"));
    let text = config(&backend, "    retry_on_failure: {initial_interval: 60s, max_interval: 60s}", true);
    let agent = Agent::start(folder.path(), &text);
    for number in 0..30 {
        assert_eq!(send(&agent, &format!("<{number}>")).status, 200);
    }
    let health = || http::get(&agent.address("health_check", "/"), "/").text();
    await_that("it fails", || health().contains("failing"));
    code.store(200, Ordering::Relaxed);
    agent.signal("HUP");
    agent.await_log("\"message\":\"reloaded\"");
    await_that("all arrive", || names(&backend.accepted()).len() == 30);
    await_that("it is well", || health() == "{\"status\":\"ready\"}\n");
    assert_eq!(agent.stop().code, Some(0));
    assert_eq!(backend.accepted().len(), 30, "each once");
}
