//! Writes what arrives to the agent's log, for people who set up a pipeline.

use schemars::JsonSchema;
use serde::Deserialize;
use throughline_component::{Batch, Build, ComponentId, ConfigError, Delivery, Exporter, Factory, Outcome};
use throughline_config::reasons;
use throughline_otlp::{Signal, json};

pub(crate) const FACTORY: Factory = Factory::exporter::<Debug>("debug");

/// Writes what arrives to the agent's log.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(
    extend("x-not-supported" = reasons(&[
        ("output_paths", "the agent's log goes to standard error; the `file` exporter writes files"),
    ])),
    extend("x-without-meaning" = reasons(&[
        ("sampling_initial", "every batch is shown"),
        ("sampling_thereafter", "every batch is shown"),
        ("use_internal_logger", "it always is the agent's log, masked like everything else"),
    ]))
)]
pub(crate) struct Config {
    /// How much to write.
    verbosity: Verbosity,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Verbosity {
    /// A line a batch with its size.
    #[default]
    Basic,
    /// The same.
    Normal,
    /// Every request, as OTLP/JSON; of one that is longer than 256 KiB the beginning.
    Detailed,
}

pub(crate) struct Debug {
    id: ComponentId,
    verbosity: Verbosity,
}

impl Exporter for Debug {
    type Config = Config;
    const DELIVERY: Delivery = Delivery::Direct;

    fn build(config: Config, cx: &Build) -> Result<Self, ConfigError> {
        Ok(Self { id: cx.id.clone(), verbosity: config.verbosity })
    }

    async fn export(&self, batch: &Batch) -> Outcome {
        tracing::info!(exporter = %self.id, signal = %batch.signal, items = batch.items(), bytes = batch.len_bytes(), "batch");
        if self.verbosity == Verbosity::Detailed {
            for chunk in &batch.chunks {
                let text = shown(batch.signal, &chunk.bytes);
                tracing::info!(exporter = %self.id, signal = %batch.signal, request = %text, "request");
            }
        }
        Outcome::DONE
    }
}

/// The most that is shown of a request: a line of the log is copied several times on its way.
const SHOWN: usize = 256 << 10;

fn shown(signal: Signal, request: &[u8]) -> String {
    match json::encode_within(signal, request, SHOWN) {
        Ok(whole) => String::from_utf8(whole).unwrap_or_default(),
        Err(mut start) => {
            start.truncate(SHOWN);
            format!("{} … (the request has {} bytes)", String::from_utf8_lossy(&start), request.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_request_the_beginning_is_shown() {
        let request = throughline_otlp::build::logs(|request| {
            request.resource(&[("k", "x".repeat(1 << 20).as_str().into())], |_| {});
        });
        let text = shown(Signal::Logs, &request);
        assert!(text.starts_with("{\"resourceLogs\":[") && text.len() < SHOWN + 100, "{}", text.len());
    }
}
