//! `kill -9` with a destination that is down: what was answered 200 arrives after a restart (invariant 4).

use std::collections::BTreeSet;
use std::path::Path;

use throughline_tests::{Agent, await_that, http, records};

use crate::otlp;

fn stored(destination: &str) -> String {
    format!(
        "
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:0'}}}}}}}}
extensions: {{file_storage: {{directory: storage, create_directory: true}}}}
exporters:
  otlp_http:
    endpoint: 'http://{destination}'
    sending_queue: {{storage: file_storage}}
    retry_on_failure: {{initial_interval: 100ms, max_interval: 200ms, max_elapsed_time: 0s}}
service:
  extensions: [file_storage]
  pipelines:
    logs: {{receivers: [otlp], exporters: [otlp_http]}}
"
    )
}

fn destination(folder: &Path, address: &str) -> Agent {
    std::fs::create_dir_all(folder).expect("the test's folder can be written");
    Agent::start(
        folder,
        &format!(
            "
receivers: {{otlp: {{protocols: {{http: {{endpoint: '{address}'}}}}}}}}
exporters: {{file: {{path: logs.jsonl}}}}
service: {{pipelines: {{logs: {{receivers: [otlp], exporters: [file]}}}}}}
"
        ),
    )
}

#[test]
fn every_request_that_was_answered_200_arrives_after_kill_9_and_a_restart() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    // An address that nobody serves until the end.
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let address = free.expect("the loopback interface has a free port").to_string();
    let config = stored(&address);
    let mut acknowledged = BTreeSet::new();
    for round in 0..3 {
        let agent = Agent::start(folder.path(), &config);
        let to = agent.http();
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                let to = to.clone();
                std::thread::spawn(move || {
                    let mut kept = Vec::new();
                    // Until the agent is gone.
                    for number in 0.. {
                        let body = format!("{round} {sender} {number}");
                        let headers = [("content-type", "application/x-protobuf")];
                        match http::request(&to, "POST", "/v1/logs", &headers, &otlp::log(&body)) {
                            Ok(reply) if reply.status == 200 => kept.push(body),
                            Ok(reply) => panic!("{} {}", reply.status, reply.text()),
                            Err(_) => break,
                        }
                    }
                    kept
                })
            })
            .collect();
        let accepted = || agent.counter("otelcol_receiver_accepted_log_records", "receiver=\"otlp\"");
        await_that("some are acknowledged", || accepted() > 60.0);
        agent.kill();
        for sender in senders {
            acknowledged.extend(sender.join().expect("no sender panics"));
        }
    }
    assert!(acknowledged.len() >= 150, "{} were acknowledged", acknowledged.len());

    let sink = destination(&folder.path().join("sink"), &address);
    let agent = Agent::start(folder.path(), &config);
    let path = sink.folder().join("logs.jsonl");
    let arrived = || records::read(&path).iter().map(records::Record::body).collect::<BTreeSet<_>>();
    await_that("all that was acknowledged arrives", || acknowledged.is_subset(&arrived()));
    agent.assert_sound();
    assert_eq!(agent.stop().code, Some(0));
    sink.assert_sound();
}
