//! OTLP over HTTP with protobuf or JSON bodies.
//!
//! Source: OTLP 1.11, "OTLP/HTTP response" (which statuses may be retried), and ADR 0006: of the statuses that OTLP calls not
//! retryable only 400, 413 and 422 say that the data is bad.

use http::{HeaderMap, HeaderValue, Uri, header};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use throughline_component::port::{Budget, Charge, Clock};
use throughline_component::{Batch, Build, ConfigError, Exporter, Factory, Outcome, RejectKind};
use throughline_config::{self as config, Secret};
use throughline_net::{
    Answer, Body, Client, ClientSettings, Connections, KeepaliveClient, Protocol, Rope, retry_after,
};
use throughline_otlp::partial;

use crate::as_json;
use crate::words::{Words, content_type};

pub(crate) const FACTORY: Factory = Factory::exporter::<OtlpHttp>("otlp_http").aliases(&["otlphttp"]);

/// Sends OTLP over HTTP.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(extend("additionalProperties" = false))]
#[schemars(
    extend("x-not-supported" = ClientSettings::unsupported(&[
        ("cookies", "route by `headers`"),
        ("max_conns_per_host", "`sending_queue::num_consumers` bounds how many requests are on their way"),
        ("profiles_endpoint", "there are no pipelines of profiles"),
    ])),
    extend("x-without-meaning" = ClientSettings::without_meaning(&[
        ("force_attempt_http2", "TLS always offers HTTP/2"),
        ("max_idle_conns", "no more connections are idle than were needed at once"),
    ]))
)]
pub(crate) struct Config {
    /// Base address; `/v1/traces`, `/v1/metrics` and `/v1/logs` are added to it.
    endpoint: Option<String>,
    /// The whole address for traces, instead of `endpoint`.
    traces_endpoint: Option<String>,
    /// The whole address for metrics, instead of `endpoint`.
    metrics_endpoint: Option<String>,
    /// The whole address for logs, instead of `endpoint`.
    logs_endpoint: Option<String>,
    /// How messages are written.
    #[serde(default)]
    encoding: Encoding,
    /// The HTTP proxy to send through, `http://user:password@proxy:3128`. Unset: what `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`
    /// say, for addresses that are not on this machine.
    proxy_url: Option<Secret>,
    /// A connection that is idle for this long is closed. `0s`: never.
    #[serde(default = "idle")]
    idle_conn_timeout: config::Duration,
    /// How many connections may be idle.
    #[serde(default = "most_idle")]
    max_idle_conns_per_host: u32,
    /// Opens a connection for each request.
    #[serde(default)]
    disable_keep_alives: bool,
    /// An HTTP/2 connection on which nothing arrived for this long is probed. `0s`: never.
    #[serde(default = "read_idle")]
    http2_read_idle_timeout: config::Duration,
    /// The connection is closed if the server does not answer a probe within this time.
    #[serde(default = "ping")]
    http2_ping_timeout: config::Duration,
    /// The settings of every client.
    #[serde(flatten)]
    client: ClientSettings,
}

fn idle() -> config::Duration {
    config::Duration::from_secs(90)
}

fn most_idle() -> u32 {
    100
}

fn read_idle() -> config::Duration {
    config::Duration::from_secs(30)
}

fn ping() -> config::Duration {
    config::Duration::from_secs(20)
}

impl Config {
    fn connections(&self) -> Connections {
        let idle = usize::try_from(self.max_idle_conns_per_host).unwrap_or(usize::MAX);
        Connections {
            proxy_url: self.proxy_url.clone(),
            spread: false,
            keepalive: KeepaliveClient {
                time: self.http2_read_idle_timeout,
                timeout: self.http2_ping_timeout,
                ..KeepaliveClient::default()
            },
            idle_timeout: self.idle_conn_timeout.get(),
            max_idle: if self.disable_keep_alives { 0 } else { idle },
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    #[default]
    Proto,
    Json,
}

/// The exporter.
pub(crate) struct OtlpHttp {
    client: Client,
    uris: [Option<Uri>; 3],
    headers: HeaderMap,
    encoding: Encoding,
    clock: Arc<dyn Clock>,
    words: Words,
    memory: Option<Arc<Budget>>,
}

impl Exporter for OtlpHttp {
    type Config = Config;
    const TIMEOUT: Duration = Duration::from_secs(30);

    fn build(config: Config, cx: &Build) -> Result<Self, ConfigError> {
        let mut headers = HeaderMap::new();
        let kind =
            if config.encoding == Encoding::Json { "application/json" } else { "application/x-protobuf" };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        let client = Client::build_with(&config.client, Protocol::Http, &config.connections(), cx)?;
        if let Some(codec) = client.encoding() {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(codec));
        }
        Ok(Self {
            uris: uris(&config)?,
            client,
            headers,
            encoding: config.encoding,
            clock: Arc::clone(&cx.clock),
            words: Words::new(cx),
            memory: cx.services.get::<Budget>(),
        })
    }

    async fn export(&self, batch: &Batch) -> Outcome {
        let Some(uri) = &self.uris[batch.signal as usize] else {
            return Outcome::misdirected(format!("no endpoint is configured for {}", batch.signal));
        };
        let request: Rope = batch.chunks.iter().map(|chunk| chunk.bytes.clone()).collect();
        // The charge is held until the answer is here.
        let (message, _charge) = match self.encoding {
            Encoding::Proto => (request, Charge::none()),
            Encoding::Json => {
                let what = (batch.signal, batch.items());
                match as_json::write(what, &[&request.into_bytes()], b"", self.memory.as_ref()) {
                    Ok((json, charge)) => (bytes::Bytes::from(json).into(), charge),
                    Err(refused) => return refused,
                }
            }
        };
        let message = match self.client.compress(message) {
            Ok(message) => message,
            Err(error) => return Outcome::retry(error.to_string()),
        };
        match self.client.post(uri, &self.headers, Body::new(message)).await {
            Err(error) => Outcome::retry(error.to_string()),
            Ok(answer) => classify(&answer, self.encoding, self.clock.unix_nanos(), &self.words),
        }
    }
}

fn uris(config: &Config) -> Result<[Option<Uri>; 3], ConfigError> {
    let own = [&config.traces_endpoint, &config.metrics_endpoint, &config.logs_endpoint];
    if config.endpoint.is_none() && own.iter().all(|own| own.is_none()) {
        return Err(ConfigError::new(
            "endpoint",
            "say where to send, for example `endpoint: http://otel:4318`",
        ));
    }
    let uri = |key: &str, text: &str| {
        let uri: Result<Uri, _> = text.parse();
        uri.ok().filter(|uri| uri.scheme().is_some() && uri.authority().is_some()).ok_or_else(|| {
            ConfigError::new(
                key,
                format!("`{text}` is not an address; expected http://host:port or https://host:port"),
            )
        })
    };
    let mut uris = [None, None, None];
    for (slot, (own, signal)) in uris.iter_mut().zip(own.into_iter().zip(["traces", "metrics", "logs"])) {
        *slot = match (own, &config.endpoint) {
            (Some(own), _) => Some(uri(&format!("{signal}_endpoint"), own)?),
            (None, Some(base)) => {
                Some(uri("endpoint", &format!("{}/v1/{signal}", base.trim_end_matches('/')))?)
            }
            (None, None) => None,
        };
    }
    Ok(uris)
}

fn classify(answer: &Answer, encoding: Encoding, now: u64, words: &Words) -> Outcome {
    if answer.status.is_success() {
        // Some backends answer in JSON whatever they were asked in.
        let json = match content_type(answer) {
            "application/json" => true,
            "application/x-protobuf" => false,
            _ => encoding == Encoding::Json,
        };
        let (rejected, why) =
            if json { partial::decode_json(&answer.body) } else { partial::decode(&answer.body) };
        return Outcome::Done { rejected, why: why.map(|why| words.repeat(&why).into()) };
    }
    let (why, delay) = words.of(answer);
    match answer.status.as_u16() {
        400 | 422 => Outcome::reject(RejectKind::Invalid, why),
        413 => Outcome::reject(RejectKind::TooLarge, why),
        code => {
            let asked = answer.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
            let after = asked.and_then(|text| retry_after(text, now)).or(delay);
            Outcome::Retry { after, permanent: ![429, 502, 503, 504].contains(&code), why: why.into() }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn answer(code: u16, headers: &[(&'static str, &'static str)]) -> Answer {
        let headers = headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)));
        Answer {
            status: StatusCode::from_u16(code).expect("a status"),
            headers: headers.collect(),
            body: bytes::Bytes::new(),
            trailers: HeaderMap::new(),
        }
    }

    fn classified(answer: &Answer) -> Outcome {
        classify(answer, Encoding::Proto, 0, &Words::none())
    }

    #[test]
    fn only_400_413_and_422_say_that_the_data_is_bad() {
        for code in (300..600).filter_map(|code| StatusCode::from_u16(code).ok()).map(|code| code.as_u16()) {
            match classified(&answer(code, &[])) {
                Outcome::Reject { kind: RejectKind::Invalid, .. } => {
                    assert!([400, 422].contains(&code), "{code}")
                }
                Outcome::Reject { kind: RejectKind::TooLarge, .. } => assert_eq!(code, 413),
                Outcome::Retry { permanent, .. } => {
                    assert_eq!(
                        !permanent,
                        [429, 502, 503, 504].contains(&code),
                        "{code}: OTLP 1.11 says which may be retried"
                    );
                }
                outcome => panic!("{code} is no success: {outcome:?}"),
            }
        }
    }

    #[test]
    fn retry_after_is_honoured() {
        let Outcome::Retry { after, .. } = classified(&answer(503, &[("retry-after", "7")])) else {
            panic!("503 is retryable")
        };
        assert_eq!(after, Some(Duration::from_secs(7)));
    }

    #[test]
    fn partial_success_in_json_is_understood_by_a_client_that_speaks_protobuf() {
        let mut reply = answer(200, &[("content-type", "application/json; charset=utf-8")]);
        reply.body =
            br#"{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"too old"}}"#.as_slice().into();
        assert_eq!(classified(&reply), Outcome::Done { rejected: 2, why: Some("too old".into()) });
    }
}
