//! OTLP over gRPC. What came in leaves as the same bytes; several requests go out as one without being glued together.
//!
//! Source: OTLP 1.11, "OTLP/gRPC response" (which codes may be retried), and ADR 0006: of the codes that OTLP calls not
//! retryable only `INVALID_ARGUMENT` says that the data is bad.

use bytes::Buf;
use http::uri::{PathAndQuery, Scheme, Uri};
use http::{HeaderMap, HeaderValue, header};
use schemars::JsonSchema;
use serde::Deserialize;
use throughline_component::{Batch, Build, ConfigError, Exporter, Factory, Outcome, RejectKind};
use throughline_net::grpc::{Code, Status, framed};
use throughline_net::{Answer, Body, Client, ClientSettings, Connections, KeepaliveClient, Protocol, Rope};
use throughline_otlp::partial;

use crate::words::Words;

pub(crate) const FACTORY: Factory = Factory::exporter::<OtlpGrpc>("otlp_grpc").aliases(&["otlp"]);

/// Sends OTLP over gRPC.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(extend("additionalProperties" = false))]
#[schemars(
    extend("x-not-supported" = ClientSettings::unsupported(&[
        ("authority", "`tls::server_name_override` names what the certificate says"),
    ])),
    extend("x-without-meaning" = ClientSettings::without_meaning(&[
        ("wait_for_ready", "requests wait in `sending_queue` until the connection stands"),
    ]))
)]
pub(crate) struct Config {
    /// Where to send: `host:port`, with `http://` or `https://` in front to say in words whether to use TLS, or `dns:///`.
    endpoint: String,
    /// Which of a name's addresses get the requests.
    #[serde(default)]
    balancer_name: Balancer,
    /// How connections are probed.
    #[serde(default)]
    keepalive: KeepaliveClient,
    /// The settings of every client.
    #[serde(flatten)]
    client: ClientSettings,
}

/// Which of a name's addresses get the requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Balancer {
    /// All, by turns.
    #[default]
    RoundRobin,
    /// The first that answers.
    PickFirst,
}

/// The exporter.
pub(crate) struct OtlpGrpc {
    client: Client,
    uris: [Uri; 3],
    headers: HeaderMap,
    words: Words,
}

impl Exporter for OtlpGrpc {
    type Config = Config;

    fn build(config: Config, cx: &Build) -> Result<Self, ConfigError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        let connections = Connections {
            spread: config.balancer_name == Balancer::RoundRobin,
            keepalive: config.keepalive,
            ..Connections::default()
        };
        let client = Client::build_with(&config.client, Protocol::Http2, &connections, cx)?;
        if let Some(codec) = client.encoding() {
            headers.insert("grpc-encoding", HeaderValue::from_static(codec));
        }
        let insecure = config.client.tls.as_ref().is_some_and(|tls| tls.insecure);
        Ok(Self { client, uris: uris(&config.endpoint, insecure)?, headers, words: Words::new(cx) })
    }

    async fn export(&self, batch: &Batch) -> Outcome {
        let message: Rope = batch.chunks.iter().map(|chunk| chunk.bytes.clone()).collect();
        let message = match self.client.compress(message) {
            Ok(message) => message,
            Err(error) => return Outcome::retry(error.to_string()),
        };
        let body = Body::new(framed(message, self.client.encoding().is_some()));
        match self.client.post(&self.uris[batch.signal as usize], &self.headers, body).await {
            Err(error) => Outcome::retry(error.to_string()),
            Ok(answer) => classify(&answer, &self.words),
        }
    }
}

fn uris(endpoint: &str, insecure: bool) -> Result<[Uri; 3], ConfigError> {
    let bad = |why: &str| ConfigError::new("endpoint", format!("`{endpoint}` {why}; expected host:port"));
    let endpoint = endpoint.strip_prefix("dns:///").unwrap_or(endpoint);
    let (scheme, authority) = match endpoint.split_once("://") {
        Some(("http", rest)) => (Scheme::HTTP, rest),
        Some(("https", rest)) => (Scheme::HTTPS, rest),
        Some((other, _)) => return Err(bad(&format!("has the scheme `{other}`"))),
        None if insecure => (Scheme::HTTP, endpoint),
        None => (Scheme::HTTPS, endpoint),
    };
    let authority = authority.trim_end_matches('/');
    let port = authority.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
    if authority.is_empty() || authority.contains('/') {
        return Err(bad("is not an address"));
    }
    // As the Collector: it does not guess one from the scheme.
    if !matches!(port, Some(Ok(_))) {
        return Err(bad("has no port"));
    }
    let uri = |service: &'static str| {
        let path = PathAndQuery::from_static(service);
        let uri = Uri::builder().scheme(scheme.clone()).authority(authority).path_and_query(path).build();
        uri.map_err(|_| bad("is not an address"))
    };
    Ok([
        uri("/opentelemetry.proto.collector.trace.v1.TraceService/Export")?,
        uri("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export")?,
        uri("/opentelemetry.proto.collector.logs.v1.LogsService/Export")?,
    ])
}

fn classify(answer: &Answer, words: &Words) -> Outcome {
    let Some(status) = Status::read(&answer.trailers) else {
        // A proxy answered, or the connection broke: HTTP's own table, as the gRPC specification maps it.
        let why = format!("{}, without a gRPC status", words.of(answer).0);
        return match answer.status.as_u16() {
            400 | 401 | 403 | 404 => Outcome::misdirected(why),
            _ => Outcome::retry(why),
        };
    };
    let why = || format!("{:?}: {}", status.code, words.repeat(&status.message));
    match status.code {
        Code::Ok => accepted(answer, words),
        Code::InvalidArgument => Outcome::reject(RejectKind::Invalid, why()),
        Code::ResourceExhausted if status.retry_after.is_none() => {
            Outcome::reject(RejectKind::TooLarge, why())
        }
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss
        | Code::ResourceExhausted => {
            Outcome::Retry { after: status.retry_after, permanent: false, why: why().into() }
        }
        Code::Unknown
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Unimplemented
        | Code::Internal
        | Code::Unauthenticated => Outcome::misdirected(why()),
    }
}

fn accepted(answer: &Answer, words: &Words) -> Outcome {
    // Five bytes of prefix, then the response, almost always empty.
    let mut body = answer.body.clone();
    if body.len() <= 5 {
        return Outcome::DONE;
    }
    body.advance(5);
    let (rejected, why) = partial::decode(&body);
    Outcome::Done { rejected, why: why.map(|why| words.repeat(&why).into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn answer(status: Option<Status>) -> Answer {
        let trailers = status.map(|status| status.into_reply().headers().clone()).unwrap_or_default();
        Answer {
            status: http::StatusCode::OK,
            headers: HeaderMap::new(),
            body: bytes::Bytes::new(),
            trailers,
        }
    }

    fn classified(status: Option<Status>) -> Outcome {
        classify(&answer(status), &Words::none())
    }

    #[test]
    fn only_what_says_that_the_data_is_bad_is_a_reject() {
        use Code::{Aborted, Cancelled, DataLoss, DeadlineExceeded, OutOfRange, Unavailable};
        for code in (1..17).map(Code::from_number) {
            let transient =
                [Cancelled, DeadlineExceeded, Aborted, OutOfRange, Unavailable, DataLoss].contains(&code);
            match classified(Some(Status::new(code, "why"))) {
                Outcome::Reject { kind, .. } => {
                    let bad = [
                        (Code::InvalidArgument, RejectKind::Invalid),
                        (Code::ResourceExhausted, RejectKind::TooLarge),
                    ];
                    assert!(bad.contains(&(code, kind)), "{code:?}");
                }
                Outcome::Retry { permanent, why, .. } => {
                    assert_eq!(permanent, !transient, "{code:?}: OTLP 1.11 says which codes may be retried");
                    assert!(why.ends_with(": why"), "{why}");
                }
                outcome => panic!("{code:?} is no success: {outcome:?}"),
            }
        }
        assert!(matches!(classified(None), Outcome::Retry { .. }));
    }

    #[test]
    fn resource_exhausted_is_retried_only_with_retry_info() {
        let bare = Status::new(Code::ResourceExhausted, "full");
        assert!(matches!(classified(Some(bare.clone())), Outcome::Reject { .. }));
        let delay = Some(Duration::from_secs(3));
        let Outcome::Retry { after, .. } = classified(Some(bare.retry_after(delay))) else {
            panic!("RetryInfo makes it retryable")
        };
        assert_eq!(after, delay);
    }

    #[test]
    fn an_endpoint_is_an_address_with_or_without_a_scheme() {
        let uri = |endpoint, insecure| uris(endpoint, insecure).map(|[traces, ..]| traces.to_string());
        let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
        assert_eq!(uri("otel:4317", false), Ok(format!("https://otel:4317{path}")));
        assert_eq!(uri("otel:4317", true), Ok(format!("http://otel:4317{path}")));
        assert_eq!(uri("dns:///otel:4317", true), Ok(format!("http://otel:4317{path}")));
        assert_eq!(uri("http://otel:4317/", false), Ok(format!("http://otel:4317{path}")));
        for bad in [
            "",
            "ftp://x",
            "otel:4317/v1/traces",
            "a b",
            "otel",
            "otel:",
            "otel:http",
            "http://otel",
            "https://otel/",
        ] {
            assert!(uri(bad, true).is_err(), "{bad:?}");
        }
    }
}
