//! `service::telemetry::metrics::readers`: who gets the agent's own metrics, as the Collector's configurations write it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reasons;
use crate::scalars::Secret;

/// Who gets the agent's own metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reader {
    /// Somebody fetches them.
    Pull(Pull),
    /// They are sent at an interval.
    Periodic(Periodic),
}

/// How the agent's own metrics are fetched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-not-supported" = reasons(&[
    ("producers", "leave it out: all that the agent measures is on the page"),
    ("cardinality_limits", "leave it out: the labels are those of components, and few"),
])))]
pub struct Pull {
    /// The form of the page.
    pub exporter: PullExporter,
}

/// A page to fetch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PullExporter {
    /// A page for Prometheus, at `/metrics`.
    pub prometheus: PrometheusReader,
}

/// A page for Prometheus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("x-not-supported" = reasons(&[
    ("translation_strategy", "`without_units` and `without_type_suffix` say how names are made"),
])))]
pub struct PrometheusReader {
    /// Where to listen: a name or an address; `0.0.0.0` is every interface.
    pub host: String,
    /// The port to listen on.
    pub port: u16,
    /// Leaves out the labels `otel_scope_name` and `otel_scope_version`.
    pub without_scope_info: bool,
    /// Leaves `_total` off the names of counters.
    pub without_type_suffix: bool,
    /// Leaves units off the names.
    pub without_units: bool,
    /// Attributes of the agent's resource that every series has as labels.
    pub with_resource_constant_labels: Option<IncludeExclude>,
}

impl Default for PrometheusReader {
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            port: 8888,
            without_scope_info: true,
            without_type_suffix: true,
            without_units: true,
            with_resource_constant_labels: None,
        }
    }
}

impl PrometheusReader {
    /// Host and port as one address.
    pub fn address(&self) -> String {
        let host = self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&self.host);
        if host.contains(':') { format!("[{host}]:{}", self.port) } else { format!("{host}:{}", self.port) }
    }
}

/// A choice among names.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IncludeExclude {
    /// Only these; all, if the list is empty.
    pub included: Vec<String>,
    /// All but these.
    pub excluded: Vec<String>,
}

impl IncludeExclude {
    /// Whether a name is chosen.
    pub fn takes(&self, name: &str) -> bool {
        let among = |list: &[String]| list.iter().any(|one| one == name);
        !among(&self.excluded) && (self.included.is_empty() || among(&self.included))
    }
}

/// How the agent's own metrics are sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-not-supported" = reasons(&[
    ("producers", "leave it out: all that the agent measures is sent"),
    ("cardinality_limits", "leave it out: the labels are those of components, and few"),
])))]
pub struct Periodic {
    /// How often, in milliseconds.
    #[serde(default = "minute")]
    #[schemars(range(min = 1))]
    pub interval: u64,
    /// How long one attempt may take, in milliseconds.
    #[serde(default = "half_a_minute")]
    #[schemars(range(min = 1))]
    pub timeout: u64,
    /// The server to send to.
    pub exporter: PushExporter,
}

fn minute() -> u64 {
    60_000
}

fn half_a_minute() -> u64 {
    30_000
}

/// Where the agent's own metrics are sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-not-supported" = reasons(&[
    ("console", "`pull` serves a page that people can read"),
    ("otlp_http", "`otlp: {protocol: http/protobuf}`"),
    ("otlp_grpc", "`otlp: {protocol: grpc}`"),
])))]
pub struct PushExporter {
    /// A server that takes OTLP.
    pub otlp: OtlpReader,
}

/// A server that takes the agent's own metrics as OTLP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-not-supported" = reasons(&[
    ("tls", "`certificate`, `client_certificate` and `client_key` name the files"),
    ("default_histogram_aggregation", "leave it out: histograms have explicit buckets"),
])))]
pub struct OtlpReader {
    /// The protocol.
    pub protocol: ReaderProtocol,
    /// Its address: `http://host:port` or `https://host:port`; over HTTP with a path, if it is not `/v1/metrics`.
    pub endpoint: String,
    /// Headers added to every request: a map, or a list of `name` and `value`.
    #[serde(default)]
    pub headers: ReaderHeaders,
    /// The same as text, `name=value,name=value`. `headers` win.
    #[serde(default)]
    pub headers_list: Option<Secret>,
    /// How requests are compressed.
    #[serde(default)]
    pub compression: ReaderCompression,
    /// How long one request may take, in milliseconds.
    #[serde(default = "ten_seconds")]
    pub timeout: u64,
    /// Plain text, if the endpoint has no `http://` or `https://` in front (gRPC).
    #[serde(default)]
    pub insecure: bool,
    /// A file with the authorities to trust, PEM. Unset: those of the system.
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    /// A file with our certificate chain, PEM, for mutual TLS.
    #[serde(default)]
    pub client_certificate: Option<PathBuf>,
    /// A file with our private key, PEM.
    #[serde(default)]
    pub client_key: Option<PathBuf>,
    /// From when the points of counters and histograms count.
    #[serde(default)]
    pub temporality_preference: ReaderTemporality,
}

fn ten_seconds() -> u64 {
    10_000
}

/// What a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-not-supported" = reasons(&[("http/json", "`http/protobuf`")])))]
pub enum ReaderProtocol {
    /// OTLP over HTTP, protobuf.
    #[serde(rename = "http/protobuf")]
    Http,
    /// OTLP over gRPC.
    #[serde(rename = "grpc", alias = "grpc/protobuf")]
    Grpc,
}

/// How requests are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReaderCompression {
    /// RFC 1952.
    Gzip,
    /// As they are.
    #[default]
    None,
}

/// From when the points of counters and histograms count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(extend("x-not-supported" = reasons(&[
    ("delta", "let the backend take differences, or a Collector's `cumulativetodelta`"),
    ("lowmemory", "let the backend take differences, or a Collector's `cumulativetodelta`"),
])))]
pub enum ReaderTemporality {
    /// The start of the process.
    #[default]
    Cumulative,
}

/// Headers as either of the Collector's schemas writes them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ReaderHeaders {
    /// Names to values.
    Map(BTreeMap<String, Secret>),
    /// One after the other.
    List(Vec<ReaderHeader>),
}

impl Default for ReaderHeaders {
    fn default() -> Self {
        Self::Map(BTreeMap::new())
    }
}

/// A header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReaderHeader {
    /// Its name.
    pub name: String,
    /// Its value; never shown.
    #[serde(default)]
    pub value: Secret,
}

impl OtlpReader {
    /// All headers, name by name.
    pub fn all_headers(&self) -> BTreeMap<String, Secret> {
        let list = self.headers_list.as_ref().map_or("", Secret::expose);
        let pairs = list.split(',').filter_map(|pair| pair.split_once('='));
        let mut all: BTreeMap<String, Secret> =
            pairs.map(|(name, value)| (name.trim().to_owned(), Secret::new(value.trim()))).collect();
        match &self.headers {
            ReaderHeaders::Map(map) => all.extend(map.clone()),
            ReaderHeaders::List(list) => {
                all.extend(list.iter().map(|header| (header.name.clone(), header.value.clone())));
            }
        }
        all
    }
}
