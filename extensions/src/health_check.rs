//! Whether the agent is ready: no dead part, and nothing unacknowledged for too long.
//!
//! Unlike the Collector's, it turns red when an exporter's backend has not answered for `unacknowledged_bound`.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::Deserialize;
use throughline_component::port::Clock;
use throughline_component::{
    Build, ComponentId, ConfigError, Extension, Factory, Fatal, Health, Services, Stop,
};
use throughline_config as config;
use throughline_net::{Authenticator, Body, Handler, Listeners, Reply, Request, Route, ServerSettings};

pub(crate) const FACTORY: Factory = Factory::extension::<HealthCheck>("health_check");

/// Answers 200 while the agent is ready, 503 with the reason otherwise.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false))]
#[schemars(extend("x-not-supported" = ServerSettings::lacking(&["check_collector_pipeline", "response_body", "use_v2", "grpc", "component_health"])))]
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
        Ok(Self {
            id: cx.id.clone(),
            auth: config.server.checked(cx)?,
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
        let serving = self.listeners.open(&self.server, self.auth.clone(), &self.id, vec![route]).await?;
        stop.ready();
        stop.stopped().await;
        drop(serving);
        Ok(())
    }
}

impl Handler for Page {
    fn call(&self, _: Request) -> Pin<Box<dyn Future<Output = Reply> + Send + '_>> {
        let trouble = self.health.trouble(self.clock.monotonic_nanos(), self.bound);
        let status = if trouble.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        // Reasons are our own words, never data: no quotes or control characters to escape.
        let text = trouble.map_or("ready".to_owned(), |why| why.replace(['"', '\\', '\n'], " "));
        let mut reply = http::Response::new(Body::new(Bytes::from(format!("{{\"status\":\"{text}\"}}\n"))));
        *reply.status_mut() = status;
        reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Box::pin(std::future::ready(reply))
    }
}
