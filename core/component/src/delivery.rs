//! How data reaches an exporter, and the settings that come with it.

use schemars::JsonSchema;
use serde::Deserialize;
use throughline_config::{self as config, Optional, reasons};

use crate::ConfigError;

/// How data reaches an exporter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Through a bounded queue with consumers, retries and a deadline: the settings of [`DeliverySettings`] are added to
    /// the exporter's own.
    Queued,
    /// Straight, one batch at a time: sinks on this machine (a file, a registry) that answer at once.
    Direct,
}

/// The settings every queued exporter has beside its own, with the Collector's names.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DeliverySettings {
    /// How long one attempt may take. `0s`: no limit. Unset: the Collector's defaults, 5 s for gRPC and 30 s for
    /// HTTP.
    pub timeout: Option<config::Duration>,
    /// Retries after failures that may be temporary.
    pub retry_on_failure: RetrySettings,
    /// The queue between the pipeline and the exporter.
    pub sending_queue: Optional<QueueSettings>,
}

impl Default for DeliverySettings {
    fn default() -> Self {
        Self {
            timeout: None,
            retry_on_failure: RetrySettings::default(),
            sending_queue: Optional::On(QueueSettings::default()),
        }
    }
}

/// How an export is tried again, and for how long.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetrySettings {
    /// Whether to retry at all. If not, the sender is told to send again.
    pub enabled: bool,
    /// The delay after the first failure.
    pub initial_interval: config::Duration,
    /// How much each delay varies at random, as a fraction of it.
    pub randomization_factor: f64,
    /// The factor by which each delay is longer than the one before.
    pub multiplier: f64,
    /// The longest delay.
    pub max_interval: config::Duration,
    /// How long to go on, waiting in the queue and exporting included, before the sender is told to try again. `0s`: for ever.
    /// Unset: 5 minutes for data in memory, whose sender waits; data in a storage is kept and tried for ever unless this is set.
    pub max_elapsed_time: Option<config::Duration>,
    /// The longest delay that a destination may ask for (`Retry-After`, `RetryInfo`); longer ones are shortened
    /// to it.
    pub max_retry_after: config::Duration,
    /// What to do with data when the destination answers with an error that OTLP calls permanent although it says nothing
    /// about the data: wrong credentials, a missing route, an error of the server.
    pub on_permanent_error: OnPermanentError,
}

/// What to do with data after a permanent error that says nothing about the data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnPermanentError {
    /// Keep it and try again, as after any other failure. See `docs/adr/0006-permanent-errors-park.md`.
    #[default]
    Park,
    /// Drop it, as the Collector does; counted and logged.
    Drop,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            enabled: true,
            initial_interval: config::Duration::from_secs(5),
            randomization_factor: 0.5,
            multiplier: 1.5,
            max_interval: config::Duration::from_secs(30),
            max_elapsed_time: None,
            max_retry_after: config::Duration::from_secs(300),
            on_permanent_error: OnPermanentError::Park,
        }
    }
}

impl DeliverySettings {
    /// What no type can say of them.
    ///
    /// # Errors
    /// The first value that makes no sense, as the Collector sees it.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let retry = &self.retry_on_failure;
        let bad = |key: &str, why: &str| Err(ConfigError::new(&format!("retry_on_failure::{key}"), why));
        if !(0.0..=1.0).contains(&retry.randomization_factor) {
            return bad("randomization_factor", "must be from 0 to 1");
        }
        if !(1.0..=1e6).contains(&retry.multiplier) {
            return bad("multiplier", "must be at least 1, and at most a million");
        }
        let max = retry.max_elapsed_time.map(config::Duration::get).filter(|max| !max.is_zero());
        if max.is_some_and(|max| max < retry.initial_interval.get() || max < retry.max_interval.get()) {
            return bad("max_elapsed_time", "must not be less than `initial_interval` or `max_interval`");
        }
        match self.sending_queue.as_ref() {
            Some(queue) if queue.num_consumers == 0 => {
                Err(ConfigError::new("sending_queue::num_consumers", "must be at least 1"))
            }
            Some(queue) if queue.queue_size == 0 => {
                Err(ConfigError::new("sending_queue::queue_size", "must be at least 1"))
            }
            Some(queue) if queue.wait_for_result == Some(false) => Err(ConfigError::new(
                "sending_queue::wait_for_result",
                "not supported: a sender is told what became of its data, never before",
            )),
            _ => Ok(()),
        }
    }
}

/// What waits for the exporter. Unlike the Collector's, a success reply always waits for the result, and a full queue refuses.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("x-not-supported" = reasons(&[
    ("batch", "put the `batch` processor into the pipeline; here it loses nothing"),
])))]
pub struct QueueSettings {
    /// How many batches are sent at the same time.
    pub num_consumers: u32,
    /// How much may wait, in the unit of `sizer`. `service::memory_budget` limits it too.
    pub queue_size: u32,
    /// The storage extension that keeps what waits over a restart. Unset: in memory.
    pub storage: Option<String>,
    /// What `queue_size` counts. Items and bytes that are being sent count too, and the last request that is
    /// accepted may exceed the limit.
    pub sizer: Sizer,
    /// Whether senders wait when the queue is full, instead of being refused. They wait for their result in any
    /// case; how many can wait is then limited only by `service::memory_budget`.
    pub block_on_overflow: bool,
    /// Whether senders wait for the result. They always do.
    pub wait_for_result: Option<bool>,
}

/// What a queue's size counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sizer {
    /// Requests as they came.
    #[default]
    Requests,
    /// Spans, log records and data points.
    Items,
    /// Bytes, uncompressed.
    Bytes,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self {
            num_consumers: 10,
            queue_size: 1000,
            storage: None,
            sizer: Sizer::Requests,
            block_on_overflow: false,
            wait_for_result: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused_with_its_path_and_what_is_at_the_edge_is_not() {
        let retry = |settings: &str| format!(r#"{{"retry_on_failure": {{{settings}}}}}"#);
        let queue = |settings: &str| format!(r#"{{"sending_queue": {{{settings}}}}}"#);
        let cases = [
            ("{}".to_owned(), ""),
            (retry(r#""randomization_factor": 0"#), ""),
            (retry(r#""randomization_factor": 1"#), ""),
            (retry(r#""randomization_factor": 1.01"#), "retry_on_failure::randomization_factor"),
            (retry(r#""multiplier": 1"#), ""),
            (retry(r#""multiplier": 1e6"#), ""),
            (retry(r#""multiplier": 0.99"#), "retry_on_failure::multiplier"),
            (retry(r#""max_elapsed_time": "0s""#), ""),
            (retry(r#""max_elapsed_time": "30s""#), ""),
            (retry(r#""max_elapsed_time": "29s""#), "retry_on_failure::max_elapsed_time"),
            (retry(r#""max_elapsed_time": "40s", "initial_interval": "40s""#), ""),
            (
                retry(r#""max_elapsed_time": "39s", "initial_interval": "40s""#),
                "retry_on_failure::max_elapsed_time",
            ),
            (queue(r#""num_consumers": 1, "queue_size": 1"#), ""),
            (queue(r#""num_consumers": 0"#), "sending_queue::num_consumers"),
            (queue(r#""queue_size": 0"#), "sending_queue::queue_size"),
            (queue(r#""sizer": "requests""#), ""),
            (queue(r#""sizer": "bytes""#), ""),
            (queue(r#""block_on_overflow": true"#), ""),
            (queue(r#""wait_for_result": true"#), ""),
            (queue(r#""wait_for_result": false"#), "sending_queue::wait_for_result"),
            (queue(r#""enabled": false"#), ""),
        ];
        for (settings, path) in cases {
            let parsed: DeliverySettings = serde_json::from_str(&settings).expect(&settings);
            let wrong = parsed.validate().err().map(|error| error.path.join("::"));
            assert_eq!(wrong.unwrap_or_default(), path, "{settings}");
        }
    }
}
