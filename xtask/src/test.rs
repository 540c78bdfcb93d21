//! `cargo xtask test`: everything that can be checked on this machine, and a list of what cannot.

use anyhow::{Context, Result, bail};

use crate::shell::{answers, cargo, in_ci, run, say, target};
use crate::{backends, fuzz};

/// Runs all tests, or those whose name contains one of `filters`.
pub(crate) fn test(filters: &[&str]) -> Result<()> {
    let skips = target().join("skipped.txt");
    std::fs::create_dir_all(target())?;
    std::fs::write(&skips, "").with_context(|| format!("cannot write {}", skips.display()))?;
    let mut summary = Summary::default();
    for backend in backends::provision()? {
        say(&format!("  {backend}"));
    }
    summary.step("build of the agent", run(cargo(&["build", "--locked", "-p", "throughline"])))?;
    if filters.is_empty() {
        summary
            .step("build of the benches", run(cargo(&["build", "--locked", "-p", "throughline-benches"])))?;
    }
    let mut tests = cargo(&["test", "--locked", "--workspace", "--no-fail-fast"]);
    if !filters.is_empty() {
        tests.arg("--").args(filters);
    }
    tests.env("THROUGHLINE_CACHE", backends::cache()).env("THROUGHLINE_SKIPPED", &skips);
    let passed = summary.step("tests of the workspace", run(tests));
    let skipped = std::fs::read_to_string(&skips).unwrap_or_default();
    let mut skipped: Vec<&str> = skipped.lines().collect();
    skipped.sort_unstable();
    skipped.dedup();
    let mut built = Ok(());
    if filters.is_empty() {
        match answers("c++", &["--version"]) {
            true => built = summary.step("build of the fuzz targets", run(fuzz::build())),
            false => {
                skipped.push("build of the fuzz targets, because there is no C++ compiler for libFuzzer")
            }
        }
    }
    summary.lines.extend(skipped.iter().map(|line| format!("skipped    {line}")));
    summary.print();
    passed?;
    built?;
    if in_ci() && !skipped.is_empty() {
        bail!("{} steps were skipped, and CI=true", skipped.len());
    }
    Ok(())
}

/// What was done, printed last, where people look.
#[derive(Default)]
struct Summary {
    lines: Vec<String>,
}

impl Summary {
    fn step(&mut self, what: &str, result: Result<()>) -> Result<()> {
        self.lines.push(format!("{:<10} {what}", if result.is_ok() { "ok" } else { "FAILED" }));
        result
    }

    fn print(&self) {
        say("\nSummary");
        self.lines.iter().for_each(|line| say(&format!("  {line}")));
    }
}
