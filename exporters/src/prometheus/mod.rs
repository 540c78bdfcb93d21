//! A page for Prometheus to scrape: text format, or OpenMetrics with exemplars.
//!
//! Source: Prometheus text format 0.0.4; OpenMetrics 1.0; "Prometheus and OpenMetrics compatibility" of the OpenTelemetry
//! specification; requirement TRP-06 (metrics of a `throughline.*` scope keep their exact names).

mod fold;
mod names;
mod registry;
mod render;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderValue, header};
use schemars::JsonSchema;
use serde::Deserialize;
use throughline_component::port::Clock;
use throughline_component::{
    Batch, Build, ComponentId, ConfigError, Counter, Delivery, Exporter, Factory, Fatal, Outcome, Stop,
};
use throughline_config as config;
use throughline_net::{Authenticator, Body, Handler, Listeners, Reply, Request, Route, ServerSettings};
use throughline_otlp::Signal;

use registry::Registry;

pub(crate) const FACTORY: Factory = Factory::exporter::<Prometheus>("prometheus");

/// Serves the newest value of every series for Prometheus to scrape.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(extend("additionalProperties" = false))]
#[schemars(extend("x-not-supported" = ["resource_to_telemetry_conversion", "resource_constant_labels"]))]
pub(crate) struct Config {
    /// The settings of every server; `endpoint` must be given.
    #[serde(flatten)]
    server: ServerSettings,
    /// Where the page is. `/metrics` unless set.
    #[serde(default = "default_path")]
    path: String,
    /// How the page is written.
    #[serde(flatten)]
    page: Page,
    /// How many series are kept; what comes on top is refused, and counted.
    #[serde(default = "default_max_series")]
    max_series: u32,
}

/// How the page is written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Page {
    /// Goes in front of every name but those of `throughline.*` scopes.
    namespace: String,
    /// Labels of every series.
    const_labels: BTreeMap<String, String>,
    /// Writes the time of each sample.
    send_timestamps: bool,
    /// A series that got no value for so long goes.
    metric_expiration: config::Duration,
    /// Answers OpenMetrics to those who accept it: only there are exemplars.
    enable_open_metrics: bool,
    /// Leaves out `otel_scope_name` and `otel_scope_version`.
    without_scope_info: bool,
    /// How names are made. Unset: as `add_metric_suffixes` says.
    translation_strategy: Option<names::Strategy>,
    /// `false` is the older spelling of `UnderscoreEscapingWithoutSuffixes`.
    add_metric_suffixes: bool,
}

impl Default for Page {
    fn default() -> Self {
        Self {
            namespace: String::new(),
            const_labels: BTreeMap::new(),
            send_timestamps: false,
            metric_expiration: config::Duration::from_secs(300),
            enable_open_metrics: false,
            without_scope_info: false,
            translation_strategy: None,
            add_metric_suffixes: true,
        }
    }
}

impl Page {
    fn strategy(&self) -> names::Strategy {
        let old = if self.add_metric_suffixes {
            names::Strategy::UnderscoreEscapingWithSuffixes
        } else {
            names::Strategy::UnderscoreEscapingWithoutSuffixes
        };
        self.translation_strategy.unwrap_or(old)
    }
}

fn default_path() -> String {
    "/metrics".into()
}

fn default_max_series() -> u32 {
    100_000
}

/// The exporter. Done is said once the data is in the registry.
pub(crate) struct Prometheus {
    id: ComponentId,
    server: ServerSettings,
    auth: Option<Arc<dyn Authenticator>>,
    path: String,
    shared: Arc<Shared>,
    listeners: Arc<Listeners>,
}

/// What the exporter and its page share. The registry outlives a reload.
struct Shared {
    page: Page,
    max_series: usize,
    registry: Arc<Mutex<Registry>>,
    clock: Arc<dyn Clock>,
    refused: [(fold::Refusal, Counter); 5],
}

impl Exporter for Prometheus {
    type Config = Config;
    const SIGNALS: &'static [Signal] = &[Signal::Metrics];
    const DELIVERY: Delivery = Delivery::Direct;

    fn build(config: Config, cx: &Build) -> Result<Self, ConfigError> {
        if config.server.endpoint.is_empty() {
            return Err(ConfigError::new(
                "endpoint",
                "say where to listen, for example `endpoint: localhost:9464`",
            ));
        }
        let listeners = cx.services.get::<Listeners>();
        let refused = fold::Refusal::ALL.map(|refusal| {
            (refusal, cx.counter("throughline_prometheus_refused_points", Some(("reason", refusal.as_str()))))
        });
        Ok(Self {
            id: cx.id.clone(),
            auth: config.server.authenticator(cx)?,
            server: config.server,
            path: config.path,
            shared: Arc::new(Shared {
                page: config.page,
                max_series: config.max_series as usize,
                registry: cx.state(|| Ok::<_, ConfigError>(Mutex::new(Registry::default())))?,
                clock: Arc::clone(&cx.clock),
                refused,
            }),
            listeners: listeners.ok_or_else(|| ConfigError::new("", "the graph offers no listeners"))?,
        })
    }

    async fn export(&self, batch: &Batch) -> Outcome {
        let shared = &self.shared;
        let now = shared.clock.monotonic_nanos();
        let mut registry = shared.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let mut refusals = Vec::new();
        for chunk in &batch.chunks {
            fold::fold(&chunk.bytes, &mut registry, &shared.page, shared.max_series, now, &mut refusals);
        }
        drop(registry);
        let rejected: u64 = refusals.iter().map(|(_, points)| points).sum();
        for (refusal, points) in &refusals {
            let counter = shared.refused.iter().find(|(known, _)| known == refusal);
            counter.into_iter().for_each(|(_, counter)| counter.add(*points));
        }
        let why = refusals.first().map(|(refusal, _)| refusal.explain().into());
        Outcome::Done { rejected: u32::try_from(rejected).unwrap_or(u32::MAX), why }
    }

    async fn run(&self, mut stop: Stop) -> Result<(), Fatal> {
        let route = Route { path: self.path.clone(), handler: Arc::clone(&self.shared) as Arc<dyn Handler> };
        let serving = self.listeners.open(&self.server, self.auth.clone(), &self.id, vec![route]).await?;
        stop.ready();
        stop.stopped().await;
        drop(serving);
        Ok(())
    }
}

impl Handler for Shared {
    fn call(&self, request: Request) -> Pin<Box<dyn Future<Output = Reply> + Send + '_>> {
        let accepts = request.header("accept").unwrap_or_default();
        let open_metrics = self.page.enable_open_metrics && accepts.contains("application/openmetrics-text");
        let (now, unix) = (self.clock.monotonic_nanos(), self.clock.unix_nanos());
        let expiration = u64::try_from(self.page.metric_expiration.get().as_nanos()).unwrap_or(u64::MAX);
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        registry.expire(now.saturating_sub(expiration));
        let text = render::render(&registry, &self.page, open_metrics, unix);
        drop(registry);
        let mut reply = http::Response::new(Body::new(Bytes::from(text)));
        let kind = if open_metrics {
            "application/openmetrics-text; version=1.0.0; charset=utf-8"
        } else {
            "text/plain; version=0.0.4; charset=utf-8"
        };
        reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        Box::pin(std::future::ready(reply))
    }
}
