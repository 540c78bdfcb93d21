//! The `service` section: the agent's own settings.

mod readers;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

pub use readers::{
    IncludeExclude, OtlpReader, Periodic, PrometheusReader, Pull, PullExporter, PushExporter, Reader,
    ReaderCompression, ReaderHeader, ReaderHeaders, ReaderProtocol, ReaderTemporality,
};

use crate::reasons;
use crate::scalars::{ByteSize, Duration};

/// Which components run, and the settings of the agent itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Service {
    /// The agent's own log and metrics.
    pub telemetry: Telemetry,
    /// Whether secrets are masked in every pipeline before its first storage or exporter, also without a
    /// `secrets` processor.
    pub mask_secrets: bool,
    /// How long a shutdown may wait for data in flight to be delivered or stored. Less than the 30 s after which Kubernetes
    /// kills a pod.
    pub shutdown_timeout: Duration,
    /// How many bytes of memory all requests together may hold until they are settled. Requests beyond that are
    /// refused, and may be sent again. A request larger than this is taken only while nothing else is held.
    pub memory_budget: ByteSize,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            telemetry: Telemetry::default(),
            mask_secrets: true,
            shutdown_timeout: Duration::from_secs(20),
            memory_budget: ByteSize::mib(20),
        }
    }
}

/// The agent's own log and metrics.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("x-not-supported" = reasons(&[
    ("traces", "leave it out: the agent makes no spans of its own work"),
])))]
pub struct Telemetry {
    /// Its own log.
    pub logs: LogsTelemetry,
    /// Its own metrics, for Prometheus to scrape.
    pub metrics: MetricsTelemetry,
    /// Attributes of the agent's own resource; null removes one that it would set by itself.
    pub resource: BTreeMap<String, Option<String>>,
}

/// The agent's own log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(
    extend("x-not-supported" = reasons(&[
        ("processors", "let what collects the log send it on"),
    ])),
    extend("x-without-meaning" = reasons(&[
        ("sampling", "what repeats is written once a minute, with its count"),
        ("error_output_paths", "the log has no errors of its own to write elsewhere"),
        ("development", "entries look the same everywhere"),
        ("disable_caller", "entries name no line of code"),
        ("disable_stacktrace", "entries have no stack traces"),
        ("disable_zap_resource", "entries do not repeat the resource"),
    ]))
)]
pub struct LogsTelemetry {
    /// The least severe entries to write.
    pub level: LogLevel,
    /// How entries are written.
    pub encoding: LogEncoding,
    /// Where entries are written: `stderr`, `stdout`, or files, which are appended to.
    pub output_paths: Vec<String>,
    /// Fields that are added to every entry.
    pub initial_fields: BTreeMap<String, String>,
}

impl Default for LogsTelemetry {
    fn default() -> Self {
        Self {
            level: LogLevel::default(),
            encoding: LogEncoding::default(),
            output_paths: vec!["stderr".to_owned()],
            initial_fields: BTreeMap::new(),
        }
    }
}

/// How severe an entry of the agent's own log is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(extend("x-ignore-case" = true))]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// What an operator may want to know.
    #[default]
    Info,
    /// What will need attention.
    Warn,
    /// What went wrong.
    Error,
}

/// How the agent's own log is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogEncoding {
    /// For people.
    #[default]
    Console,
    /// For machines.
    Json,
}

/// The agent's own metrics.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("x-not-supported" = reasons(&[
    ("views", "let the scraper drop what it does not want"),
])))]
pub struct MetricsTelemetry {
    /// How many metrics there are.
    pub level: MetricsLevel,
    /// Where Prometheus finds them, `host:port`. Unset: where `readers` say, and `localhost:8888` if there are none.
    #[serde(deserialize_with = "host_and_port")]
    pub address: Option<String>,
    /// The exporter that sends them, in the Collector's form.
    pub readers: Option<Vec<Reader>>,
}

impl MetricsTelemetry {
    /// The pages for Prometheus, in order, each address once.
    pub fn pages(&self) -> Vec<PrometheusPage> {
        let plain =
            |address: &str| PrometheusPage { address: address.to_owned(), form: PrometheusReader::default() };
        let mut pages: Vec<PrometheusPage> = self.address.iter().map(|address| plain(address)).collect();
        for reader in self.readers.iter().flatten() {
            if let Reader::Pull(Pull { exporter }) = reader {
                let form = exporter.prometheus.clone();
                let address = form.address();
                if pages.iter().all(|page| page.address != address) {
                    pages.push(PrometheusPage { address, form });
                }
            }
        }
        if self.address.is_none() && self.readers.is_none() {
            pages.push(plain("localhost:8888"));
        }
        pages
    }

    /// Those to whom they are sent.
    pub fn periodic(&self) -> impl Iterator<Item = &Periodic> {
        self.readers.iter().flatten().filter_map(|reader| match reader {
            Reader::Periodic(periodic) => Some(periodic),
            Reader::Pull(_) => None,
        })
    }
}

/// A page of the agent's own metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct PrometheusPage {
    /// Where it is served, `host:port`.
    pub address: String,
    /// How it is written.
    pub form: PrometheusReader,
}

/// An address with a port; what no type can say.
fn host_and_port<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let Some(address) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    match address.rsplit_once(':').map(|(_, port)| port.parse::<u16>()) {
        Some(Ok(_)) => Ok(Some(address)),
        _ => Err(de::Error::custom("expected `host:port`, such as `localhost:8888`")),
    }
}

/// How much the agent measures of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(extend("x-ignore-case" = true))]
pub enum MetricsLevel {
    /// Nothing; the address is not opened.
    None,
    /// What shows that it works.
    Basic,
    /// What an operator needs.
    #[default]
    Normal,
    /// Everything.
    Detailed,
}
