//! The agent as a child process: started, asked where it listens, stopped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// A running agent.
pub(super) struct Child {
    process: tokio::process::Child,
    pub(super) addresses: Addresses,
}

/// Where it listens.
#[derive(Debug)]
pub(super) struct Addresses {
    pub(super) grpc: String,
    pub(super) http: String,
    pub(super) github: String,
    pub(super) prometheus: String,
    pub(super) telemetry: String,
    pub(super) health: String,
}

/// Every address on a free port, so that nothing on the machine is in the way. A second file, so that what runs can be run
/// again: `throughline run --config quickstart.yaml --config demo.yaml`.
const PORTS: &str =
    "# Given behind quickstart.yaml: free ports of this machine only, and a log that the demo reads.
receivers:
  otlp: {protocols: {grpc: {endpoint: '127.0.0.1:0'}, http: {endpoint: '127.0.0.1:0'}}}
  github: {webhook: {endpoint: '127.0.0.1:0'}}
exporters:
  prometheus: {endpoint: '127.0.0.1:0'}
extensions:
  health_check: {endpoint: '127.0.0.1:0'}
service:
  telemetry: {metrics: {address: '127.0.0.1:0'}, logs: {encoding: json}}
";

/// Says that a folder is a demo's, so that the next may clear it.
const MARKER: &str = ".throughline-demo";

impl Child {
    pub(super) async fn start(folder: &Path, config: &str, webhook_secret: &str) -> Result<Self, String> {
        let io =
            |what: &str, error: std::io::Error| format!("cannot {what} in {}: {error}", folder.display());
        std::fs::create_dir_all(folder).map_err(|error| io("make the folder", error))?;
        let marker = folder.join(MARKER);
        let mut entries = std::fs::read_dir(folder).map_err(|error| io("look", error))?;
        if !marker.exists() && entries.next().is_some() {
            return Err(format!(
                "{} is not empty, and no demo made it; name another folder",
                folder.display()
            ));
        }
        std::fs::write(marker, "").map_err(|error| io("write", error))?;
        // What an earlier demo left would be told as this one's story.
        drop(std::fs::remove_dir_all(folder.join("throughline")));
        for (name, text) in [("quickstart.yaml", config), ("demo.yaml", PORTS)] {
            std::fs::write(folder.join(name), text).map_err(|error| io("write", error))?;
        }
        let log = folder.join("agent.log");
        let file = std::fs::File::create(&log).map_err(|error| io("write", error))?;
        let program =
            std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
        let mut command = Command::new(program);
        command.args(["run", "--config", "quickstart.yaml", "--config", "demo.yaml"]);
        command.current_dir(folder).env("GITHUB_WEBHOOK_SECRET", webhook_secret);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).kill_on_drop(true);
        let mut process = command.spawn().map_err(|error| format!("cannot start the agent: {error}"))?;
        let addresses = addresses(&log, &mut process).await?;
        Ok(Self { process, addresses })
    }

    pub(super) async fn stop(&mut self, patience: Duration) -> Result<(), String> {
        let Some(id) = self.process.id() else { return Ok(()) };
        // The shell's kill: sending a signal needs `unsafe` or another dependency.
        let told = Command::new("kill").arg(id.to_string()).status().await;
        if told.is_err() {
            drop(self.process.start_kill());
        }
        match tokio::time::timeout(patience, self.process.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!("the agent ended with {status}")),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the agent did not stop".into()),
        }
    }
}

/// Reads the agent's log until it says that it is ready.
async fn addresses(log: &PathBuf, process: &mut tokio::process::Child) -> Result<Addresses, String> {
    for _ in 0..500 {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        if text.lines().any(|line| line.contains("\"message\":\"ready\"")) {
            return parse(&text).ok_or_else(|| "the agent does not say where it listens".to_owned());
        }
        if let Ok(Some(status)) = process.try_wait() {
            return Err(format!("the agent ended with {status}:\n{text}"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err("the agent was not ready within ten seconds".into())
}

fn parse(log: &str) -> Option<Addresses> {
    let mut by_path = BTreeMap::new();
    for line in log.lines() {
        let Ok(entry) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        if entry["message"] == "listening" {
            let key = format!("{} {}", entry["component"].as_str()?, entry["path"].as_str()?);
            by_path.insert(key, entry["address"].as_str()?.to_owned());
        }
    }
    let take = |component: &str, path: &str| {
        let found = by_path.iter().find(|(key, _)| key.starts_with(component) && key.contains(path));
        found.map(|(_, address)| address.clone())
    };
    Some(Addresses {
        grpc: take("otlp ", "/opentelemetry.proto")?,
        http: take("otlp ", "/v1/")?,
        github: take("github ", "/events")?,
        prometheus: take("prometheus ", "/metrics")?,
        telemetry: take("telemetry ", "/metrics")?,
        health: take("health_check ", "/")?,
    })
}
