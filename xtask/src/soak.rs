//! `cargo xtask soak`: the tests that could go on for ever do so for minutes: kills, restarts, reloads, full disks, abuse.

use anyhow::Result;

use crate::shell::{cargo, run};

/// Runs the long version of every test that has one, one at a time, so that each has the machine for itself.
pub(crate) fn soak(filters: &[&str]) -> Result<()> {
    run(cargo(&["build", "--locked", "--release", "-p", "throughline"]))?;
    let suites = [
        (&["-p", "throughline-queue", "--test", "it"][..], &[][..]),
        (
            &["-p", "throughline-tests", "--test", "blackbox"][..],
            &["crash", "restarts", "reload", "bounds", "refusals"][..],
        ),
    ];
    for (suite, usual) in suites {
        let mut tests =
            cargo(&[&["test", "--locked", "--release"], suite, &["--", "--test-threads", "1"]].concat());
        tests.args(if filters.is_empty() { usual } else { filters });
        tests.env("THROUGHLINE_SOAK", "1");
        run(tests)?;
    }
    Ok(())
}
