//! The telemetry endpoint: the agent's own metrics, the ledger, and the pages that components add.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, header};
use throughline_component::{ComponentId, Fatal};
use throughline_config::{MetricsLevel, MetricsTelemetry};
use throughline_net::{
    Body, Handler, Listeners, Reply, Request, Route, ServerSettings, Serving, TelemetryRoutes, accepts_gzip,
    gzip,
};

use crate::metrics::{self, Resource};
use crate::process_context::ProcessContext;

/// What a page takes that is worth compressing.
const WORTH: usize = 1 << 10;

/// Serves `/metrics`, `/ledger` and what components added at each address, unless the configuration turns it off.
pub(crate) async fn start(
    settings: &MetricsTelemetry,
    resource: &Resource,
    process: &Arc<ProcessContext>,
    listeners: &Listeners,
    added: &TelemetryRoutes,
) -> Result<Vec<Serving>, Fatal> {
    let pages = settings.pages();
    if settings.level == MetricsLevel::None || pages.is_empty() {
        for Route { path, .. } in added.all() {
            tracing::warn!(
                path,
                "not served: `service::telemetry::metrics` has no page (`level: none`, or `readers` without `pull`)"
            );
        }
        return Ok(Vec::new());
    }
    let mut servings = Vec::new();
    for page in pages {
        let route = |path: &str, kind, text| Route {
            path: path.to_owned(),
            handler: Arc::new(Page { process: Arc::clone(process), kind, text }),
        };
        let (form, resource) = (page.form, resource.clone());
        let metrics = move |process: &ProcessContext| metrics::metrics(process, &form, &resource);
        let mut routes = vec![
            route("/metrics", "text/plain; version=0.0.4; charset=utf-8", Box::new(metrics)),
            route("/ledger", "application/json", Box::new(metrics::ledger)),
        ];
        routes.extend(added.all());
        let owner = ComponentId::new("telemetry");
        servings.push(listeners.open_aside(&ServerSettings::on(&page.address), None, &owner, routes).await?);
    }
    Ok(servings)
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

/// Writes a page.
type Text = Box<dyn Fn(&ProcessContext) -> String + Send + Sync>;

struct Page {
    process: Arc<ProcessContext>,
    kind: &'static str,
    text: Text,
}

impl Handler for Page {
    fn call(&self, request: Request) -> Pin<Box<dyn Future<Output = Reply> + Send + '_>> {
        let page = Bytes::from((self.text)(&self.process));
        let packed = (page.len() >= WORTH && accepts_gzip(request.headers())).then(|| gzip(&page)).flatten();
        let encoded = packed.is_some();
        let mut reply = http::Response::new(Body::new(packed.unwrap_or(page)));
        let headers = reply.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.kind));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if encoded {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Box::pin(std::future::ready(reply))
    }
}
