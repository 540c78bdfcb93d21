//! Refuses data while the process holds too much memory, with a refusal that senders may retry.
//!
//! The agent's byte budget (`service::memory_budget`) already bounds what requests hold, as they arrive; this looks at
//! the process as a whole, with the Collector's options.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use throughline_component::port::Clock;
use throughline_component::{Batch, Build, ConfigError, Counter, Emitter, Factory, Outcome, Processor};
use throughline_config as config;
use throughline_otlp::Signal;

pub(crate) const FACTORY: Factory = Factory::processor::<Limiter>("memory_limiter");

const MIB: u64 = 1 << 20;

/// Refuses data while the process holds too much memory.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("x-without-meaning" = config::reasons(&[
    ("min_gc_interval_when_soft_limited", "there is no garbage collector: what is settled is free at once"),
    ("min_gc_interval_when_hard_limited", "there is no garbage collector: what is settled is free at once"),
])))]
pub(crate) struct Config {
    /// How often memory is measured. The Collector advises `1s`; it must be set.
    check_interval: config::Duration,
    /// The most memory the process may hold.
    limit_mib: u32,
    /// How far below the limit requests begin to be refused. Unset: a fifth of it.
    spike_limit_mib: u32,
    /// The limit as a share of the machine's (or cgroup's) memory, if `limit_mib` is not set.
    limit_percentage: u32,
    /// The spike as a share of the same.
    spike_limit_percentage: u32,
}

pub(crate) struct Limiter {
    soft_limit: u64,
    interval: u64,
    clock: Arc<dyn Clock>,
    checked_at: Option<u64>,
    refusing: bool,
    /// By signal.
    accepted: [Counter; Signal::ALL.len()],
    refused: [Counter; Signal::ALL.len()],
}

impl Processor for Limiter {
    type Config = Config;

    fn build(config: Config, cx: &Build) -> Result<Self, ConfigError> {
        let interval = config.check_interval.get();
        if interval.is_zero() {
            return Err(ConfigError::new(
                "check_interval",
                "must be greater than zero; `1s` is a good value",
            ));
        }
        let (limit, spike) = if config.limit_mib > 0 {
            (u64::from(config.limit_mib) * MIB, u64::from(config.spike_limit_mib) * MIB)
        } else if (1..=100).contains(&config.limit_percentage) {
            let total = total_memory().ok_or_else(|| {
                ConfigError::new("limit_percentage", "this machine does not tell its memory; use `limit_mib`")
            })?;
            let share = |percent: u32| total / 100 * u64::from(percent);
            (share(config.limit_percentage), share(config.spike_limit_percentage))
        } else {
            return Err(ConfigError::new(
                "limit_mib",
                "set `limit_mib`, or `limit_percentage` between 1 and 100",
            ));
        };
        let spike = if spike == 0 { limit / 5 } else { spike };
        if spike >= limit {
            return Err(ConfigError::new("spike_limit_mib", "must be less than the limit"));
        }
        let counters = |what: &str| {
            Signal::ALL.map(|signal| {
                cx.counter(&format!("otelcol_processor_memory_limiter_{what}_{}", signal.items()), None)
            })
        };
        Ok(Self {
            soft_limit: limit - spike,
            interval: u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX),
            clock: Arc::clone(&cx.clock),
            checked_at: None,
            refusing: false,
            accepted: counters("accepted"),
            refused: counters("refused"),
        })
    }

    fn accept(&mut self, batch: Batch, out: &mut Emitter) {
        let now = self.clock.monotonic_nanos();
        if self.checked_at.is_none_or(|at| now.saturating_sub(at) >= self.interval) {
            self.checked_at = Some(now);
            self.refusing = resident().is_some_and(|bytes| bytes > self.soft_limit);
        }
        if self.refusing {
            self.refused[batch.signal as usize].add(batch.items());
            out.settle(batch, &Outcome::retry("the agent's memory is above its soft limit"));
        } else {
            self.accepted[batch.signal as usize].add(batch.items());
            out.send(batch);
        }
    }
}

/// Resident memory of this process, in bytes (Linux).
fn resident() -> Option<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    pages.split_whitespace().nth(1)?.parse::<u64>().ok().map(|pages| pages * 4096)
}

/// The memory there is: the cgroup's limit, if it is less than the machine's.
fn total_memory() -> Option<u64> {
    let cgroup =
        std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let machine = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024;
    Some(cgroup.map_or(machine, |limit: u64| limit.min(machine)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use throughline_component::port::{SystemClock, SystemRandom};
    use throughline_component::{Chunk, ComponentId, Context, Services, Settle};

    fn limiter(limit_mib: u32, spike_limit_mib: u32) -> Result<Limiter, ConfigError> {
        let (clock, random) = (Arc::new(SystemClock::default()), Arc::new(SystemRandom::default()));
        let cx =
            Build { id: ComponentId::new("memory_limiter"), clock, random, services: Services::default() };
        let check_interval = config::Duration::from_secs(1);
        Limiter::build(Config { check_interval, limit_mib, spike_limit_mib, ..Config::default() }, &cx)
    }

    fn offer(limiter: &mut Limiter) -> (usize, Vec<(u64, Outcome)>) {
        let context = Arc::new(Context::internal(ComponentId::new("test"), 0));
        let settle = Settle::nobody();
        let chunk = Chunk { bytes: bytes::Bytes::new(), items: 3, position: None, context, settle };
        let mut out = Emitter::default();
        limiter.accept(Batch::one(Signal::Logs, chunk), &mut out);
        let (emitted, settled) = out.take();
        (emitted.len(), settled)
    }

    #[test]
    fn above_the_soft_limit_data_is_refused_so_that_it_may_be_sent_again() {
        // No process fits into one MiB.
        let mut small = limiter(1, 0).expect("right");
        let (emitted, settled) = offer(&mut small);
        assert_eq!(emitted, 0);
        assert!(matches!(settled.as_slice(), [(3, Outcome::Retry { .. })]));
        assert_eq!(small.refused[Signal::Logs as usize].get(), 3);
        let mut large = limiter(1 << 20, 0).expect("right");
        assert_eq!(offer(&mut large), (1, Vec::new()));
        assert_eq!(large.accepted[Signal::Logs as usize].get(), 3);
    }

    #[test]
    fn limits_that_make_no_sense_are_refused_where_they_stand() {
        assert_eq!(limiter(0, 0).err().expect("no limit").path, ["limit_mib"]);
        assert_eq!(limiter(10, 10).err().expect("no room").path, ["spike_limit_mib"]);
    }
}
