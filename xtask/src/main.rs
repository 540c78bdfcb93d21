//! `cargo xtask`: what the repository does to itself. One command for each habit; CI calls the same ones.
//!
//! It imports nothing of ours, so that it builds in seconds and works on a tree that does not.

mod backends;
mod bench;
mod docs;
mod fuzz;
mod lint;
mod mutants;
mod shell;
mod soak;
mod test;

use std::process::ExitCode;

use shell::say;

const HELP: &str = "\
cargo xtask COMMAND

  test [FILTER…]        Runs all tests: provisions the backends, builds the agent and the benches, runs the
                        workspace's tests (those whose name contains FILTER), and sums up. What could not be
                        run is listed as `skipped, because …`; with CI=true a skip is a failure.
  backends              Only provisions what the black-box tests talk to: Prometheus and promtool (Debian
                        packages, unpacked, not installed) and a Python with the OpenTelemetry SDK (PyPI).
                        They go to $THROUGHLINE_CACHE, or `backends` in the target folder; a second call is free.
  lint                  rustfmt, clippy and rustdoc with warnings denied, and `cargo deny` where installed.
  bench [SECONDS]       Builds agent and benches as they are shipped (profile `dist`) and prints costs as ratios
                        to a bare forwarder; SECONDS a round, 4 unless given. Wants a quiet machine.
  fuzz TARGET SECONDS   Runs one fuzz target (see fuzz/fuzz_targets); needs a nightly toolchain and cargo-fuzz.
  soak [FILTER…]        The tests of kills, restarts, reloads, disks and abuse, for minutes instead of seconds.
  mutants [PACKAGE|FILE…]  Changes the code of queue, graph and component (or of what is named) line by line and runs their
                        tests, first a part of them, then all: what no test notices is listed, and is a failure
                        unless .cargo/mutants.toml says why. Takes hours; needs cargo-mutants.
  docs                  Writes docs/reference/ from the settings' doc comments; a test fails while it is behind.
  help                  This text.

Exit codes: 0 all is well, 1 something is not, 2 the command line is wrong.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["test", filters @ ..] => test::test(filters),
        ["backends"] => backends::provision().map(|all| all.iter().for_each(|one| say(&one.to_string()))),
        ["lint"] => lint::lint(),
        ["bench"] => bench::bench("4"),
        ["bench", seconds] => bench::bench(seconds),
        ["fuzz", target, seconds] => fuzz::fuzz(target, seconds),
        ["soak", filters @ ..] => soak::soak(filters),
        ["mutants", packages @ ..] => mutants::mutants(packages),
        ["docs"] => docs::docs(),
        ["help" | "--help" | "-h"] => {
            say(HELP);
            return ExitCode::SUCCESS;
        }
        _ => {
            say(HELP);
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("xtask: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
