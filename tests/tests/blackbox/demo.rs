//! `throughline demo --once`: the promise of the first screen of the README.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use sha2::{Digest, Sha256};
use throughline_tests::{cli, http, records};

/// One run of the demo: its story, and the folder it left.
struct DemoOutput {
    folder: tempfile::TempDir,
    story: String,
}

fn run_demo(seed: &str) -> DemoOutput {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let arguments = ["demo", "--once", "--seed", seed, "--folder", "demo"];
    let output = cli(folder.path(), &arguments);
    let story = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{story}\n{}", String::from_utf8_lossy(&output.stderr));
    DemoOutput { folder, story }
}

impl DemoOutput {
    fn change(&self) -> &str {
        let line = self.story.lines().find_map(|line| line.trim().strip_prefix("THE CHANGE"));
        line.expect("the story names its change").trim()
    }

    /// The stages of the timeline, in its order.
    fn stages(&self) -> Vec<String> {
        let lines = self.story.lines().skip_while(|line| !line.contains("outcome")).skip(1);
        let lines = lines.take_while(|line| !line.trim().is_empty());
        lines.filter_map(|line| line.split_whitespace().nth(2)).map(str::to_owned).collect()
    }

    fn line(&self, marker: &str) -> &str {
        self.story.lines().find(|line| line.contains(marker)).unwrap_or_default()
    }
}

/// The story's repository, number and step follow from the seed by the formula of `agent/src/demo/script.rs`.
fn number(seed: u64, what: &str) -> u64 {
    let digest = hex::encode(Sha256::digest(format!("throughline demo {seed} {what}")));
    u64::from_str_radix(&digest[..15], 16).expect("hex digits")
}

/// The first half of the token that the script's careless step prints; the rest of it is a checksum.
fn token(seed: u64) -> String {
    hex::encode(Sha256::digest(format!("throughline demo {seed} token")))[..30].to_owned()
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the demo left its folder").flatten() {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push((
                entry.path().display().to_string(),
                std::fs::read(entry.path()).expect("a file can be read"),
            ));
        }
    }
    found
}

#[test]
fn the_demo_tells_the_change_that_its_seed_decides() {
    for seed in [1, 7] {
        let told = run_demo(&seed.to_string());
        let pull_request = 100 + number(seed, "pull request") % 9_000;
        assert!(told.change().ends_with(&format!("#{pull_request}")), "{}", told.change());
        let step = ["Lint", "Unit tests", "Policy check"][(number(seed, "step") % 3) as usize];
        assert!(told.line("failure, at").contains(step), "the failing step of seed {seed}\n{}", told.story);
    }
}

#[test]
fn the_timeline_has_every_stage_of_the_change() {
    let told = run_demo("1");
    let stages = told.stages();
    // Requirements EVT: what a pull request, its CI, its plan and apply and its deployment become. What is of one moment may
    // stand in either order.
    let expected = [
        "opened",
        "pipeline",
        "job",
        "pipeline",
        "job",
        "plan",
        "approval",
        "merged",
        "pushed",
        "deployment",
        "apply",
    ];
    assert_eq!(stages, expected, "{}", told.story);
    assert!(told.line("every hop balances").contains("2 deliveries twice (recognised: 2)"), "{}", told.story);
    assert!(told.line("nothing but a commit SHA").contains("spans"), "{}", told.story);
    assert!(told.line("done: deployment in production").contains("since"), "{}", told.story);
    let other = format!("#{}", 101 + number(1, "pull request") % 9_000);
    assert!(told.line(&other).contains("waiting  merge"), "{}", told.story);
    // Requirements §5a: the five metrics of a change.
    for metric in [
        "change_lead_time_seconds_sum",
        "plan_latency_seconds_sum",
        "apply_duration_seconds_sum",
        "change_apply_total",
        "apply_queue_age_seconds",
    ] {
        assert!(!told.line(metric).is_empty(), "{metric} is missing in\n{}", told.story);
    }
}

#[test]
fn the_token_of_the_demo_is_masked_wherever_one_can_look() {
    let told = run_demo("3");
    assert!(told.story.contains("[REDACTED:"), "{}", told.story);
    let token = token(3);
    assert!(!told.story.contains(&token), "the story");
    for (path, bytes) in files(told.folder.path()) {
        assert!(!bytes.windows(token.len()).any(|window| window == token.as_bytes()), "{path}");
    }
    let logs = records::read(&told.folder.path().join("demo/throughline/logs.jsonl"));
    let masked = logs.iter().filter(|log| log.body().contains("[REDACTED:"));
    assert_eq!(masked.count(), 1, "only the line with the token is masked");
}

#[test]
fn two_demos_of_one_seed_tell_the_same_change() {
    let (one, other) = (run_demo("11"), run_demo("11"));
    assert_eq!(one.change(), other.change());
    assert_eq!(one.stages(), other.stages());
    assert_ne!(one.change(), run_demo("12").change());
}

/// A demo that stays up. It stops its agent when it is told to end.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        drop(Command::new("kill").args(["-INT", &self.0.id().to_string()]).status());
        drop(self.0.wait());
    }
}

#[test]
fn the_webhook_call_that_the_demo_prints_works_as_printed() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let demo = Command::new(throughline_tests::program())
        .args(["demo", "--folder", "demo"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program runs");
    let mut demo = Demo(demo);
    let mut lines =
        BufReader::new(demo.0.stdout.take().expect("it has an output")).lines().map_while(Result::ok);
    let before: Vec<String> = lines.by_ref().take_while(|line| !line.contains("SEND A WEBHOOK")).collect();
    let call: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    let ask =
        before.iter().find_map(|line| Some(line.split_once("throughline changes --agent ")?.1.to_owned()));
    let ask = ask.expect("it says how to ask");
    let known = || http::get(&ask, "/changes").json()["known"].as_u64();
    assert_eq!(known(), Some(2), "{before:#?}");
    let said = Command::new("sh").args(["-c", &call.join("\n")]).output().expect("there is a shell");
    assert!(String::from_utf8_lossy(&said.stdout).contains("recorded"), "{said:?} of {call:#?}");
    assert_eq!(known(), Some(3));
}
