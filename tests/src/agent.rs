//! The agent as a child process.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value as Json;

use crate::http;

/// A running agent, and the folder it runs in. It is killed when dropped.
#[derive(Debug)]
pub struct Agent {
    process: Child,
    folder: PathBuf,
    log: PathBuf,
}

/// How an agent ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Its whole log.
    pub log: String,
}

impl Agent {
    /// Starts `run` with a configuration in a folder, and waits until it is ready.
    ///
    /// Its own metrics get a free port, and its log is JSON. Every other address is the configuration's matter:
    /// `127.0.0.1:0`, and [`Agent::address`] tells what it became.
    pub fn start(folder: &Path, config: &str) -> Self {
        let mut agent = Self::spawn(folder, config, &[]);
        agent.await_ready();
        agent
    }

    /// The same on one core.
    pub fn start_on_one_core(folder: &Path, config: &str) -> Self {
        let status = std::fs::read_to_string("/proc/self/status").expect("tests run on Linux");
        let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let first = allowed.and_then(|list| list.trim().split([',', '-']).next()).expect("there is a core");
        let mut taskset = Command::new("taskset");
        taskset.args(["--cpu-list", first]).arg(program());
        let mut agent = Self::spawn_by(taskset, folder, config);
        agent.await_ready();
        agent
    }

    /// The same with a limit to the files it may have open.
    pub fn start_with_open_files(folder: &Path, config: &str, files: u32) -> Self {
        let mut shell = Command::new("sh");
        let limited = format!("ulimit -n {files} && exec \"$@\"");
        shell.args(["-c", &limited, "sh"]).arg(program());
        let mut agent = Self::spawn_by(shell, folder, config);
        agent.await_ready();
        agent
    }

    /// The same without a subcommand, with more arguments.
    pub fn start_as_a_collector(folder: &Path, config: &str, more: &[&str]) -> Self {
        let mut command = Command::new(program());
        command.args(more);
        let mut agent = Self::spawn_by_as(command, &[], folder, config);
        agent.await_ready();
        agent
    }

    /// The same with environment variables, and without waiting.
    pub fn spawn(folder: &Path, config: &str, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(program());
        command.envs(environment.iter().copied());
        Self::spawn_by(command, folder, config)
    }

    fn spawn_by(command: Command, folder: &Path, config: &str) -> Self {
        Self::spawn_by_as(command, &["run"], folder, config)
    }

    fn spawn_by_as(mut command: Command, subcommand: &[&str], folder: &Path, config: &str) -> Self {
        std::fs::write(folder.join("agent.yaml"), config).expect("the test's folder can be written");
        let log = (0..).map(|n| folder.join(format!("agent-{n}.log"))).find(|path| !path.exists());
        let log = log.expect("some number is free");
        let file = std::fs::File::create(&log).expect("the test's folder can be written");
        command.args(subcommand).args(["--config", "agent.yaml"]);
        command.args(["--set", "service::telemetry::logs::encoding=json"]);
        command.args(["--set", "service::telemetry::metrics::address=127.0.0.1:0"]);
        command.current_dir(folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let process = command.spawn().expect("the agent can be started");
        Self { process, folder: folder.to_owned(), log }
    }

    /// Waits until it says that it is ready.
    pub fn await_ready(&mut self) {
        for _ in 0..1500 {
            if self.log().contains("\"message\":\"ready\"") {
                return;
            }
            if let Some(status) = self.process.try_wait().expect("our own child can be asked") {
                panic!("the agent ended with {status}:\n{}", self.log());
            }
            pause();
        }
        panic!("the agent is not ready:\n{}", self.log());
    }

    /// The address on which a component serves a path that contains `path`.
    pub fn address(&self, component: &str, path: &str) -> String {
        let entries = self.entries();
        let mut heard = entries.iter().rev().filter(|entry| entry["message"] == "listening");
        let found = heard.find(|entry| {
            entry["component"] == component && entry["path"].as_str().is_some_and(|at| at.contains(path))
        });
        let address = found.and_then(|entry| entry["address"].as_str());
        address.unwrap_or_else(|| panic!("{component} does not listen at {path}:\n{}", self.log())).to_owned()
    }

    /// Where the OTLP receiver `otlp` takes gRPC.
    pub fn grpc(&self) -> String {
        self.address("otlp", "/opentelemetry.proto")
    }

    /// Where the OTLP receiver `otlp` takes HTTP.
    pub fn http(&self) -> String {
        self.address("otlp", "/v1/")
    }

    /// Where it tells of itself.
    pub fn telemetry(&self) -> String {
        self.address("telemetry", "/metrics")
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The entries of its log so far.
    pub fn entries(&self) -> Vec<Json> {
        self.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits until an entry of its log says this.
    pub fn await_log(&self, message: &str) {
        await_that(&format!("the log says `{message}`"), || self.log().contains(message));
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Its folder, which its configuration's relative paths start from.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its ledger.
    pub fn ledger(&self) -> Json {
        let reply = http::get(&self.telemetry(), "/ledger");
        serde_json::from_slice(&reply.body).expect("the ledger is JSON")
    }

    /// Its metrics.
    pub fn metrics(&self) -> String {
        http::get(&self.telemetry(), "/metrics").text()
    }

    /// One of its own counters: the sum of all its series whose labels contain `labels`.
    pub fn counter(&self, name: &str, labels: &str) -> f64 {
        let page = self.metrics();
        let series = page.lines().filter(|line| line.starts_with(name) && line.contains(labels));
        series.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }

    /// Checks that it is well: every hop balances (invariant 6) and nothing has panicked.
    pub fn assert_sound(&self) {
        let balanced = || self.ledger()["imbalances"].as_array().is_some_and(Vec::is_empty);
        // An account is read while work goes on; what is between two of its lines shows for a moment.
        for _ in 0..100 {
            if balanced() {
                break;
            }
            pause();
        }
        assert!(balanced(), "the ledger does not balance: {}", self.ledger());
        let log = self.log();
        assert!(!log.contains("panicked"), "something panicked:\n{log}");
    }

    /// Sends it a signal: `TERM`, `HUP`, `KILL` …
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "the agent cannot be signalled");
    }

    /// Sends SIGTERM and waits for the end.
    pub fn stop(self) -> Ended {
        self.signal("TERM");
        self.wait()
    }

    /// Kills it on the spot, as a power cut would end it.
    pub fn kill(mut self) {
        self.process.kill().expect("our own child can be killed");
        self.process.wait().expect("our own child can be waited for");
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Ended {
        let mut ended = None;
        await_that("the agent ends", || {
            ended = self.process.try_wait().expect("our own child can be asked");
            ended.is_some()
        });
        Ended { code: ended.as_ref().and_then(ExitStatus::code), log: self.log() }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Runs the binary with arguments in a folder, to its end.
pub fn cli(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command.output().expect("the binary can be run")
}

/// The binary: `$THROUGHLINE_AGENT`, or the one beside these tests, which is built once if need be.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Some(path) = std::env::var_os("THROUGHLINE_AGENT") {
            return PathBuf::from(path);
        }
        let build = ["build", "--quiet", "--locked", "-p", "throughline"];
        // The Cargo that built these tests: another would build everything anew.
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(build).current_dir(env!("CARGO_MANIFEST_DIR"));
        // What it tells these tests of their package: some build scripts look at it, and would build much anew.
        for (name, _) in std::env::vars_os() {
            let own = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
            if name.to_str().is_some_and(own) {
                cargo.env_remove(name);
            }
        }
        let built = cargo.status();
        assert!(built.is_ok_and(|status| status.success()), "the agent does not build");
        crate::backends::profile_folder().join("throughline")
    })
}

/// Waits until something holds; gives up after half a minute, which only a failing test sees.
pub fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if holds() {
            return;
        }
        pause();
    }
    panic!("waited in vain until {what}");
}

fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}
