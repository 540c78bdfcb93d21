//! `cargo xtask bench`: the numbers of the README, from this machine.

use anyhow::Result;

use crate::shell::{cargo, command, run, target};

/// Builds what is shipped and measures it against a forwarder that does nothing.
pub(crate) fn bench(seconds: &str) -> Result<()> {
    let packages = ["-p", "throughline", "-p", "throughline-benches"];
    run(cargo(&[&["build", "--locked", "--profile", "dist"], &packages[..]].concat()))?;
    let binary = |name: &str| target().join("dist").join(name).to_string_lossy().into_owned();
    run(command(&binary("harness"), &[&binary("forwarder"), &binary("throughline"), seconds]))
}
