//! OTLP over gRPC and HTTP (protobuf and JSON): traces, metrics and logs.
//!
//! Source: OTLP 1.11. gRPC hands bytes over undecoded; what a reply means is in `docs/settlement.md`.

mod grpc;
mod http;

use std::sync::Arc;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use throughline_component::port::{Budget, Charge, Clock};
use throughline_component::{
    Build, ComponentId, ConfigError, Context, Factory, Fatal, Outcome, Output, Receiver, Stop, Transport,
};
use throughline_config::Optional;
use throughline_net::{Addresses, Authenticator, Listeners, Request, ServerSettings};
use throughline_otlp::Signal;

pub(crate) const FACTORY: Factory = Factory::receiver::<Otlp>("otlp");

/// Receives OTLP over gRPC and HTTP.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The protocols to serve; at least one.
    protocols: Protocols,
}

/// `protocols`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Protocols {
    /// OTLP/gRPC, on `localhost:4317` unless `endpoint` says otherwise.
    grpc: Optional<ServerSettings>,
    /// OTLP/HTTP with protobuf or JSON bodies, on `localhost:4318` unless `endpoint` says otherwise.
    http: Optional<http::Settings>,
}

/// The receiver.
pub(crate) struct Otlp {
    shared: Arc<Shared>,
    listeners: Arc<Listeners>,
    grpc: Option<(ServerSettings, Option<Arc<dyn Authenticator>>)>,
    http: Option<(http::Settings, Option<Arc<dyn Authenticator>>)>,
}

/// What the handlers of all routes share.
struct Shared {
    id: ComponentId,
    budget: Arc<Budget>,
    clock: Arc<dyn Clock>,
}

impl Receiver for Otlp {
    type Config = Config;

    fn build(config: Config, cx: &Build) -> Result<Self, ConfigError> {
        let grpc = config.protocols.grpc.into_option().map(|mut settings| {
            settings.endpoint_or("localhost:4317");
            settings
        });
        let http = config.protocols.http.into_option().map(|mut settings| {
            settings.server.endpoint_or("localhost:4318");
            settings
        });
        if grpc.is_none() && http.is_none() {
            return Err(ConfigError::new(
                "protocols",
                "turn on `grpc`, `http` or both; a bare `grpc:` is enough",
            ));
        }
        let auth = |settings: &ServerSettings, at: &str| settings.checked(cx, &format!("protocols::{at}"));
        let paths = |path: &dyn Fn(Signal) -> String| {
            Signal::ALL.into_iter().map(|signal| (path(signal), Some(signal))).collect()
        };
        if let Some(settings) = &grpc {
            Addresses::note(cx, settings, "protocols::grpc", paths(&grpc::path));
        }
        if let Some(settings) = &http {
            Addresses::note(cx, &settings.server, "protocols::http", paths(&|signal| settings.path(signal)));
        }
        Ok(Self {
            listeners: cx.need::<Listeners>("listeners")?,
            shared: Arc::new(Shared {
                id: cx.id.clone(),
                budget: cx.need::<Budget>("memory budget")?,
                clock: Arc::clone(&cx.clock),
            }),
            grpc: grpc.map(|settings| auth(&settings, "grpc").map(|auth| (settings, auth))).transpose()?,
            http: http
                .map(|settings| auth(&settings.server, "http").map(|auth| (settings, auth)))
                .transpose()?,
        })
    }

    async fn run(self, out: Output, mut stop: Stop) -> Result<(), Fatal> {
        let mut serving = Vec::new();
        if let Some((settings, auth)) = self.grpc {
            let routes = grpc::routes(&self.shared, &out);
            serving.push(self.listeners.open(&settings, auth, &self.shared.id, routes).await?);
        }
        if let Some((settings, auth)) = self.http {
            let routes = http::routes(&settings, &self.shared, &out);
            serving.push(self.listeners.open(&settings.server, auth, &self.shared.id, routes).await?);
        }
        stop.ready();
        stop.stopped().await;
        Ok(())
    }
}

impl Shared {
    fn charge(&self, request: &mut Request) -> Charge {
        request.charge(&self.budget)
    }

    /// Sends one request down the pipelines and waits for its settlement.
    async fn deliver(
        &self,
        signal: Signal,
        transport: Transport,
        body: Bytes,
        request: &Request,
        out: &Output,
        charge: Charge,
    ) -> Outcome {
        let context = Context {
            source: self.id.clone(),
            transport,
            peer: Some(request.peer()),
            metadata: request.metadata(),
            auth: request.auth(),
            received_at: self.clock.unix_nanos(),
        };
        out.send(signal, body, Arc::new(context), charge).await
    }
}
