//! A subject: a child process pinned to the first core, and what it has used.

use std::process::{Child, Command, Stdio};

/// A running subject.
#[derive(Debug)]
pub struct Subject(Child);

impl Subject {
    /// Starts `program` pinned to core 0, its output thrown away unless `BENCH_VERBOSE` is set.
    ///
    /// # Errors
    /// It cannot be started (`taskset` is part of util-linux).
    pub fn start(program: &str, arguments: &[&str]) -> std::io::Result<Self> {
        let output =
            || if std::env::var_os("BENCH_VERBOSE").is_some() { Stdio::inherit() } else { Stdio::null() };
        let child = Command::new("taskset")
            .args(["-c", "0", program])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output())
            .stderr(output())
            .spawn()?;
        Ok(Self(child))
    }

    /// Nanoseconds of CPU that all its threads have used, to the nanosecond (`schedstat`).
    pub fn cpu_nanos(&self) -> u64 {
        let Ok(tasks) = std::fs::read_dir(format!("/proc/{}/task", self.0.id())) else { return 0 };
        let used = tasks.flatten().filter_map(|task| {
            let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        });
        used.sum()
    }

    /// Resident memory now and at its highest, in bytes.
    pub fn memory(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap_or(0) * 1024
        };
        (field("VmRSS:"), field("VmHWM:"))
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Pins this process to a core.
///
/// # Errors
/// `taskset` is missing.
pub fn pin_self(core: u32) -> std::io::Result<()> {
    let id = std::process::id().to_string();
    Command::new("taskset")
        .args(["-a", "-cp", &core.to_string(), &id])
        .stdout(Stdio::null())
        .status()
        .map(drop)
}
