//! `cargo xtask lint`: form, lints, documentation and dependencies.

use anyhow::{Result, bail};

use crate::shell::{answers, cargo, run, say};

/// Runs every check, so that one call shows all that is wrong.
pub(crate) fn lint() -> Result<()> {
    let mut doc = cargo(&["doc", "--locked", "--workspace", "--no-deps", "--keep-going"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    let clippy = ["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"];
    let mut checks = vec![cargo(&["fmt", "--all", "--check"]), cargo(&clippy), doc];
    if answers("cargo", &["deny", "--version"]) {
        checks.push(cargo(&["deny", "--locked", "check"]));
    } else {
        say("skipped    cargo deny, because it is not installed (cargo install --locked cargo-deny)");
    }
    let failed: Vec<String> =
        checks.into_iter().filter_map(|check| run(check).err()).map(|e| e.to_string()).collect();
    if !failed.is_empty() {
        bail!("{}", failed.join("; "));
    }
    Ok(())
}
