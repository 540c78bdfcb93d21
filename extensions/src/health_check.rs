//! Whether the agent is ready: no dead part, and nothing unacknowledged for too long.
//!
//! Unlike the Collector's, it turns red when an exporter's backend has not answered for `unacknowledged_bound`.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use throughline_component::port::Clock;
use throughline_component::{
    Build, ComponentId, ConfigError, Extension, Factory, Failing, Fatal, Health, Services, Stop,
};
use throughline_config as config;
use throughline_net::{
    Addresses, Authenticator, Body, Handler, Listeners, Reply, Request, Route, ServerSettings,
};

pub(crate) const FACTORY: Factory = Factory::extension::<HealthCheck>("health_check");

/// Answers 200 while the agent is ready, 503 with the reason otherwise.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false))]
#[schemars(
    extend("x-not-supported" = ServerSettings::unsupported(&[
        ("check_collector_pipeline", "leave it out: the answer tells of destinations that fail"),
        ("use_v2", "leave it out: `path` serves what v2 would at `/status`"),
        ("http", "leave it out, with `use_v2`: `endpoint` and `path` say where"),
        ("grpc", "probe over HTTP"),
        ("component_health", "leave it out: the answer tells of destinations that fail"),
        ("response_body", "leave it out: probes look at the status"),
    ])),
    extend("x-without-meaning" = ServerSettings::without_meaning(&[]))
)]
pub(crate) struct Config {
    /// The settings of every server; `endpoint` is `localhost:13133` unless set. An authenticator must stand before this
    /// extension in `service::extensions`.
    #[serde(flatten)]
    server: ServerSettings,
    /// Where to ask.
    path: String,
    /// How old the oldest unacknowledged request may be.
    unacknowledged_bound: config::Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            server: ServerSettings::default(),
            path: "/".into(),
            unacknowledged_bound: config::Duration::from_secs(60),
        }
    }
}

pub(crate) struct HealthCheck {
    id: ComponentId,
    server: ServerSettings,
    auth: Option<Arc<dyn Authenticator>>,
    path: String,
    page: Arc<Page>,
    listeners: Arc<Listeners>,
}

struct Page {
    health: Arc<Health>,
    clock: Arc<dyn Clock>,
    bound: u64,
}

impl Extension for HealthCheck {
    type Config = Config;

    fn build(mut config: Config, cx: &Build, _: &mut Services) -> Result<Self, ConfigError> {
        config.server.endpoint_or("localhost:13133");
        Addresses::note(cx, &config.server, "", vec![(config.path.clone(), None)]);
        Ok(Self {
            id: cx.id.clone(),
            auth: config.server.checked(cx, "")?,
            server: config.server,
            path: config.path,
            page: Arc::new(Page {
                health: cx.need::<Health>("health")?,
                clock: Arc::clone(&cx.clock),
                bound: config.unacknowledged_bound.nanos(),
            }),
            listeners: cx.need::<Listeners>("listeners")?,
        })
    }

    async fn run(&self, mut stop: Stop) -> Result<(), Fatal> {
        let route = Route { path: self.path.clone(), handler: Arc::clone(&self.page) as Arc<dyn Handler> };
        let serving =
            self.listeners.open_aside(&self.server, self.auth.clone(), &self.id, vec![route]).await?;
        stop.ready();
        stop.stopped().await;
        drop(serving);
        Ok(())
    }
}

/// What the page says.
#[derive(Serialize)]
struct Answer<'a> {
    /// `ready`, or why the agent is not.
    status: &'a str,
    /// What fails while nothing is lost: destinations that take no data, which is kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failing: Vec<Part<'a>>,
}

#[derive(Serialize)]
struct Part<'a> {
    component: &'a str,
    /// RFC 3339.
    since: String,
    for_seconds: u64,
    /// In the words of whoever refuses.
    why: &'a str,
}

impl<'a> Part<'a> {
    fn of(failing: &'a Failing, now: u64) -> Self {
        let since = jiff::Timestamp::from_nanosecond(failing.since.into()).unwrap_or_default();
        let since = since.round(jiff::Unit::Second).unwrap_or(since).to_string();
        let for_seconds = now.saturating_sub(failing.since) / 1_000_000_000;
        Self { component: &failing.part, since, for_seconds, why: &failing.why }
    }
}

impl Handler for Page {
    fn call(&self, _: Request) -> Pin<Box<dyn Future<Output = Reply> + Send + '_>> {
        let trouble = self.health.trouble(self.clock.monotonic_nanos(), self.bound);
        let status = if trouble.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let failing = self.health.all_failing();
        let page = Answer {
            status: trouble.as_deref().unwrap_or("ready"),
            failing: failing.iter().map(|failing| Part::of(failing, self.clock.unix_nanos())).collect(),
        };
        let mut text = serde_json::to_string(&page).unwrap_or_default();
        text.push('\n');
        let mut reply = http::Response::new(Body::new(Bytes::from(text)));
        *reply.status_mut() = status;
        reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Box::pin(std::future::ready(reply))
    }
}
