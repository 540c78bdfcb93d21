//! `cargo xtask mutants`: would the tests notice? Lines are changed one at a time, and some test must fail.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell::{answers, cargo, root, say, target};

/// The crates on which acknowledged data depends.
const GUARDED: [&str; 3] = ["throughline-queue", "throughline-graph", "throughline-component"];

/// What `cargo mutants` ends with: every mutant was found; some were not; some made a test wait for ever.
const FOUND: i32 = 0;
const MISSED: i32 = 2;
const HUNG: i32 = 3;

/// Tries all mutants of these crates, or of the packages and files that are named: with the unit tests alone where there are some
/// beside the code; what these leave alive with all tests of its own crate, of which the long ones do a twentieth; and what is
/// left then with all tests of the three, at full length. What makes a test wait for ever counts as found. What survives on
/// purpose is in `.cargo/mutants.toml`, with the reason, and which files were done when.
pub(crate) fn mutants(what: &[&str]) -> Result<()> {
    if !answers("cargo", &["mutants", "--version"]) {
        bail!("cargo-mutants is not installed (cargo install --locked cargo-mutants)");
    }
    let mut is_all_found = true;
    for (package, files) in files(what)? {
        // What an earlier run found is not gone on with.
        drop(std::fs::remove_dir_all(target().join("mutants.out")));
        is_all_found &= are_found(package, &files)?;
    }
    if !is_all_found {
        bail!("mutants survive");
    }
    Ok(())
}

fn are_found(package: &str, files: &[String]) -> Result<bool> {
    let has_tests = |file: &&String| {
        std::fs::read_to_string(root().join(file)).is_ok_and(|text| text.contains("#[cfg(test)]"))
    };
    let with_tests: Vec<&String> = files.iter().filter(has_tests).collect();
    let all: Vec<&String> = files.iter().collect();
    if !with_tests.is_empty() {
        let found = stage(package, &with_tests, "10", &["--cargo-arg=--lib"], true)?;
        if found && with_tests.len() == all.len() {
            return Ok(true);
        }
        say("what is left is tried with all tests of its crate");
    }
    if stage(package, &all, "25", &["--cargo-arg=--tests"], true)? {
        return Ok(true);
    }
    say("what is left is tried with all tests");
    let guarded = GUARDED.join(",");
    stage(package, &all, "120", &["--cargo-arg=--tests", "--test-package", &guarded], false)
}

/// Tries what no stage before has found; says whether nothing is left.
fn stage(package: &str, files: &[&String], timeout: &str, tests: &[&str], small: bool) -> Result<bool> {
    let mut tried = cargo(&["mutants", "--iterate", "--no-shuffle", "--jobs", "1", "--colors", "never"]);
    tried.args(["--timeout", timeout, "--package", package]).args(tests);
    tried.args(files.iter().flat_map(|file| ["--file", file])).arg("--output").arg(target());
    if small {
        tried.env("SMALL_TESTS", "1");
    }
    // What is built for every mutant anew is built fast. Tests of the queue compute; all others wait, and may do so together.
    let computes = package == "throughline-queue";
    tried
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", if computes { "1" } else { "0" })
        .env("RUST_TEST_THREADS", if computes { "2" } else { "8" });
    let code = code_of(tried)?;
    keep_hung()?;
    Ok(code != MISSED)
}

fn code_of(mut tried: Command) -> Result<i32> {
    say(&format!("▶ {tried:?}"));
    match tried.status().context("cannot start cargo mutants")?.code() {
        Some(code @ (FOUND | MISSED | HUNG)) => Ok(code),
        _ => bail!("cargo mutants could not do its work"),
    }
}

/// What made a test wait for ever is not tried again.
fn keep_hung() -> Result<()> {
    let out = target().join("mutants.out");
    let hung = std::fs::read(out.join("timeout.txt")).unwrap_or_default();
    let mut caught = std::fs::OpenOptions::new().create(true).append(true).open(out.join("caught.txt"))?;
    Ok(caught.write_all(&hung)?)
}

/// The files to try, by package.
fn files(what: &[&str]) -> Result<Vec<(&'static str, Vec<String>)>> {
    let (named, packages): (Vec<&str>, Vec<&str>) = what.iter().partition(|name| name.ends_with(".rs"));
    let mut all = Vec::new();
    for package in GUARDED {
        let mut found = Vec::new();
        sources(&root().join(package.replacen("throughline-", "core/", 1)).join("src"), &mut found)?;
        let found =
            found.iter().filter_map(|path| path.strip_prefix(root()).ok()?.to_str()).map(str::to_owned);
        let is_wanted =
            |file: &String| what.is_empty() || packages.contains(&package) || named.contains(&file.as_str());
        let mut found: Vec<String> = found.filter(is_wanted).collect();
        found.sort_unstable();
        if !found.is_empty() {
            all.push((package, found));
        }
    }
    let is_known =
        |name: &&str| all.iter().any(|(package, files)| package == name || files.iter().any(|f| f == name));
    match what.iter().find(|name| !is_known(name)) {
        Some(unknown) => bail!("{unknown} is neither one of {} nor a file of theirs", GUARDED.join(", ")),
        None => Ok(all),
    }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}
