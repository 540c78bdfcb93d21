//! Settings of a server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use throughline_component::{Build, ConfigError};
use throughline_config as config;
use throughline_config::{Reasons, Secret, reasons};

use crate::{Authenticator, CorsSettings, KeepaliveServer, ServerTls};

/// 64 MiB: what OTLP 1.11 recommends as the limit after decompression.
const MAX_BODY: config::ByteSize = config::ByteSize::mib(64);

/// Settings that every server has, HTTP and gRPC alike, with the Collector's names.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(
    extend("x-not-supported" = ServerSettings::unsupported(&[])),
    extend("x-without-meaning" = ServerSettings::without_meaning(&[]))
)]
pub struct ServerSettings {
    /// Address to listen on, `host:port`; `:port` is every interface. Loopback unless you say otherwise.
    pub endpoint: String,
    /// Serves TLS; with `client_ca_file`, mutual TLS.
    pub tls: config::Optional<ServerTls>,
    /// Who may send.
    pub auth: config::Optional<AuthSettings>,
    /// The largest body, counted after decompression. 64 MiB, as OTLP recommends.
    pub max_request_body_size: config::ByteSize,
    /// The same in MiB, for gRPC servers.
    pub max_recv_msg_size_mib: Option<u32>,
    /// How many requests one HTTP/2 connection may have open at once; fewer where many connections are open, so that all
    /// together have some 16,000.
    pub max_concurrent_streams: u32,
    /// How long a client may take to send a request's headers.
    pub read_header_timeout: config::Duration,
    /// How long a client may take to send a request's body.
    pub read_timeout: config::Duration,
    /// The least that must arrive of a body a second, measured over five seconds; what is slower is refused and may be sent
    /// again, since it holds memory that others need. A peer must take as much of its replies; the connection of one that does
    /// not is closed. `0`: as slow as it likes, up to `read_timeout`, or a minute without a byte taken.
    pub min_transfer_rate: config::ByteSize,
    /// How many connections may be open at once; further ones wait until one ends. Fewer if the process may not
    /// open that many files.
    pub max_connections: u32,
    /// Whether request headers are kept with the data, for exporters that use them.
    pub include_metadata: bool,
    /// What connections are made of.
    pub transport: Transport,
    /// CORS: which web pages of other origins may send to this server, over HTTP.
    pub cors: config::Optional<CorsSettings>,
    /// Headers added to every reply, over HTTP.
    pub response_headers: BTreeMap<String, Secret>,
    /// How long connections may live, over gRPC.
    pub keepalive: KeepaliveServer,
    /// A connection without a request for this long is closed. `0s`: never, unless there are too many connections.
    pub idle_timeout: config::Duration,
    /// Whether a connection may carry more than one request, over HTTP/1.1.
    pub keep_alives_enabled: bool,
}

/// What connections are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(extend("x-aliases" = reasons(&[("tcp4", "tcp"), ("tcp6", "tcp")])))]
#[schemars(extend("x-not-supported" = reasons(&[
    ("unix", "listen on the loopback interface"),
    ("npipe", "listen on the loopback interface"),
])))]
pub enum Transport {
    /// TCP, over whichever IP the address is of.
    #[default]
    Tcp,
}

/// Which authenticator extension is asked.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthSettings {
    /// The id of the authenticator extension.
    pub authenticator: String,
}

/// What a handler needs to read a body.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest body, in bytes after decompression.
    pub max_body: usize,
    /// How long a body may take to arrive.
    pub read_timeout: Duration,
    /// The least that must arrive of it a second.
    pub min_transfer_rate: u64,
}

impl AuthSettings {
    /// The extension that is named, as what it must be; `does` says that in the error.
    pub(crate) fn find<T: ?Sized + Send + Sync + 'static>(
        &self,
        cx: &Build,
        does: &str,
    ) -> Result<Arc<T>, ConfigError> {
        let id = &self.authenticator;
        cx.services.named::<T>(id).ok_or_else(|| {
            let message = format!("no extension `{id}` that {does} is in `service::extensions`");
            ConfigError::new("auth::authenticator", message)
        })
    }
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            tls: config::Optional::Off,
            auth: config::Optional::Off,
            max_request_body_size: MAX_BODY,
            max_recv_msg_size_mib: None,
            max_concurrent_streams: 256,
            read_header_timeout: config::Duration::from_secs(60),
            read_timeout: config::Duration::from_secs(60),
            min_transfer_rate: config::ByteSize::kib(1),
            max_connections: 4096,
            include_metadata: false,
            transport: Transport::Tcp,
            cors: config::Optional::Off,
            response_headers: BTreeMap::new(),
            keepalive: KeepaliveServer::default(),
            idle_timeout: config::Duration::from_secs(0),
            keep_alives_enabled: true,
        }
    }
}

impl ServerSettings {
    /// The Collector's server options that we lack, and what to use instead, with those of the component around it: a schema
    /// that flattens another does not take over what that one says of itself.
    pub fn unsupported(own: &[(&'static str, &'static str)]) -> Reasons {
        let common = [
            (
                "compression_algorithms",
                "leave it out: every codec is taken, and bounded by `max_request_body_size`",
            ),
            ("middlewares", "`auth`, `memory_limiter` and `max_connections` do what theirs are used for"),
            ("write_timeout", "`min_transfer_rate` bounds how slowly replies may be read"),
        ];
        own.iter().copied().chain(common).collect()
    }

    /// The Collector's server options that change nothing here, and why, with those of the component around it.
    pub fn without_meaning(own: &[(&'static str, &'static str)]) -> Reasons {
        let common = [
            ("read_buffer_size", "buffers grow with what a connection carries"),
            ("write_buffer_size", "buffers grow with what a connection carries"),
        ];
        own.iter().copied().chain(common).collect()
    }

    /// Sets the address of a server that has none in its settings.
    pub fn endpoint_or(&mut self, default: &str) {
        if self.endpoint.is_empty() {
            default.clone_into(&mut self.endpoint);
        }
    }

    /// Checks what can be checked without opening a socket, and finds the authenticator that `auth` names, if it names one.
    /// `at` is the path of these settings in those of the component, empty where they are the same.
    ///
    /// # Errors
    /// The address has no port, a file of `tls` cannot be used, or no extension of that id checks credentials.
    pub fn checked(&self, cx: &Build, at: &str) -> Result<Option<Arc<dyn Authenticator>>, ConfigError> {
        self.check(&cx.within(at)).map_err(|error| error.within(at))
    }

    fn check(&self, cx: &Build) -> Result<Option<Arc<dyn Authenticator>>, ConfigError> {
        let port = self.endpoint.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(_))) {
            let message =
                format!("expected `host:port`, such as `localhost:4318`, found `{}`", self.endpoint);
            return Err(ConfigError::new("endpoint", message));
        }
        if let Some(tls) = self.tls.as_ref()
            && let Err(error) = tls.config()
        {
            cx.excuse(error.under("tls"))?;
        }
        self.added_headers()?;
        cx.look(|| self.is_free());
        self.auth.as_ref().map(|auth| auth.find(cx, "checks credentials")).transpose()
    }

    /// The headers added to every reply.
    pub(crate) fn added_headers(&self) -> Result<HeaderMap, ConfigError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.response_headers {
            let at = |message: &str| ConfigError::new(&format!("response_headers::{name}"), message);
            let name = HeaderName::try_from(name).map_err(|_| at("not a header name"))?;
            let value = HeaderValue::try_from(value.expose()).map_err(|_| at("not a header value"))?;
            headers.insert(name, value);
        }
        Ok(headers)
    }

    /// Whether the address can be listened on now.
    fn is_free(&self) -> Result<(), ConfigError> {
        let address = match self.endpoint.strip_prefix(':') {
            Some(port) => format!("0.0.0.0:{port}"),
            None => self.endpoint.clone(),
        };
        std::net::TcpListener::bind(address).map(drop).map_err(|error| {
            let message = format!("cannot listen on {}: {error}; set `endpoint` to another", self.endpoint);
            ConfigError::here("endpoint", message)
        })
    }

    /// Defaults on another address.
    pub fn on(endpoint: &str) -> Self {
        Self { endpoint: endpoint.to_owned(), ..Self::default() }
    }

    /// The limits for bodies.
    pub fn limits(&self) -> Limits {
        let body =
            self.max_recv_msg_size_mib.map_or(self.max_request_body_size.bytes(), |mib| u64::from(mib) << 20);
        Limits {
            max_body: usize::try_from(body).unwrap_or(usize::MAX),
            read_timeout: self.read_timeout.get(),
            min_transfer_rate: self.min_transfer_rate.bytes(),
        }
    }
}
