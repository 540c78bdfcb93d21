//! What a running agent knows of each change, over HTTP and by the command line.

use serde_json::{Value as Json, json};
use throughline_tests::github::{Delivery, change};
use throughline_tests::{Agent, await_that, cli, http};

const CONFIG: &str = "
receivers:
  github: {webhook: {endpoint: '127.0.0.1:0', secret: \"It's a Secret to Everybody\"}}
  internal:
processors: {change: {storage: file_storage}, secrets: }
exporters: {changes: {storage: file_storage}}
extensions: {file_storage: {directory: storage, create_directory: true}}
service:
  extensions: [file_storage]
  pipelines:
    logs: {receivers: [github, internal], processors: [change, secrets], exporters: [changes]}
";

fn deliver(agent: &Agent, deliveries: &[Delivery]) {
    let address = agent.address("github", "/events");
    for delivery in deliveries {
        assert_eq!(delivery.send(&address).status, 200, "{delivery:?}");
    }
}

fn get(agent: &Agent, path: &str) -> http::Reply {
    http::get(&agent.telemetry(), path)
}

/// The only change that the deliveries are about. That a commit got another name is told a moment later.
fn id(agent: &Agent) -> String {
    let listed = || get(agent, "/changes").json()["changes"].as_array().cloned().unwrap_or_default();
    await_that("there is one change", || listed().len() == 1);
    listed()[0]["change_id"].as_str().expect("a name").to_owned()
}

fn told(agent: &Agent, id: &str) -> Json {
    let reply = get(agent, &format!("/changes/{}", id.replace('#', "%23").replace('/', "%2F")));
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

#[test]
fn a_change_is_told_the_same_whatever_the_order_of_its_deliveries_and_after_a_crash() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let agent = Agent::start(folder.path(), CONFIG);
    deliver(&agent, &change());
    let id = id(&agent);
    let first = told(&agent, &id);
    assert!(first["stages"].as_array().is_some_and(|stages| stages.len() > 3), "{first:#}");
    assert!(first["links"].as_array().is_some_and(|links| !links.is_empty()), "{first:#}");
    agent.assert_sound();
    agent.kill();
    let agent = Agent::start(folder.path(), CONFIG);
    assert_eq!(told(&agent, &id), first, "after a crash");
    agent.signal("HUP");
    agent.await_log("reloaded");
    assert_eq!(told(&agent, &id), first, "after a reload");
    assert_eq!(agent.stop().code, Some(0));

    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let agent = Agent::start(folder.path(), CONFIG);
    let mut backwards = change();
    backwards.reverse();
    deliver(&agent, &backwards);
    await_that("there is one change", || get(&agent, "/changes").json()["known"] == 1);
    let mut other = told(&agent, &id);
    // The merge commit was named before anybody said whose it is, and that name was given out.
    other.as_object_mut().and_then(|report| report.remove("former_names")).expect("it had another name");
    assert_eq!(other, first, "in the other order");
    agent.assert_sound();
}

#[test]
fn a_change_is_found_by_id_key_commit_and_address_and_what_is_wrong_is_said() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let agent = Agent::start(folder.path(), CONFIG);
    deliver(&agent, &change());
    let id = id(&agent);
    let report = told(&agent, &id);
    let commit = report["links"][0]["commit_sha"].as_str().expect("a commit");
    let (repository, number) = id.rsplit_once('#').expect("a pull request");
    let key = report["change_key"].as_str().expect("a key");
    for wanted in
        [key, commit, &commit[..7], &format!("https://{repository}/pull/{number}"), &format!("#{number}")]
    {
        assert_eq!(told(&agent, wanted)["change_id"], json!(id), "{wanted}");
    }
    for (path, status, part) in [
        ("/changes/nobody%2Fknows%231", 404, "no change that is remembered"),
        ("/changes?stuck=soon", 400, "for example stuck=30m"),
        ("/changes?state=lost", 400, "waiting, running, failed or done"),
        ("/changes?enviroment=production", 400, "there is no parameter `enviroment`"),
        ("/changes?limit=1000000", 400, "from 1 to 1000"),
    ] {
        let reply = get(&agent, path);
        assert_eq!(reply.status, status, "{path}: {}", reply.text());
        assert!(reply.text().contains(part), "{path}: {}", reply.text());
    }
    assert_eq!(http::post(&agent.telemetry(), "/changes", &[], b"{}").status, 405);
    // Its deliveries are years old, and it is not in production.
    let names = |path: &str| get(&agent, path).json()["changes"].as_array().map_or(0, Vec::len);
    let is_done = report["state"] == "done";
    assert_eq!(names("/changes?stuck"), usize::from(!is_done));
    assert_eq!(names("/changes?environment=nowhere"), 0);
    assert_eq!(
        names(&format!("/changes?repository={}", repository.rsplit('/').next().unwrap_or_default())),
        1
    );
}

#[test]
fn the_command_line_prints_what_the_agent_knows() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let agent = Agent::start(folder.path(), CONFIG);
    deliver(&agent, &change());
    let id = id(&agent);
    let at = agent.telemetry();
    let run = |arguments: &[&str]| {
        let output = cli(folder.path(), &[arguments, &["--agent", &at]].concat());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, listing, error) = run(&["changes"]);
    assert_eq!(code, Some(0), "{error}");
    assert!(listing.contains(&id) && listing.contains("1 shown, 1 fit, 1 known"), "{listing}");
    let (code, story, error) = run(&["change", &id]);
    assert_eq!(code, Some(0), "{error}");
    for part in [&*id, "stage", "waited", "took", "outcome", "opened", "LINKED COMMITS"] {
        assert!(story.contains(part), "{part} is not in\n{story}");
    }
    let (code, text, _) = run(&["change", &id, "--json"]);
    assert_eq!((code, serde_json::from_str::<Json>(&text).ok()), (Some(0), Some(told(&agent, &id))));
    let (code, _, error) = run(&["change", "#999999"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("no change that is remembered"), "{error}");
    for wrong in
        [["changes", "--stuck=soon"], ["changes", "--state=lost"], ["changes", "--limit=0"], ["change", ""]]
    {
        let (code, _, error) = run(&wrong);
        assert_eq!(code, Some(2), "{wrong:?}: {error}");
    }
    let (code, listing, _) = run(&["changes", "--environment", "prod"]);
    assert_eq!((code, listing.contains(&id)), (Some(0), true), "{listing}");
}

#[test]
fn who_asks_an_agent_that_keeps_no_timelines_or_is_not_there_is_told_so() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let without = "
receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}}
exporters: {debug: }
service: {pipelines: {logs: {receivers: [otlp], exporters: [debug]}}}
";
    let agent = Agent::start(folder.path(), without);
    let ask = |address: &str| {
        let output = cli(folder.path(), &["changes", "--agent", address]);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = ask(&agent.telemetry());
    assert!(said.contains("put the `changes` exporter into a pipeline"), "{said}");
    let said = ask(&http::free_address());
    assert!(said.contains("--agent names the telemetry address"), "{said}");
}

#[test]
fn two_exporters_of_changes_are_an_error_of_the_file() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let two = CONFIG
        .replace("exporters: {changes: {storage: file_storage}}", "exporters: {changes: , changes/other: }")
        .replace("exporters: [changes]", "exporters: [changes, changes/other]");
    std::fs::write(folder.path().join("two.yaml"), two).expect("the folder can be written");
    let output = cli(folder.path(), &["validate", "--config", "two.yaml"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("serves /changes already"), "{said}");
}

#[test]
fn what_was_remembered_and_cannot_be_read_shows_before_the_first_request() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let with_health = CONFIG
        .replace("extensions: {", "extensions: {health_check: {endpoint: '127.0.0.1:0'}, ")
        .replace("extensions: [file_storage]", "extensions: [file_storage, health_check]");
    let agent = Agent::start(folder.path(), &with_health);
    deliver(&agent, &change());
    assert_eq!(agent.stop().code, Some(0));
    let mut removed = 0;
    for file in std::fs::read_dir(folder.path().join("storage")).expect("the storage").flatten() {
        if file.file_name().to_string_lossy().starts_with("journal") {
            std::fs::remove_file(file.path()).expect("it is ours");
            removed += 1;
        }
    }
    assert!(removed > 0, "the storage has journals");
    let agent = Agent::start(folder.path(), &with_health);
    let health = || http::get(&agent.address("health_check", "/"), "/");
    await_that("it is not ready", || health().status == 503);
    assert!(health().text().contains("it was there, and is gone"), "{}", health().text());
    // However often it is tried.
    for _ in 0..20 {
        drop(get(&agent, "/changes"));
        drop(change()[0].send(&agent.address("github", "/events")));
    }
    let told =
        agent.log().lines().filter(|line| line.contains("cannot be read; it takes nothing in")).count();
    assert!(told <= removed, "once a minute for each component: {told}");
}
