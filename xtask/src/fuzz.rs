//! `cargo xtask fuzz`: the fuzz targets, which stand outside the workspace: to run them takes a nightly toolchain.

use std::process::Command;

use anyhow::{Result, bail};

use crate::shell::{answers, cargo, command, root, run, target};

/// How long an input may be, and how many seconds one may take: 15 microseconds a byte, which is plenty for work that is linear and
/// far too little for work that is not.
const LIMITS: [&str; 2] = ["-max_len=131072", "-timeout=2"];

/// Runs one target for some seconds.
pub(crate) fn fuzz(target: &str, seconds: &str) -> Result<()> {
    if let Some(why) = why_not() {
        bail!("cannot fuzz, because {why}");
    }
    let time = format!("-max_total_time={}", seconds.parse::<u32>()?);
    let [length, timeout] = LIMITS;
    // Without this the length grows over hours.
    run(nightly(&["fuzz", "run", target, "--", &time, length, timeout, "-len_control=0"]))
}

/// Builds all targets with the workspace's toolchain: without coverage they find little, but they are what they would be.
pub(crate) fn build() -> Command {
    let mut build = cargo(&["build", "--locked", "--manifest-path", "fuzz/Cargo.toml"]);
    build.env("CARGO_TARGET_DIR", target().join("fuzz"));
    build
}

/// Why fuzz targets cannot be run here, if they cannot.
fn why_not() -> Option<&'static str> {
    if !answers("rustup", &["run", "nightly", "rustc", "--version"]) {
        return Some("there is no nightly toolchain (rustup toolchain install nightly)");
    }
    let fuzz = answers("rustup", &["run", "nightly", "cargo", "fuzz", "--version"]);
    (!fuzz).then_some("there is no cargo-fuzz (cargo install --locked cargo-fuzz)")
}

fn nightly(arguments: &[&str]) -> Command {
    let mut cargo = command("rustup", &[&["run", "nightly", "cargo"], arguments].concat());
    // The toolchain of the workspace is pinned, and Cargo hands it on to what it starts.
    cargo.current_dir(root()).env_remove("CARGO").env_remove("RUSTC").env_remove("RUSTUP_TOOLCHAIN");
    cargo
}
