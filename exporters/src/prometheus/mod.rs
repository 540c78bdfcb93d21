//! A page for Prometheus to scrape: text format, or OpenMetrics with exemplars.
//!
//! Source: Prometheus text formats 0.0.4 and 1.0.0; OpenMetrics 1.0; "Prometheus and OpenMetrics compatibility" of the OpenTelemetry
//! specification; requirement TRP-06 (metrics of a `throughline.*` scope keep their exact names).

mod accept;
mod escape;
mod fold;
mod limits;
mod names;
mod pages;
mod point;
mod registry;
mod render;
mod series;
mod size;
mod snapshot;
mod tally;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, header};
use schemars::JsonSchema;
use serde::Deserialize;
use throughline_component::port::Clock;
use throughline_component::{
    Batch, Build, ComponentId, ConfigError, Counter, Delivery, Exporter, Factory, Fatal, Journaled, Outcome,
    SnapshotWatermark, Stop,
};
use throughline_config::{self as config, IncludeExclude};
use throughline_net::{
    Addresses, Authenticator, Body, Handler, Listeners, Reply, Request, Route, ServerSettings,
};
use throughline_otlp::Signal;

use limits::Limits;
use pages::Pages;
use snapshot::State;
use tally::{Refusal, Tally};

pub(crate) const FACTORY: Factory = Factory::exporter::<Prometheus>("prometheus");

/// Serves the newest value of every series for Prometheus to scrape.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(extend("additionalProperties" = false))]
#[schemars(
    extend("x-not-supported" = ServerSettings::unsupported(&[
    ])),
    extend("x-without-meaning" = ServerSettings::without_meaning(&[]))
)]
pub(crate) struct Config {
    /// The settings of every server; `endpoint` must be given.
    #[serde(flatten)]
    server: ServerSettings,
    /// The path of the page. `/metrics` unless set.
    #[serde(default = "default_path")]
    path: String,
    /// How the page is written.
    #[serde(flatten)]
    page: Page,
    /// What is kept at most.
    #[serde(flatten)]
    limits: Limits,
    /// The storage extension that keeps the series over a restart: a snapshot every few seconds, and a stream of what came
    /// since. Unset: in memory.
    storage: Option<String>,
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
    /// A series without a new value for this long is removed.
    metric_expiration: config::Duration,
    /// Answers with OpenMetrics if the scraper accepts it; only that format has exemplars.
    enable_open_metrics: bool,
    /// Which attributes of a resource may become labels of its `target_info`; a `*` at the end stands for any rest. What differs
    /// between signals of one target, such as a commit, must not: `target_info` would be there twice, and joins with it fail.
    target_info_attributes: Vec<String>,
    /// Attributes of the resource that every series has as labels. Never the identity of a change, nor what it is read from:
    /// that would be a new series for each; exemplars carry it.
    resource_constant_labels: Option<IncludeExclude>,
    /// The older spelling: with `enabled`, all attributes of the resource but those.
    resource_to_telemetry_conversion: Conversion,
    /// Leaves out `otel_scope_name` and `otel_scope_version`.
    without_scope_info: bool,
    /// How names are translated. The first two make them of letters, digits and `_`. The others keep them, `http.server.duration`,
    /// with or without suffixes for units and counters; each scraper then gets them as its `Accept` header asks for
    /// (`escaping=allow-utf-8`, `underscores`, `dots` or `values`), or with underscores. Metrics that become one by that are
    /// merged; of two types the first by name is shown. Unset: as `add_metric_suffixes` says.
    translation_strategy: Option<names::Strategy>,
    /// `false` is the older spelling of `UnderscoreEscapingWithoutSuffixes`.
    add_metric_suffixes: bool,
}

/// Whether attributes of a resource become labels.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Conversion {
    /// Whether every series has the attributes of its resource as labels.
    enabled: bool,
    /// Leaves out `service.name`, `service.namespace` and `service.instance.id`, which `job` and `instance` are made of.
    exclude_service_attributes: bool,
}

/// What differs from change to change, or from run to run, and what a change is read from. Never a label.
const OF_ONE_CHANGE: [&str; 13] = [
    "change_id",
    "change_ids",
    "change_key",
    "change_unit_id",
    "commit_sha",
    "git.commit.sha",
    "pull_request",
    "vcs.change.id",
    "vcs.change.title",
    "vcs.ref.base.revision",
    "vcs.ref.head.revision",
    "cicd.pipeline.run.id",
    "cicd.pipeline.run.url.full",
];

/// What `job` and `instance` are made of.
const OF_A_SERVICE: [&str; 3] = ["service.name", "service.namespace", "service.instance.id"];

/// What describes a target and stays as it is while it runs: the bounded entity labels, and the conventions' attributes of
/// services, hosts and platforms.
const DESCRIBING: [&str; 29] = [
    "account",
    "application",
    "cicd.pipeline.name",
    "cicd.worker.*",
    "cloud.*",
    "cluster",
    "container.*",
    "controller",
    "deployment.environment",
    "deployment.environment.name",
    "environment",
    "faas.name",
    "faas.version",
    "host.*",
    "k8s.*",
    "os.*",
    "owner_team",
    "policy_pack",
    "process.runtime.*",
    "region",
    "repository",
    "risk_tier",
    "runner_pool",
    "service.*",
    "stack_id",
    "telemetry.*",
    "vcs.owner.name",
    "vcs.provider.name",
    "vcs.repository.*",
];

impl Default for Page {
    fn default() -> Self {
        Self {
            namespace: String::new(),
            const_labels: BTreeMap::new(),
            send_timestamps: false,
            metric_expiration: config::Duration::from_secs(300),
            enable_open_metrics: false,
            target_info_attributes: DESCRIBING.map(str::to_owned).into(),
            resource_constant_labels: None,
            resource_to_telemetry_conversion: Conversion::default(),
            without_scope_info: false,
            translation_strategy: None,
            add_metric_suffixes: true,
        }
    }
}

impl Page {
    /// Whether an attribute of a resource may describe its target.
    fn describes(&self, key: &str) -> bool {
        self.target_info_attributes.iter().any(|name| match name.strip_suffix('*') {
            Some(start) => key.starts_with(start),
            None => key == name,
        })
    }

    /// Whether an attribute of a resource becomes a label of its series.
    fn converts(&self, key: &str) -> bool {
        if OF_ONE_CHANGE.contains(&key) {
            return false;
        }
        let old = self.resource_to_telemetry_conversion;
        let by_old = old.enabled && !(old.exclude_service_attributes && OF_A_SERVICE.contains(&key));
        by_old || self.resource_constant_labels.as_ref().is_some_and(|chosen| chosen.takes(key))
    }

    /// Whether any does.
    fn converts_any(&self) -> bool {
        self.resource_to_telemetry_conversion.enabled || self.resource_constant_labels.is_some()
    }

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

/// The least time between two snapshots, and how many times longer than it took to make one is waited before the next.
const EVERY: Duration = Duration::from_secs(5);
const REST: u32 = 20;

/// The exporter. Done is said once the data is in the registry.
pub(crate) struct Prometheus {
    id: ComponentId,
    server: ServerSettings,
    auth: Option<Arc<dyn Authenticator>>,
    path: String,
    shared: Arc<Shared>,
    pages: Arc<Pages>,
    kept: Option<Arc<SnapshotWatermark>>,
    listeners: Arc<Listeners>,
}

/// What the exporter and its page share. The registry outlives a reload.
struct Shared {
    page: Page,
    limits: Limits,
    state: Arc<Journaled<State>>,
    clock: Arc<dyn Clock>,
    refused: Vec<(Refusal, Counter)>,
    cut_target_info: Counter,
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
        let refused = Refusal::ALL.map(|refusal| {
            (refusal, cx.counter("throughline_prometheus_refused_points", Some(("reason", refusal.as_str()))))
        });
        let shared = Arc::new(Shared {
            page: config.page,
            limits: config.limits,
            state: Journaled::of(cx, config.storage.as_deref(), || State::new(Arc::clone(&cx.clock)))?,
            clock: Arc::clone(&cx.clock),
            refused: refused.into(),
            cut_target_info: cx.counter("throughline_prometheus_cut_target_info", None),
        });
        Addresses::note(cx, &config.server, "", vec![(config.path.clone(), None)]);
        let refused_scrapes = cx.counter("throughline_prometheus_refused_scrapes", None);
        Ok(Self {
            id: cx.id.clone(),
            auth: config.server.checked(cx, "")?,
            server: config.server,
            path: config.path,
            pages: Pages::new(Arc::clone(&shared), refused_scrapes),
            shared,
            kept: config
                .storage
                .as_deref()
                .map(|storage| Arc::new(SnapshotWatermark::new(ComponentId::new(storage)))),
            listeners: cx.need::<Listeners>("listeners")?,
        })
    }

    async fn export(&self, batch: &Batch) -> Outcome {
        let shared = &self.shared;
        let mut state = match shared.state.open() {
            Ok(state) => state,
            Err(error) => return Outcome::retry(error.to_string()),
        };
        let now = state.now();
        let mut tally = Tally::default();
        for chunk in &batch.chunks {
            // What comes from a stream again is in the registry already.
            let position = chunk.position.filter(|_| self.kept.is_some());
            if position.is_some_and(|position| state.has(position)) {
                continue;
            }
            let registry = &mut state.registry;
            fold::fold(&chunk.bytes, registry, &shared.page, &shared.limits, now, &mut tally);
            state.taken.extend(position.map(|position| (position.stream, position.sequence)));
        }
        drop(state);
        let Tally { refused, target_info } = tally;
        shared.cut_target_info.add(target_info);
        let rejected: u64 = refused.iter().map(|(_, points)| points).sum();
        for (refusal, points) in &refused {
            let counter = shared.refused.iter().find(|(known, _)| known == refusal);
            counter.into_iter().for_each(|(_, counter)| counter.add(*points));
        }
        let why = refused.first().map(|(refusal, _)| refusal.explain().into());
        Outcome::Done { rejected: u32::try_from(rejected).unwrap_or(u32::MAX), why }
    }

    fn snapshot_watermark(&self) -> Option<Arc<SnapshotWatermark>> {
        self.kept.clone()
    }

    async fn run(&self, mut stop: Stop) -> Result<(), Fatal> {
        // Before the page is there: one that lacks what was kept would look like a restart of every source.
        let shared = Arc::clone(&self.shared);
        let opened =
            tokio::task::spawn_blocking(move || shared.state.open().map(|state| state.synced.clone()));
        let opened = opened.await.map_err(|error| Fatal(error.to_string()))?;
        let synced = opened.map_err(|error| Fatal(error.to_string()))?;
        if let Some(kept) = &self.kept {
            kept.publish(synced);
        }
        let route = Route { path: self.path.clone(), handler: Arc::new(Scrape(Arc::clone(&self.pages))) };
        let serving = self.listeners.open(&self.server, self.auth.clone(), &self.id, vec![route]).await?;
        stop.ready();
        match &self.kept {
            Some(kept) => self.keep(kept, stop).await,
            None => stop.stopped().await,
        }
        drop(serving);
        Ok(())
    }
}

impl Prometheus {
    /// Makes snapshots until told to stop, and then the last.
    async fn keep(&self, kept: &SnapshotWatermark, mut stop: Stop) {
        let mut wait = EVERY;
        while !stop.is_stopped() {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.stopped() => {}
            }
            let began = self.shared.clock.monotonic_nanos();
            self.snapshot(kept).await;
            let took = self.shared.clock.monotonic_nanos().saturating_sub(began);
            wait = EVERY.max(Duration::from_nanos(took) * REST);
        }
    }

    /// Makes a snapshot, if anything came since the last, and says so once it is synced.
    async fn snapshot(&self, kept: &SnapshotWatermark) {
        let shared = Arc::clone(&self.shared);
        let making = tokio::task::spawn_blocking(move || {
            let mut state = shared.state.open().ok()?;
            let taken = state.taken.clone();
            (taken != state.synced).then(|| (state.compact(), taken))
        });
        let Ok(Some((ticket, taken))) = making.await else { return };
        match ticket.await {
            Outcome::Done { .. } => {
                if let Ok(mut state) = self.shared.state.open() {
                    state.synced.clone_from(&taken);
                }
                kept.publish(taken);
            }
            failed => {
                tracing::error!(component = %self.id, ?failed, "a snapshot cannot be kept; the stream keeps its data")
            }
        }
    }
}

/// Answers scrapers.
struct Scrape(Arc<Pages>);

impl Handler for Scrape {
    fn call(&self, request: Request) -> Pin<Box<dyn Future<Output = Reply> + Send + '_>> {
        let accept = request.header("accept").unwrap_or_default();
        let wanted = self.0.wanted(accept);
        Box::pin(async move {
            let page = match self.0.get(wanted).await {
                Ok(page) => page,
                Err(why) => return unavailable(&why),
            };
            let mut reply = http::Response::new(Body::new(page).shared());
            if let Ok(kind) = HeaderValue::from_str(&wanted.content_type()) {
                reply.headers_mut().insert(header::CONTENT_TYPE, kind);
            }
            reply
        })
    }
}

fn unavailable(why: &str) -> Reply {
    let mut reply = http::Response::new(Body::new(Bytes::from(why.to_owned())));
    *reply.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
    reply
}
