//! Stopping and starting: two agents in a row of which the second comes and goes, signals at awkward moments, and what a
//! shutdown waits for.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use throughline_tests::backend::{Answer, Backend};
use throughline_tests::{Agent, await_that, http, records, soak};

use crate::grpc::{Call, Connection, export};
use crate::otlp;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

fn folder(path: &Path) -> &Path {
    std::fs::create_dir_all(path).expect("the test's folder can be written");
    path
}

#[test]
fn nothing_acknowledged_is_lost_between_two_agents_of_which_the_second_restarts_and_reloads() {
    let root = tempfile::tempdir().expect("there is a temporary folder");
    let (grpc, http) = (http::free_address(), http::free_address());
    let second = format!(
        "
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '{grpc}'}}, http: {{endpoint: '{http}'}}}}}}}}
exporters: {{file: {{path: logs.jsonl}}}}
service: {{pipelines: {{logs: {{receivers: [otlp], exporters: [file]}}}}}}
"
    );
    let quick = "retry_on_failure: {initial_interval: 5ms, max_interval: 20ms}";
    let first = format!(
        "
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:0'}}}}}}}}
exporters:
  otlp_grpc: {{endpoint: 'http://{grpc}', {quick}}}
  otlp_http: {{endpoint: 'http://{http}', {quick}}}
service:
  pipelines:
    logs: {{receivers: [otlp], exporters: [otlp_grpc, otlp_http]}}
"
    );
    let (first_folder, second_folder) = (root.path().join("first"), root.path().join("second"));
    let mut sink = Agent::start(folder(&second_folder), &second);
    let agent = Agent::start(folder(&first_folder), &first);
    let stop = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            let (address, stop) = (agent.http(), Arc::clone(&stop));
            std::thread::spawn(move || {
                let (mut acknowledged, mut connection) = (BTreeSet::new(), http::KeptAlive::open(&address));
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let body = format!("{sender} {number}");
                    if connection.post("/v1/logs", &[PROTOBUF], &otlp::log(&body)) == 200 {
                        acknowledged.insert(body);
                    }
                }
                acknowledged
            })
        })
        .collect();
    let rounds = soak::rounds(6, 600);
    for round in 0..rounds {
        let sent = || agent.counter("otelcol_exporter_sent_log_records", "");
        let before = sent();
        await_that("some are delivered", || sent() > before + 40.0);
        if round % 3 == 2 {
            sink.signal("HUP");
            await_that("it is reloaded", || sink.log().matches("\"message\":\"reloaded\"").count() > 0);
        } else {
            assert_eq!(sink.stop().code, Some(0));
            sink = Agent::start(&second_folder, &second);
        }
    }
    stop.store(true, Ordering::Relaxed);
    let acknowledged: BTreeSet<String> =
        senders.into_iter().flat_map(|sender| sender.join().expect("no sender panics")).collect();
    assert_eq!(agent.counter("throughline_rejected_items", "exporter"), 0.0, "nothing is refused for good");
    assert_eq!(agent.stop().code, Some(0));
    assert_eq!(sink.stop().code, Some(0));
    let mut copies: std::collections::BTreeMap<String, u32> = std::collections::BTreeMap::new();
    for record in records::read(&second_folder.join("logs.jsonl")) {
        *copies.entry(record.body()).or_default() += 1;
    }
    let lost: Vec<_> =
        acknowledged.iter().filter(|body| copies.get(*body).is_none_or(|count| *count < 2)).collect();
    assert!(acknowledged.len() > 100, "{}", acknowledged.len());
    assert!(
        lost.is_empty(),
        "{} of {} acknowledged are not there twice: {lost:?}",
        lost.len(),
        acknowledged.len()
    );
}

#[test]
fn a_route_that_a_reload_takes_away_is_out_of_service_and_not_unknown() {
    let root = tempfile::tempdir().expect("there is a temporary folder");
    let (grpc, http) = (http::free_address(), http::free_address());
    let both = format!(
        "
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '{grpc}'}}, http: {{endpoint: '{http}'}}}}}}}}
exporters: {{file: {{path: out.jsonl}}}}
service:
  pipelines:
    logs: {{receivers: [otlp], exporters: [file]}}
    traces: {{receivers: [otlp], exporters: [file]}}
"
    );
    let agent = Agent::start(root.path(), &both);
    let mut connection = http::KeptAlive::open(&http);
    assert_eq!(connection.post("/v1/traces", &[PROTOBUF], &otlp::span("a")), 200);
    let less = both.replace("    traces: {receivers: [otlp], exporters: [file]}\n", "");
    std::fs::write(root.path().join("agent.yaml"), less).expect("the folder can be written");
    agent.signal("HUP");
    agent.await_log("\"message\":\"reloaded\"");
    assert_eq!(connection.post("/v1/traces", &[PROTOBUF], &otlp::span("a")), 503);
    assert_eq!(connection.post("/v1/logs", &[PROTOBUF], &otlp::log("a")), 200, "the others go on");
    assert_eq!(connection.post("/v1/nothing", &[PROTOBUF], b""), 404, "what never was is still not there");
    let refused = export(&grpc, "trace.v1.TraceService", otlp::span("a"), &Call::default());
    assert_eq!(refused.expect_err("it is out of service").code(), tonic::Code::Unavailable);
}

#[test]
fn a_second_signal_within_a_second_is_the_same_wish_and_ends_no_drain() {
    let root = tempfile::tempdir().expect("there is a temporary folder");
    let backend = Backend::start(|_| {
        std::thread::sleep(Duration::from_millis(1500));
        Answer::ok()
    });
    let config = format!(
        "
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:0'}}}}}}}}
exporters: {{otlp_http: {{endpoint: 'http://{}', compression: none}}}}
service: {{pipelines: {{logs: {{receivers: [otlp], exporters: [otlp_http]}}}}}}
",
        backend.address()
    );
    let agent = Agent::start(root.path(), &config);
    let address = agent.http();
    let sender =
        std::thread::spawn(move || http::post(&address, "/v1/logs", &[PROTOBUF], &otlp::log("a")).status);
    await_that("it is on its way", || backend.attempts() == 1);
    agent.signal("TERM");
    agent.signal("INT");
    let ended = agent.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert_eq!(sender.join().expect("no panic"), 200);
}

#[test]
fn a_drain_that_is_cut_short_tells_senders_to_keep_their_data() {
    let root = tempfile::tempdir().expect("there is a temporary folder");
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let backend = Backend::start(move |_| {
        held.lock().expect("no panic").recv().unwrap_or_default();
        Answer::ok()
    });
    for by_signal in [true, false] {
        let config = format!(
            "
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:0'}}, http: {{endpoint: '127.0.0.1:0'}}}}}}}}
exporters: {{otlp_http: {{endpoint: 'http://{}', compression: none, timeout: 10m}}}}
service:
  shutdown_timeout: {}
  pipelines: {{logs: {{receivers: [otlp], exporters: [otlp_http]}}}}
",
            backend.address(),
            if by_signal { "10m" } else { "1s" }
        );
        let agent = Agent::start(folder(&root.path().join(by_signal.to_string())), &config);
        let (address, grpc) = (agent.http(), Connection::open(&agent.grpc()));
        let http =
            std::thread::spawn(move || http::post(&address, "/v1/logs", &[PROTOBUF], &otlp::log("a")).status);
        let grpc =
            std::thread::spawn(move || grpc.export_together("logs.v1.LogsService", vec![otlp::log("b")]));
        await_that("both are taken in", || agent.counter("throughline_exporter_held_items", "") == 2.0);
        agent.signal("TERM");
        if by_signal {
            std::thread::sleep(Duration::from_millis(1200));
            agent.signal("TERM");
        }
        let ended = agent.wait();
        assert_eq!(ended.code, Some(3), "{}", ended.log);
        assert_eq!(http.join().expect("it is answered"), 503);
        let refused = grpc.join().expect("it is answered").pop().expect("one").expect_err("not delivered");
        assert_eq!(refused.code(), tonic::Code::Unavailable);
    }
    drop(hold);
}

#[test]
fn a_shutdown_does_not_wait_for_a_dead_backend_whose_data_is_stored_or_whose_senders_can_keep_it() {
    let root = tempfile::tempdir().expect("there is a temporary folder");
    let backend = Backend::start(|_| Answer::status(503, "down"));
    for (number, queue) in ["sending_queue: {storage: file_storage}", "timeout: 1s"].into_iter().enumerate() {
        let config = format!(
            "
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:0'}}}}}}}}
extensions: {{file_storage: {{directory: storage, create_directory: true}}}}
exporters: {{otlp_http: {{endpoint: 'http://{}', {queue}}}}}
service:
  shutdown_timeout: 10m
  extensions: [file_storage]
  pipelines: {{logs: {{receivers: [otlp], exporters: [otlp_http]}}}}
",
            backend.address()
        );
        let agent = Agent::start(folder(&root.path().join(number.to_string())), &config);
        let address = agent.http();
        let answered = Arc::new(AtomicUsize::new(0));
        let senders: Vec<_> = (0..20)
            .map(|number| {
                let (address, answered) = (address.clone(), Arc::clone(&answered));
                std::thread::spawn(move || {
                    let body = otlp::log(&format!("{number}"));
                    let status = http::post(&address, "/v1/logs", &[PROTOBUF], &body).status;
                    answered.fetch_add(1, Ordering::Relaxed);
                    status
                })
            })
            .collect();
        let taken =
            || agent.counter("throughline_exporter_held_items", "") + answered.load(Ordering::Relaxed) as f64;
        await_that("all are taken in", || taken() >= 20.0);
        // With ten minutes to wait, only an agent that does not wait ends within the test's patience.
        let ended = agent.stop();
        assert_eq!(ended.code, Some(0), "{}", ended.log);
        let statuses: BTreeSet<u16> =
            senders.into_iter().map(|sender| sender.join().expect("no panic")).collect();
        assert_eq!(statuses, BTreeSet::from([if number == 0 { 200 } else { 503 }]));
    }
}

#[test]
fn a_signal_during_the_start_is_heard() {
    let root = tempfile::tempdir().expect("there is a temporary folder");
    let config = "
receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}}
extensions: {file_storage: {directory: ../storage, create_directory: true, timeout: 10m}}
exporters: {otlp_http: {endpoint: 'http://127.0.0.1:1', sending_queue: {storage: file_storage}}}
service:
  extensions: [file_storage]
  pipelines: {logs: {receivers: [otlp], exporters: [otlp_http]}}
";
    let holder = Agent::start(folder(&root.path().join("holder")), config);
    let waiting = Agent::spawn(folder(&root.path().join("waiting")), config, &[]);
    await_that("it waits for the storage", || {
        waiting.log().contains("nothing is kept on disk") || !waiting.log().is_empty()
    });
    std::thread::sleep(Duration::from_millis(300));
    let ended = waiting.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(!ended.log.contains("\"message\":\"ready\""), "{}", ended.log);
    assert_eq!(holder.stop().code, Some(0));
}

#[test]
fn health_answers_while_the_only_thread_for_data_walks_over_a_large_request() {
    let root = tempfile::tempdir().expect("there is a temporary folder");
    let config = "
receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}}
extensions: {health_check: {endpoint: '127.0.0.1:0'}}
processors: {change: , secrets: }
exporters: {file: {path: out.jsonl}}
service:
  memory_budget: 500MiB
  extensions: [health_check]
  pipelines: {logs: {receivers: [otlp], processors: [change, secrets], exporters: [file]}}
";
    let agent = Agent::start_on_one_core(root.path(), config);
    let record =
        otlp::log_record("a line of a log with password=hunter2 and nothing else ".repeat(8).as_bytes());
    let body = otlp::logs(&vec![record; 30_000]);
    let (address, done) = (agent.http(), Arc::new(AtomicBool::new(false)));
    let told = Arc::clone(&done);
    let sender = std::thread::spawn(move || {
        let status = http::post(&address, "/v1/logs", &[PROTOBUF], &body).status;
        told.store(true, Ordering::Relaxed);
        status
    });
    await_that("the request has arrived", || agent.counter("throughline_memory_held_bytes", "") > 10e6);
    let (health, mut answers) = (agent.address("health_check", "/"), 0);
    while !done.load(Ordering::Relaxed) {
        assert_eq!(http::get(&health, "/").status, 200);
        assert_eq!(http::get(&agent.telemetry(), "/metrics").status, 200);
        answers += 1;
    }
    assert_eq!(sender.join().expect("no panic"), 200);
    assert!(answers >= 5, "{answers} answers while the walk went on");
}
