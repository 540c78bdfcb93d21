//! Writes what arrives to the agent's log, for people who set up a pipeline.

use schemars::JsonSchema;
use serde::Deserialize;
use throughline_component::{Batch, Build, ComponentId, ConfigError, Delivery, Exporter, Factory, Outcome};
use throughline_otlp::json;

pub(crate) const FACTORY: Factory = Factory::exporter::<Debug>("debug");

/// Writes what arrives to the agent's log.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("x-not-supported" = ["sampling_initial", "sampling_thereafter", "use_internal_logger", "output_paths"]))]
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
    /// Every request, as OTLP/JSON.
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
                let text = String::from_utf8_lossy(&json::encode(batch.signal, &chunk.bytes)).into_owned();
                tracing::info!(exporter = %self.id, signal = %batch.signal, request = %text, "request");
            }
        }
        Outcome::DONE
    }
}
