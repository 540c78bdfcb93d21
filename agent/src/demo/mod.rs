//! `demo`: the real agent on loopback, a change played against its ports, and a report made from its outputs alone.

mod child;
mod report;
mod script;
mod traffic;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::show::{print_error, say};
use child::Child;
use script::Script;

/// The configuration that the demo runs, and the one a newcomer reads.
const QUICKSTART: &str = include_str!("../../../examples/quickstart.yaml");

/// Runs the demo.
pub(crate) fn demo(once: bool, seed: u64, folder: Option<PathBuf>) -> ExitCode {
    let folder = folder.unwrap_or_else(|| std::env::temp_dir().join(format!("throughline-demo-{seed}")));
    let runtime = match crate::runtime::aside() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.to_string()),
    };
    match runtime.block_on(perform(once, seed, &folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => failed(&format!("{why}\nthe agent's log is {}", folder.join("agent.log").display())),
    }
}

async fn perform(once: bool, seed: u64, folder: &std::path::Path) -> Result<(), String> {
    let now = jiff::Timestamp::now();
    let script = Script::new(seed, now);
    progress(1, "starting the agent");
    let mut agent = Child::start(folder, QUICKSTART, &script.webhook_secret).await?;
    progress(2, "playing a change: pull request, CI, plan, merge, apply, deployment");
    let sent = traffic::send(&script, &agent.addresses).await?;
    progress(3, "reading what came out");
    let story = report::report(&sent, &script, &agent.addresses, folder).await?;
    say(&story);
    if !once {
        say("\nThe agent stays up and takes your own traffic. Ctrl-C ends it.\n");
        drop(tokio::signal::ctrl_c().await);
    }
    agent.stop(Duration::from_secs(10)).await
}

fn progress(step: u32, what: &str) {
    print_error(&format!("[{step}/3] {what} …"));
}

fn failed(why: &str) -> ExitCode {
    print_error(&format!("the demo failed: {why}"));
    ExitCode::FAILURE
}
