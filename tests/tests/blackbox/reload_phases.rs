//! A reload in two phases: everything stands beside the old graph before anything changes, and if a part does not, nothing has
//! (architecture, invariant 13).

use std::path::Path;

use throughline_tests::{Agent, await_that, cli, http};

use crate::otlp;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

fn config(receiver: &str, endpoint: &str, extra: &str) -> String {
    format!(
        "
receivers:
  {receiver}: {{protocols: {{http: {{endpoint: '{endpoint}'{extra}}}}}}}
exporters: {{file: {{path: out.jsonl}}}}
service: {{pipelines: {{logs: {{receivers: ['{receiver}'], exporters: [file]}}}}}}
"
    )
}

fn reload(agent: &Agent, config: &str, message: &str) {
    std::fs::write(agent.folder().join("agent.yaml"), config).expect("the folder can be written");
    let before = agent.log().matches(message).count();
    agent.signal("HUP");
    await_that(message, || agent.log().matches(message).count() > before);
}

const RELOADED: &str = "\"message\":\"reloaded\"";
const STAYS: &str = "the new configuration cannot be started, the old one stays";

fn logs(connection: &mut http::KeptAlive) -> u16 {
    connection.post("/v1/logs", &[PROTOBUF], &otlp::log("a"))
}

#[test]
fn a_receiver_may_be_renamed_and_the_settings_of_its_address_may_change() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let address = http::free_address();
    let agent = Agent::start(folder.path(), &config("otlp", &address, ""));
    let mut connection = http::KeptAlive::open(&address);
    assert_eq!(logs(&mut connection), 200);
    reload(&agent, &config("otlp/renamed", &address, ""), RELOADED);
    assert_eq!(logs(&mut connection), 200, "the connection is the same");
    reload(&agent, &config("otlp/renamed", &address, ", max_request_body_size: 1MiB"), RELOADED);
    let mut connection = http::KeptAlive::open(&address);
    assert_eq!(logs(&mut connection), 200);
    let large = otlp::log(&"x".repeat(2 << 20));
    assert_eq!(http::post(&address, "/v1/logs", &[PROTOBUF], &large).status, 413, "the new limit counts");
    agent.assert_sound();
    assert_eq!(agent.stop().code, Some(0));
}

#[test]
fn a_reload_that_cannot_be_started_leaves_every_socket_route_and_connection_as_it_was() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let (address, other) = (http::free_address(), http::free_address());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let busy = taken.local_addr().expect("it is bound").to_string();
    let agent = Agent::start(folder.path(), &config("otlp", &address, ""));
    let mut connection = http::KeptAlive::open(&address);
    assert_eq!(logs(&mut connection), 200);
    // A renamed receiver on the old address, one on a free port, a storage, and at last a port that somebody has.
    let wrong = format!(
        "
receivers:
  otlp/a: {{protocols: {{http: {{endpoint: '{address}', max_request_body_size: 1MiB}}}}}}
  otlp/b: {{protocols: {{http: {{endpoint: '{other}'}}}}}}
  otlp/c: {{protocols: {{http: {{endpoint: '{busy}'}}}}}}
extensions: {{file_storage: {{directory: storage, create_directory: true}}}}
exporters: {{otlp_http: {{endpoint: 'http://127.0.0.1:1', sending_queue: {{storage: file_storage}}}}}}
service:
  extensions: [file_storage]
  pipelines: {{logs: {{receivers: [otlp/a, otlp/b, otlp/c], exporters: [otlp_http]}}}}
"
    );
    for round in 1..=3 {
        reload(&agent, &wrong, STAYS);
        assert_eq!(logs(&mut connection), 200, "the open connection goes on");
        assert_eq!(logs(&mut http::KeptAlive::open(&address)), 200, "and so does the socket");
        assert!(http::connect(&other).is_err(), "what was opened is closed again");
        let failed = agent.counter("throughline_reload_total", "result=\"cannot_start\"");
        assert_eq!(failed, f64::from(round));
    }
    assert!(agent.log().contains(&busy), "the log names the port: {}", agent.log());
    drop(taken);
    reload(&agent, &wrong, RELOADED);
    assert_eq!(logs(&mut connection), 200, "served by the renamed receiver now");
    assert_eq!(agent.counter("throughline_reload_total", "result=\"success\""), 1.0);
    assert_eq!(agent.stop().code, Some(0));
}

#[test]
fn a_port_that_our_own_listener_has_under_another_name_is_handed_over_last_and_comes_back_if_that_fails() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let address = http::free_address();
    let port = address.rsplit_once(':').expect("an address").1;
    let agent = Agent::start(folder.path(), &config("otlp", &address, ""));
    reload(&agent, &config("otlp", &format!("0.0.0.0:{port}"), ""), RELOADED);
    assert_eq!(logs(&mut http::KeptAlive::open(&format!("127.0.0.2:{port}"))), 200, "on every interface now");
    reload(&agent, &config("otlp", &address, ""), RELOADED);
    assert_eq!(logs(&mut http::KeptAlive::open(&address)), 200);
    // Somebody has the port on another interface, so that all of them cannot be had.
    let taken = std::net::TcpListener::bind(format!("127.0.0.3:{port}")).expect("it is free");
    reload(&agent, &config("otlp", &format!("0.0.0.0:{port}"), ""), STAYS);
    assert_eq!(logs(&mut http::KeptAlive::open(&address)), 200, "the old one has its port back");
    drop(taken);
    agent.assert_sound();
    assert_eq!(agent.stop().code, Some(0));
}

#[test]
fn self_telemetry_moves_to_the_address_that_a_reload_gives_it() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let agent = Agent::start(folder.path(), &config("otlp", "127.0.0.1:0", ""));
    let path: &Path = agent.folder();
    let before = std::fs::read_to_string(path.join("agent.yaml")).expect("it is there");
    reload(&agent, &before, RELOADED);
    assert_eq!(http::get(&agent.telemetry(), "/metrics").status, 200, "it survives a reload");
}

fn stored(endpoint: &str, exporter: &str) -> String {
    format!(
        "
receivers: {{otlp: {{protocols: {{http: {{endpoint: '{endpoint}'}}}}}}}}
extensions: {{file_storage: {{directory: storage, create_directory: true}}}}
exporters: {{{exporter}: {{endpoint: 'http://127.0.0.1:1', sending_queue: {{storage: file_storage}}}}}}
service:
  extensions: [file_storage]
  pipelines: {{logs: {{receivers: [otlp], exporters: [{exporter}]}}}}
"
    )
}

#[test]
fn a_reload_tells_of_the_backlog_that_it_strands_and_one_that_fails_leaves_no_cursor_behind() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let address = http::free_address();
    let agent = Agent::start(folder.path(), &stored(&address, "otlp_http"));
    assert_eq!(logs(&mut http::KeptAlive::open(&address)), 200);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let busy = taken.local_addr().expect("it is bound").to_string();
    reload(&agent, &stored(&busy, "otlp_http/renamed"), STAYS);
    let cursors = || {
        let page = agent.metrics();
        let lines = page.lines().filter(|line| line.starts_with("throughline_storage_backlog_bytes"));
        lines
            .map(|line| line.split("destination=\"").nth(1).unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    assert!(cursors().iter().all(|cursor| cursor.starts_with("otlp_http\"")), "{:?}", cursors());
    assert_eq!(cursors().len(), 1);

    reload(&agent, &stored(&address, "otlp_http/renamed"), RELOADED);
    let told = "data waits here for an exporter that the configuration does not feed";
    let entries = agent.entries();
    let told: Vec<_> = entries.iter().filter(|entry| entry["message"] == told).collect();
    assert_eq!(told.len(), 1, "{}", agent.log());
    assert_eq!((&told[0]["destination"], &told[0]["stream"]), (&"otlp_http".into(), &"logs".into()));
    reload(&agent, &config("otlp", &address, ""), RELOADED);
    agent.await_log("data waits in a storage that the configuration does not have any more");
    let list = || cli(folder.path(), &["queue", "--directory", "storage", "ls"]);
    assert!(list().status.success(), "a storage that has left the configuration is nobody's: {:?}", list());
    reload(&agent, &stored(&address, "otlp_http"), RELOADED);
    assert!(!list().status.success(), "it is the agent's again");
    assert_eq!(logs(&mut http::KeptAlive::open(&address)), 200);
    assert_eq!(agent.stop().code, Some(0));
}
