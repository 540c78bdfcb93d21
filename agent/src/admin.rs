//! The telemetry endpoint: the agent's own metrics, the ledger, and the pages that components add.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, header};
use throughline_component::{ComponentId, Fatal};
use throughline_config::{MetricsLevel, MetricsTelemetry};
use throughline_net::{
    Body, Handler, Listeners, Reply, Request, Route, ServerSettings, Serving, TelemetryRoutes,
};

use crate::assemble::World;
use crate::metrics;

/// Serves `/metrics`, `/ledger` and what components added, unless the configuration turns it off.
pub(crate) async fn start(
    settings: &MetricsTelemetry,
    world: &Arc<World>,
    listeners: &Listeners,
    added: &TelemetryRoutes,
) -> Result<Option<Serving>, Fatal> {
    if settings.level == MetricsLevel::None {
        for Route { path, .. } in added.all() {
            tracing::warn!(path, "not served: `service::telemetry::metrics::level` is `none`");
        }
        return Ok(None);
    }
    let route = |path: &str, kind, text| Route {
        path: path.to_owned(),
        handler: Arc::new(Page { world: Arc::clone(world), kind, text }),
    };
    let mut routes = vec![
        route(
            "/metrics",
            "text/plain; version=0.0.4; charset=utf-8",
            metrics::metrics as fn(&World) -> String,
        ),
        route("/ledger", "application/json", metrics::ledger),
    ];
    routes.extend(added.all());
    let owner = ComponentId::new("telemetry");
    listeners.open_aside(&ServerSettings::on(&settings.address), None, &owner, routes).await.map(Some)
}

/// A page that does not change as long as its configuration is in service.
pub(crate) fn fixed(path: &str, text: String) -> Route {
    Route { path: path.to_owned(), handler: Arc::new(Fixed(text.into())) }
}

struct Fixed(Bytes);

impl Handler for Fixed {
    fn call(&self, _: Request) -> Pin<Box<dyn Future<Output = Reply> + Send + '_>> {
        let mut reply = http::Response::new(Body::new(self.0.clone()));
        let kind = HeaderValue::from_static("text/plain; charset=utf-8");
        reply.headers_mut().insert(header::CONTENT_TYPE, kind);
        Box::pin(std::future::ready(reply))
    }
}

struct Page {
    world: Arc<World>,
    kind: &'static str,
    text: fn(&World) -> String,
}

impl Handler for Page {
    fn call(&self, _: Request) -> Pin<Box<dyn Future<Output = Reply> + Send + '_>> {
        let mut reply = http::Response::new(Body::new(Bytes::from((self.text)(&self.world))));
        reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(self.kind));
        Box::pin(std::future::ready(reply))
    }
}
