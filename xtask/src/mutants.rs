//! `cargo xtask mutants`: would the tests notice? Lines are changed one at a time, and some test must fail.

use anyhow::{Result, bail};

use crate::shell::{answers, cargo, run, say, target};

/// The crates on which acknowledged data depends.
const GUARDED: [&str; 3] = ["throughline-queue", "throughline-graph", "throughline-component"];

/// Those whose unit tests alone find most of it, and are built in a third of the time.
const UNIT_TESTED: [&str; 2] = ["throughline-graph", "throughline-component"];

/// Tries all mutants of these crates, or of the packages and files that are named: with unit tests alone where these find most of
/// it; what that left alive with all tests of its own crate, of which the long ones do a twentieth; and what is left then with all
/// tests of the three, at full length. What survives on purpose is in `.cargo/mutants.toml`, with the reason, and which files were
/// done when.
pub(crate) fn mutants(what: &[&str]) -> Result<()> {
    if !answers("cargo", &["mutants", "--version"]) {
        bail!("cargo-mutants is not installed (cargo install --locked cargo-mutants)");
    }
    // What an earlier run found is not gone on with.
    drop(std::fs::remove_dir_all(target().join("mutants.out")));
    let (files, packages): (Vec<&str>, Vec<&str>) = what.iter().partition(|name| name.ends_with(".rs"));
    let packages = if packages.is_empty() { GUARDED.to_vec() } else { packages };
    let is_among = |package: &&str| {
        let folder = package.replacen("throughline-", "core/", 1);
        files.is_empty() || files.iter().any(|file| file.starts_with(&format!("{folder}/")))
    };
    let units: Vec<&str> =
        packages.iter().copied().filter(|package| UNIT_TESTED.contains(package)).filter(is_among).collect();
    if !units.is_empty() {
        let mut first = tried(&files, &units, "20");
        first.args(["--cargo-arg=--lib"]).env("SMALL_TESTS", "1");
        // What it finds is tried again.
        drop(run(first));
        say("what is left is tried with all tests of its crate");
    }
    let mut second = tried(&files, &packages, "20");
    second.args(["--iterate", "--cargo-arg=--lib", "--cargo-arg=--tests"]).env("SMALL_TESTS", "1");
    if run(second).is_ok() {
        return Ok(());
    }
    say("what is left is tried with all tests");
    let mut third = tried(&files, &packages, "120");
    third.args(["--iterate", "--cargo-arg=--lib", "--cargo-arg=--tests"]);
    third.args(["--test-package", &GUARDED.join(",")]);
    run(third)
}

fn tried(files: &[&str], packages: &[&str], timeout: &str) -> std::process::Command {
    let mut tried = cargo(&["mutants", "--no-shuffle", "--jobs", "1", "--timeout", timeout, "--output"]);
    tried.arg(target());
    if answers("cargo", &["nextest", "--version"]) {
        // It stops at the first test that fails.
        tried.arg("--test-tool=nextest");
    }
    tried.args(files.iter().flat_map(|file| ["--file", file]));
    tried.args(packages.iter().flat_map(|package| ["--package", package]));
    // What is built for every mutant anew is built fast. Tests of the queue compute, all others wait.
    let computes = packages.contains(&"throughline-queue");
    tried
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", if computes { "1" } else { "0" });
    tried
}
