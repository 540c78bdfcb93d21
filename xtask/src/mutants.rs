//! `cargo xtask mutants`: would the tests notice? Lines are changed one at a time, and some test must fail.

use anyhow::{Result, bail};

use crate::shell::{answers, cargo, run, target};

/// The crates on which acknowledged data depends.
const GUARDED: [&str; 3] = ["throughline-queue", "throughline-graph", "throughline-component"];

/// Tries all mutants of these crates, or of those that are named. What survives on purpose is in `.cargo/mutants.toml`, with
/// the reason.
pub(crate) fn mutants(packages: &[&str]) -> Result<()> {
    if !answers("cargo", &["mutants", "--version"]) {
        bail!("cargo-mutants is not installed (cargo install --locked cargo-mutants)");
    }
    let packages = if packages.is_empty() { &GUARDED[..] } else { packages };
    let mut tried = cargo(&["mutants", "--no-shuffle", "--jobs", "1", "--timeout", "120", "--output"]);
    tried.arg(target());
    for package in packages {
        tried.args(["--package", package]);
    }
    run(tried)
}
