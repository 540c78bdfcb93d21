//! A client: connections, TLS, credentials, and answers of bounded size.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use http_body_util::BodyExt;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use throughline_component::{Build, ConfigError};
use throughline_config as config;
use throughline_config::{Reasons, Secret};

use crate::compression::{Compression, CompressionSettings, compress};
use crate::connect::{Connector, MOST_ADDRESSES, Protocol, Proxies, RoundRobinResolver};
use crate::{AuthSettings, Body, ClientTls, Credentials, KeepaliveClient, Rope};

/// The largest answer that is read: what OTLP says a response may have.
const MAX_ANSWER: usize = 4 << 20;

/// Settings that every client has, with the Collector's names.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClientSettings {
    /// TLS; what it means to leave it out depends on the exporter.
    pub tls: Option<ClientTls>,
    /// Our credentials.
    pub auth: config::Optional<AuthSettings>,
    /// Headers added to every request. Their values never show.
    pub headers: BTreeMap<String, Secret>,
    /// How bodies are compressed. The Collector's default is `gzip`.
    pub compression: Compression,
    /// How strongly bodies are compressed.
    pub compression_params: CompressionSettings,
}

impl ClientSettings {
    /// The Collector's client options that we lack, and what to use instead, with those of the component around it; see
    /// [`ServerSettings::unsupported`](crate::ServerSettings::unsupported).
    pub fn unsupported(own: &[(&'static str, &'static str)]) -> Reasons {
        let common = [("middlewares", "`headers` and `auth` do what theirs are used for")];
        own.iter().copied().chain(common).collect()
    }

    /// The Collector's client options that change nothing here, and why, with those of the component around it.
    pub fn without_meaning(own: &[(&'static str, &'static str)]) -> Reasons {
        let common = [
            ("read_buffer_size", "buffers grow with what a connection carries"),
            ("write_buffer_size", "requests are written as they lie in memory, without a buffer between"),
        ];
        own.iter().copied().chain(common).collect()
    }
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            tls: None,
            auth: config::Optional::Off,
            headers: BTreeMap::new(),
            compression: Compression::Gzip,
            compression_params: CompressionSettings::default(),
        }
    }
}

/// How a client opens and keeps connections.
#[derive(Clone, Debug)]
pub struct Connections {
    /// The proxy to send through; without one the environment is asked.
    pub proxy_url: Option<Secret>,
    /// Spreads requests over all addresses of a name.
    pub spread: bool,
    /// How HTTP/2 connections are probed.
    pub keepalive: KeepaliveClient,
    /// How long a connection may be idle; zero: for ever.
    pub idle_timeout: Duration,
    /// How many connections may be idle; zero: none is kept for another request.
    pub max_idle: usize,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            proxy_url: None,
            spread: false,
            keepalive: KeepaliveClient::default(),
            idle_timeout: Duration::from_secs(90),
            max_idle: 100,
        }
    }
}

/// Sends requests to one kind of backend. Connections are kept and shared.
pub struct Client {
    /// One, or as many as there may be addresses to spread requests over.
    inner: Vec<legacy::Client<HttpsConnector<Connector>, Body>>,
    next: AtomicUsize,
    resolver: RoundRobinResolver,
    proxies: Arc<Proxies>,
    protocol: Protocol,
    headers: HeaderMap,
    credentials: Option<Arc<dyn Credentials>>,
    compression: Compression,
    level: Option<i32>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status line's code.
    pub status: http::StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, at most 4 MiB of it.
    pub body: Bytes,
    /// The trailers, or the headers if the answer had none.
    pub trailers: HeaderMap,
}

/// Nothing, or nothing usable, came back. Whether the request was processed is not known.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SendError(String);

impl Client {
    /// Builds a client. Connects on first use.
    ///
    /// # Errors
    /// What is wrong with TLS, a header, or the named authenticator.
    pub fn build(settings: &ClientSettings, protocol: Protocol, cx: &Build) -> Result<Self, ConfigError> {
        Self::build_with(settings, protocol, &Connections::default(), cx)
    }

    /// The same with settings for its connections.
    ///
    /// # Errors
    /// As [`build`](Self::build), and what is wrong with the proxy's address.
    pub fn build_with(
        settings: &ClientSettings,
        protocol: Protocol,
        connections: &Connections,
        cx: &Build,
    ) -> Result<Self, ConfigError> {
        let tls = settings.tls.clone().unwrap_or_default();
        let server_name = tls.server_name().map_err(|error| error.under("tls"))?;
        let config = match tls.config() {
            Ok(config) => config,
            Err(error) => {
                cx.excuse(error.under("tls"))?;
                ClientTls::default().config()?
            }
        };
        let proxies = Arc::new(Proxies::new(connections.proxy_url.as_ref().map(Secret::expose))?);
        let resolvers = RoundRobinResolver::for_clients(if connections.spread { MOST_ADDRESSES } else { 1 });
        let resolver = resolvers.first().cloned().unwrap_or_default();
        let one = |resolver: RoundRobinResolver| {
            let builder = HttpsConnectorBuilder::new().with_tls_config(config.clone()).https_or_http();
            let builder = match &server_name {
                Some(name) => builder
                    .with_server_name_resolver(hyper_rustls::FixedServerNameResolver::new(name.clone())),
                None => builder,
            };
            let connector = Connector::new(resolver, Arc::clone(&proxies), protocol);
            let connector = match protocol {
                Protocol::Http => builder.enable_all_versions().wrap_connector(connector),
                Protocol::Http2 => builder.enable_http2().wrap_connector(connector),
            };
            pool(protocol, connections, connector)
        };
        let inner = resolvers.into_iter().map(one).collect();
        let credentials =
            settings.auth.as_ref().map(|auth| auth.find(cx, "gives credentials")).transpose()?;
        Ok(Self {
            inner,
            next: AtomicUsize::new(0),
            resolver,
            proxies,
            protocol,
            headers: headers(&settings.headers)?,
            credentials,
            compression: settings.compression,
            level: settings.compression_params.level,
        })
    }

    /// How messages are compressed, as a header says it; `None` for not at all.
    pub fn encoding(&self) -> Option<&'static str> {
        self.compression.as_header()
    }

    /// Compresses a message as configured.
    ///
    /// # Errors
    /// The codec's.
    pub fn compress(&self, message: Rope) -> Result<Rope, SendError> {
        // gRPC's implementations mean frames by the name.
        let codec = match self.compression {
            Compression::Snappy if self.protocol == Protocol::Http2 => Compression::SnappyFramed,
            codec => codec,
        };
        let compressed = compress(message, codec, self.level);
        compressed.map_err(|error| SendError(format!("cannot compress: {error}")))
    }

    /// Gets a page and reads the whole answer.
    ///
    /// # Errors
    /// No connection, a broken one, or an answer that is too large.
    pub async fn get(&self, uri: &Uri, own: &HeaderMap) -> Result<Answer, SendError> {
        self.send(http::Method::GET, uri, own, Body::default()).await
    }

    /// Posts `body` and reads the whole answer.
    ///
    /// # Errors
    /// No connection, a broken one, or an answer that is too large.
    pub async fn post(&self, uri: &Uri, own: &HeaderMap, body: Body) -> Result<Answer, SendError> {
        self.send(http::Method::POST, uri, own, body).await
    }

    /// The client whose turn it is.
    fn one(&self) -> &legacy::Client<HttpsConnector<Connector>, Body> {
        match self.inner.as_slice() {
            [only] => only,
            all => {
                let among = self.resolver.addresses().min(all.len());
                &all[self.next.fetch_add(1, Ordering::Relaxed) % among]
            }
        }
    }

    async fn send(
        &self,
        method: http::Method,
        uri: &Uri,
        own: &HeaderMap,
        body: Body,
    ) -> Result<Answer, SendError> {
        let mut request = http::Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri.clone();
        let headers = request.headers_mut();
        headers.extend(own.iter().chain(&self.headers).map(|(name, value)| (name.clone(), value.clone())));
        if let Some(credentials) = &self.credentials {
            credentials.apply(headers);
        }
        if self.protocol == Protocol::Http
            && uri.scheme_str() == Some("http")
            && let Some(auth) = self.proxies.between(uri).and_then(|proxy| proxy.auth)
        {
            headers.insert(http::header::PROXY_AUTHORIZATION, auth);
        }
        let answer = self.one().request(request).await;
        let answer = answer.map_err(|error| SendError(told(&error, uri)))?;
        let (parts, mut body) = answer.into_parts();
        let (mut read, mut trailers) = (Vec::new(), None);
        let mut first = Bytes::new();
        while let Some(frame) = body.frame().await {
            match frame.map_err(|error| SendError(chain(&error)))?.into_data() {
                Ok(data) if first.len() + read.len() + data.len() > MAX_ANSWER => {
                    return Err(SendError(format!("the answer is larger than {MAX_ANSWER} bytes")));
                }
                Ok(data) if first.is_empty() && read.is_empty() => first = data,
                Ok(data) => {
                    read.extend_from_slice(&std::mem::take(&mut first));
                    read.extend_from_slice(&data);
                }
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        let body = if read.is_empty() { first } else { read.into() };
        let trailers = trailers.unwrap_or_else(|| parts.headers.clone());
        Ok(Answer { status: parts.status, headers: parts.headers, body, trailers })
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

/// The headers of every request: who we are, and what the settings say.
fn headers(from: &BTreeMap<String, Secret>) -> Result<HeaderMap, ConfigError> {
    let mut headers = HeaderMap::new();
    let agent = HeaderValue::from_static(concat!("throughline/", env!("CARGO_PKG_VERSION")));
    headers.insert(http::header::USER_AGENT, agent);
    for (name, value) in from {
        let at = |message: &str| ConfigError::new(&format!("headers::{name}"), message);
        let header = HeaderName::try_from(name).map_err(|_| at("not a header name"))?;
        let mut value = HeaderValue::try_from(value.expose()).map_err(|_| at("not a header value"))?;
        value.set_sensitive(true);
        headers.insert(header, value);
    }
    Ok(headers)
}

fn pool(
    protocol: Protocol,
    connections: &Connections,
    connector: HttpsConnector<Connector>,
) -> legacy::Client<HttpsConnector<Connector>, Body> {
    let keepalive = &connections.keepalive;
    legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Some(connections.idle_timeout).filter(|idle| !idle.is_zero()))
        .pool_max_idle_per_host(connections.max_idle)
        .http2_only(protocol == Protocol::Http2)
        .http2_initial_stream_window_size(1 << 20)
        .http2_initial_connection_window_size(4 << 20)
        .http2_max_frame_size(1 << 20)
        .http2_keep_alive_interval(Some(keepalive.time.get()).filter(|time| !time.is_zero()))
        .http2_keep_alive_timeout(keepalive.timeout.get())
        .http2_keep_alive_while_idle(keepalive.permit_without_stream)
        .build(connector)
}

/// What went wrong, and what to set if the two sides do not agree on TLS.
fn told(error: &legacy::Error, to: &Uri) -> String {
    let mut text = chain(error);
    if to.scheme_str() == Some("https") {
        if text.contains("InvalidContentType") {
            text.push_str(" (the server speaks plain text: give `endpoint` as http://…, or set `tls::insecure: true` for gRPC)");
        }
    } else if ["invalid HTTP version", "frame with invalid size", "FRAME_SIZE_ERROR"]
        .iter()
        .any(|sign| text.contains(sign))
    {
        text.push_str(
            " (the server seems to speak TLS: give `endpoint` as https://…, and do not set `tls::insecure`)",
        );
    }
    text
}

/// An error with its causes, since hyper's own words stop at "client error".
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
