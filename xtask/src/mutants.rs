//! `cargo xtask mutants`: would the tests notice? Lines are changed one at a time, and some test must fail.

use anyhow::{Result, bail};

use crate::shell::{answers, cargo, run, say, target};

/// The crates on which acknowledged data depends.
const GUARDED: [&str; 3] = ["throughline-queue", "throughline-graph", "throughline-component"];

/// Tries all mutants of these crates, or of the packages and files that are named. First each with the tests of its own crate,
/// of which the long ones do a twentieth; then what that left alive with all tests of the three, at full length. What
/// survives on purpose is in `.cargo/mutants.toml`, with the reason.
pub(crate) fn mutants(what: &[&str]) -> Result<()> {
    if !answers("cargo", &["mutants", "--version"]) {
        bail!("cargo-mutants is not installed (cargo install --locked cargo-mutants)");
    }
    let mut first = tried(what, "20");
    first.env("SMALL_TESTS", "1");
    if run(first).is_ok() {
        return Ok(());
    }
    say("what is left is tried with all tests");
    let mut second = tried(what, "120");
    second.args(["--iterate", "--test-package", &GUARDED.join(",")]);
    run(second)
}

fn tried(what: &[&str], timeout: &str) -> std::process::Command {
    let mut tried = cargo(&["mutants", "--no-shuffle", "--jobs", "1", "--timeout", timeout, "--output"]);
    tried.arg(target());
    if answers("cargo", &["nextest", "--version"]) {
        // It stops at the first test that fails.
        tried.arg("--test-tool=nextest");
    }
    let (files, packages): (Vec<&str>, Vec<&str>) = what.iter().partition(|name| name.ends_with(".rs"));
    let packages = if packages.is_empty() { &GUARDED[..] } else { &packages };
    tried.args(files.iter().flat_map(|file| ["--file", file]));
    tried.args(packages.iter().flat_map(|package| ["--package", package]));
    // What is built for every mutant anew is built fast, and what it does for minutes is fast as well.
    tried.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
    tried
}
