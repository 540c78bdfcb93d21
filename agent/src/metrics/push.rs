//! Sends the agent's own metrics at an interval: `service::telemetry::metrics::readers`, periodic.
//!
//! The OTLP exporters of the pipelines do it, without a queue: what could not be sent is sent again with the next report, which
//! holds everything.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use throughline_component::{
    Batch, Build, Built, Chunk, ComponentId, ConfigError, Context, DynExporter, Kind, Outcome, Services,
    Settle,
};
use throughline_config::{
    MetricsLevel, MetricsTelemetry, OtlpReader, Periodic, ReaderCompression, ReaderProtocol, Secret,
};
use throughline_otlp::Signal;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::resource::Resource;
use super::{families, otlp};
use crate::catalog::factory;
use crate::process_context::ProcessContext;

/// The longest that a stopping agent takes for its last report.
const LAST: Duration = Duration::from_secs(2);

/// A server that takes the agent's own metrics.
pub(crate) struct Push {
    id: ComponentId,
    exporter: Arc<dyn DynExporter>,
    interval: Duration,
    timeout: Duration,
    resource: Resource,
}

/// Ends the reports when it is dropped.
pub(crate) struct Pushing {
    push: Arc<Push>,
    task: JoinHandle<()>,
}

impl Push {
    /// All that the configuration wants.
    ///
    /// # Errors
    /// What is wrong with the settings, in words.
    pub(crate) fn all(
        metrics: &MetricsTelemetry,
        resource: &Resource,
        place: (&ProcessContext, &Services),
    ) -> Result<Vec<Self>, String> {
        let periodic = metrics.periodic().filter(|_| metrics.level != MetricsLevel::None);
        let built = periodic.map(|periodic| Self::build(periodic, resource, place));
        built
            .collect::<Result<_, _>>()
            .map_err(|error| format!("service::telemetry::metrics::readers: periodic: {error}"))
    }

    /// Builds the client. Connects on first use.
    fn build(
        periodic: &Periodic,
        resource: &Resource,
        (process, services): (&ProcessContext, &Services),
    ) -> Result<Self, ConfigError> {
        let to = &periodic.exporter.otlp;
        let (name, settings) = settings(to);
        let id = ComponentId::new(&format!("{name}/telemetry"));
        let cx = Build {
            id: id.clone(),
            clock: Arc::clone(&process.clock),
            random: Arc::clone(&process.random),
            services: services.clone(),
        };
        let factory =
            factory(Kind::Exporter, name).ok_or_else(|| ConfigError::new("", "it is not built in"))?;
        let Built::Exporter(exporter, _) = factory.build(settings, &cx)? else {
            return Err(ConfigError::new("", "it is no exporter"));
        };
        let shorter = |one: u64, other: u64| if other == 0 { one } else { one.min(other) };
        Ok(Self {
            id,
            exporter,
            interval: Duration::from_millis(periodic.interval.max(1)),
            timeout: Duration::from_millis(shorter(periodic.timeout.max(1), to.timeout)),
            resource: resource.clone(),
        })
    }

    /// Starts the reports.
    pub(crate) fn start(self, process: &Arc<ProcessContext>, on: &Handle) -> Pushing {
        let (push, process) = (Arc::new(self), Arc::clone(process));
        let task = on.spawn({
            let push = Arc::clone(&push);
            async move {
                let mut ticks = tokio::time::interval(push.interval);
                ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                ticks.tick().await; // at once, when there is nothing to tell yet
                loop {
                    ticks.tick().await;
                    push.report(&process, push.timeout).await;
                }
            }
        });
        Pushing { push, task }
    }

    async fn report(&self, process: &ProcessContext, timeout: Duration) {
        let now = process.clock.unix_nanos();
        let span = otlp::Span { start: now.saturating_sub(process.clock.monotonic_nanos()), now };
        let (bytes, items) = otlp::request(&families(process), &self.resource, span);
        let context = Arc::new(Context::internal(self.id.clone(), now));
        let chunk = Chunk { bytes, items, position: None, context, settle: Settle::nobody() };
        let batch = Batch::one(Signal::Metrics, chunk);
        let outcome = tokio::time::timeout(timeout, self.exporter.export(&batch)).await;
        let why = match &outcome {
            Ok(Outcome::Done { rejected: 0, .. }) => None,
            Ok(Outcome::Done { rejected, why }) => {
                Some(format!("{rejected} points were refused: {}", why.as_deref().unwrap_or_default()))
            }
            Ok(Outcome::Retry { why, .. } | Outcome::Reject { why, .. }) => Some(why.to_string()),
            Err(_) => Some(format!("no answer within {timeout:?}")),
        };
        if let Some(why) = why {
            process.warnings.warn(&self.id.as_str(), "the agent's own metrics were not taken", 0, &why);
        }
    }
}

impl Pushing {
    /// Sends a last report, and ends.
    pub(crate) async fn finish(self, process: &ProcessContext) {
        self.task.abort();
        self.push.report(process, self.push.timeout.min(LAST)).await;
    }
}

impl Drop for Pushing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The exporter that speaks the protocol, and its settings.
fn settings(to: &OtlpReader) -> (&'static str, Json) {
    let headers: serde_json::Map<String, Json> = to
        .all_headers()
        .into_iter()
        .map(|(name, value)| (name, Json::from(Secret::expose(&value))))
        .collect();
    let compression = match to.compression {
        ReaderCompression::Gzip => "gzip",
        ReaderCompression::None => "none",
    };
    let mut settings = json!({
        "headers": headers,
        "compression": compression,
        "sending_queue": { "enabled": false },
        "tls": {
            "ca_file": to.certificate,
            "cert_file": to.client_certificate,
            "key_file": to.client_key,
            "insecure": to.insecure,
        },
    });
    let (name, key, endpoint) = match to.protocol {
        ReaderProtocol::Grpc => ("otlp_grpc", "endpoint", to.endpoint.clone()),
        ReaderProtocol::Http if has_path(&to.endpoint) => {
            ("otlp_http", "metrics_endpoint", to.endpoint.clone())
        }
        ReaderProtocol::Http => ("otlp_http", "endpoint", to.endpoint.clone()),
    };
    settings[key] = Json::from(endpoint);
    (name, settings)
}

/// Whether there is anything behind the authority.
fn has_path(endpoint: &str) -> bool {
    let rest = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    rest.split_once('/').is_some()
}

#[cfg(test)]
mod tests {
    use super::has_path;

    #[test]
    fn an_endpoint_without_a_path_gets_that_of_metrics() {
        assert!(!has_path("http://backend:4318"));
        assert!(has_path("https://backend/otlp/v1/metrics"));
        assert!(has_path("http://backend:4318/"));
    }
}
