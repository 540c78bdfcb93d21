//! OTLP/HTTP: `POST /v1/{traces,metrics,logs}`, protobuf or JSON.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::Deserialize;
use throughline_component::{Outcome, Output, RejectKind, Transport};
use throughline_net::grpc::{Code, Status};
use throughline_net::{Body, BodyError, Handler, Reply, Request, Route, ServerSettings};
use throughline_otlp::{Signal, json, partial};

use super::Shared;

/// `protocols.http`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false))]
#[schemars(
    extend("x-not-supported" = ServerSettings::unsupported(&[
        ("profiles_url_path", "there are no pipelines of profiles"),
    ])),
    extend("x-without-meaning" = ServerSettings::without_meaning(&[]))
)]
pub(super) struct Settings {
    /// The settings of every server.
    #[serde(flatten)]
    pub(super) server: ServerSettings,
    /// Path for traces.
    traces_url_path: String,
    /// Path for metrics.
    metrics_url_path: String,
    /// Path for logs.
    logs_url_path: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            server: ServerSettings::default(),
            traces_url_path: "/v1/traces".into(),
            metrics_url_path: "/v1/metrics".into(),
            logs_url_path: "/v1/logs".into(),
        }
    }
}

struct Export {
    signal: Signal,
    shared: Arc<Shared>,
    out: Output,
}

/// The encodings of a body. A reply has its request's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Protobuf,
    Json,
}

impl Settings {
    /// Where a signal is taken in.
    pub(super) fn path(&self, signal: Signal) -> String {
        let path = match signal {
            Signal::Traces => &self.traces_url_path,
            Signal::Metrics => &self.metrics_url_path,
            Signal::Logs => &self.logs_url_path,
        };
        if path.starts_with('/') { path.clone() } else { format!("/{path}") }
    }
}

/// The routes of the signals that some pipeline takes.
pub(super) fn routes(settings: &Settings, shared: &Arc<Shared>, out: &Output) -> Vec<Route> {
    let taken = Signal::ALL.into_iter().filter(|signal| out.takes(*signal));
    taken
        .map(|signal| {
            let handler = Export { signal, shared: Arc::clone(shared), out: out.clone() };
            Route { path: settings.path(signal), handler: Arc::new(handler) }
        })
        .collect()
}

impl Handler for Export {
    fn call(&self, request: Request) -> Pin<Box<dyn Future<Output = Reply> + Send + '_>> {
        Box::pin(self.export(request))
    }
}

impl Export {
    async fn export(&self, mut request: Request) -> Reply {
        let encoding = Encoding::of(request.header("content-type").unwrap_or_default());
        if request.method() != http::Method::POST {
            request.refused("method");
            let status = Status::new(Code::Unimplemented, "only POST is served here");
            let encoding = encoding.unwrap_or(Encoding::Protobuf);
            let mut reply = refuse(StatusCode::METHOD_NOT_ALLOWED, encoding, &status);
            reply.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
            return reply;
        }
        let Some(encoding) = encoding else {
            request.refused("content_type");
            let why = "content type must be application/x-protobuf or application/json";
            let status = Status::new(Code::InvalidArgument, why);
            return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, Encoding::Protobuf, &status);
        };
        let mut charge = self.shared.charge(&mut request);
        let body = match request.read(&mut charge).await {
            Ok(body) => body,
            Err(error) => return refuse(error.status(), encoding, &Status::of_body(&error)),
        };
        let body = match encoding {
            Encoding::Protobuf => body,
            Encoding::Json => match json::decode(self.signal, &body) {
                Ok(decoded) => {
                    // Numbers take more room in protobuf: `0,` becomes nine bytes.
                    if !charge.grow(decoded.len().saturating_sub(body.len())) {
                        request.refused("over_budget");
                        let limit = charge.limit().unwrap_or_default();
                        let error = BodyError::OverBudget { limit };
                        return refuse(error.status(), encoding, &Status::of_body(&error));
                    }
                    Bytes::from(decoded)
                }
                Err(error) => {
                    request.refused("malformed");
                    let status = Status::new(Code::InvalidArgument, error.to_string());
                    return refuse(StatusCode::BAD_REQUEST, encoding, &status);
                }
            },
        };
        let outcome =
            self.shared.deliver(self.signal, Transport::Http, body, &request, &self.out, charge).await;
        reply(self.signal, encoding, outcome)
    }
}

impl Encoding {
    fn of(content_type: &str) -> Option<Self> {
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        match kind.to_ascii_lowercase().as_str() {
            "application/x-protobuf" => Some(Self::Protobuf),
            "application/json" => Some(Self::Json),
            _ => None,
        }
    }

    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        })
    }
}

fn reply(signal: Signal, encoding: Encoding, outcome: Outcome) -> Reply {
    match outcome {
        Outcome::Done { rejected, why } => {
            let body = match encoding {
                Encoding::Protobuf => partial::encode(rejected, why.as_deref()),
                Encoding::Json => partial::encode_json(signal, rejected, why.as_deref()).into_bytes(),
            };
            respond(StatusCode::OK, encoding, body)
        }
        Outcome::Retry { after, why, .. } => {
            let status = Status::new(Code::Unavailable, &*why).retry_after(after);
            let mut reply = refuse(StatusCode::SERVICE_UNAVAILABLE, encoding, &status);
            if let Some(after) = after {
                // Whole seconds, rounded up: earlier would be too early.
                let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
                reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            reply
        }
        Outcome::Reject { kind, why } => {
            let (http, code) = match kind {
                RejectKind::Invalid => (StatusCode::BAD_REQUEST, Code::InvalidArgument),
                RejectKind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted),
            };
            refuse(http, encoding, &Status::new(code, &*why))
        }
    }
}

/// An error, whose body is a `google.rpc.Status` in the request's encoding.
fn refuse(code: StatusCode, encoding: Encoding, status: &Status) -> Reply {
    let body = match encoding {
        Encoding::Protobuf => status.encode(),
        Encoding::Json => status.to_json().into_bytes(),
    };
    respond(code, encoding, body)
}

fn respond(code: StatusCode, encoding: Encoding, body: Vec<u8>) -> Reply {
    let mut reply = http::Response::new(Body::new(Bytes::from(body)));
    *reply.status_mut() = code;
    reply.headers_mut().insert(header::CONTENT_TYPE, encoding.content_type());
    reply
}
