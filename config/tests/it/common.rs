//! A small world: files and variables in memory, and a catalog of components to check against.

use std::collections::BTreeMap;
use std::io;

use schemars::{JsonSchema, schema_for};
use serde::{Deserialize, Serialize};
use throughline_config::*;

/// Files and variables that exist only here.
#[derive(Default, Clone)]
pub(crate) struct MemorySources {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) vars: BTreeMap<String, String>,
}

impl MemorySources {
    pub(crate) fn file(mut self, path: &str, text: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.to_owned(), text.into());
        self
    }

    pub(crate) fn var(mut self, name: &str, text: &str) -> Self {
        self.vars.insert(name.to_owned(), text.to_owned());
        self
    }

    /// Loads `a.yaml` and, where there is one, `b.yaml`.
    pub(crate) fn load(&self, sets: &[&str]) -> Result<Document, Errors> {
        let inputs: Vec<_> =
            self.files.keys().filter(|path| path.ends_with(".yaml")).cloned().map(Input::File).collect();
        let sets: Vec<_> = sets.iter().map(|set| (*set).to_owned()).collect();
        load(&inputs, &sets, self)
    }
}

impl Sources for MemorySources {
    fn env(&self, name: &str) -> Result<Option<String>, String> {
        Ok(self.vars.get(name).cloned())
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.files.get(path).cloned().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such file"))
    }
}

/// One file and no variables.
pub(crate) fn yaml(text: &str) -> MemorySources {
    MemorySources::default().file("a.yaml", text)
}

/// All errors of one file as the user reads them, warnings left out.
pub(crate) fn errors(text: &str) -> String {
    match yaml(text).load(&[]) {
        Err(errors) => errors.to_string(),
        Ok(document) => document.check(&catalog()).errors.to_string(),
    }
}

/// The errors of a correct file with this as the settings of exporter `otlp_grpc`, from line 5, indented by four.
pub(crate) fn exporter_errors(settings: &str) -> String {
    errors(&with_exporter(settings))
}

/// A correct configuration with these settings for exporter `otlp_grpc`.
pub(crate) fn with_exporter(settings: &str) -> String {
    let settings: String = settings.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "receivers:\n  otlp:\nexporters:\n  otlp_grpc:\n{settings}\
         service: {{pipelines: {{traces: {{receivers: [otlp], exporters: [otlp_grpc]}}}}}}\n"
    )
}

/// All warnings of one file.
pub(crate) fn warnings(world: &MemorySources) -> String {
    let checked = world.load(&[]).expect("well-formed").check(&catalog());
    checked.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The checked settings of a world without mistakes.
pub(crate) fn settings(world: &MemorySources) -> Settings {
    let checked = world.load(&[]).expect("well-formed").check(&catalog());
    assert_eq!(checked.errors.to_string(), "");
    checked.settings.expect("no errors, so there are settings")
}

/// The exporter `otlp_grpc` of a world without mistakes.
pub(crate) fn exporter(world: &MemorySources) -> Exporter {
    let settings = settings(world);
    let id = "otlp_grpc".parse::<Id>().expect("an id");
    settings.components[&(Kind::Exporter, id)].typed().expect("fits its schema")
}

/// Takes OTLP in.
#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Receiver {
    /// The ways in.
    pub(crate) protocols: Protocols,
}

impl Default for Receiver {
    fn default() -> Self {
        Self { protocols: Protocols { grpc: Optional::Off, http: Optional::Off } }
    }
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Protocols {
    /// Over gRPC.
    pub(crate) grpc: Optional<Server>,
    /// Over HTTP.
    pub(crate) http: Optional<Server>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Server {
    /// Where to listen.
    pub(crate) endpoint: String,
    pub(crate) max_request_body_size: ByteSize,
}

impl Default for Server {
    fn default() -> Self {
        Self { endpoint: "localhost:4317".to_owned(), max_request_body_size: ByteSize::mib(64) }
    }
}

/// Sends OTLP on.
#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-not-supported" = reasons(&[("balancer_name", ""), ("keepalive", "set `timeout`")]),
    "x-without-meaning" = reasons(&[("write_buffer_size", "writes are not buffered")])))]
pub(crate) struct Exporter {
    /// Where to send.
    #[serde(default)]
    pub(crate) endpoint: String,
    /// How long one request may take.
    #[serde(default = "five_seconds")]
    pub(crate) timeout: Duration,
    /// What is sent along with each request.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, Secret>,
    #[serde(default)]
    pub(crate) tls: Tls,
    #[serde(default)]
    pub(crate) compression: Compression,
    #[serde(default)]
    pub(crate) port: Option<u16>,
    #[serde(default)]
    pub(crate) token: Option<Secret>,
    #[serde(default = "queue_on")]
    pub(crate) sending_queue: Optional<Queue>,
    #[serde(default)]
    pub(crate) auth: Option<Auth>,
    #[serde(default)]
    pub(crate) paths: Vec<String>,
    #[serde(default)]
    pub(crate) ratio: f64,
    #[serde(default)]
    pub(crate) when: Option<When>,
}

fn five_seconds() -> Duration {
    Duration::from_secs(5)
}

fn queue_on() -> Optional<Queue> {
    Optional::On(Queue { queue_size: 1000 })
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) insecure: bool,
    /// The oldest version to speak.
    pub(crate) min_version: TlsVersion,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) enum TlsVersion {
    /// Every peer knows it.
    #[default]
    #[serde(rename = "1.2")]
    V12,
    /// The newer.
    #[serde(rename = "1.3")]
    V13,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Compression {
    #[default]
    Gzip,
    Zstd,
    None,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Queue {
    /// How many requests it holds.
    pub(crate) queue_size: u32,
}

impl Default for Queue {
    fn default() -> Self {
        Self { queue_size: 1000 }
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Auth {
    Bearer { token: Secret },
    Basic { username: String, password: Secret },
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum When {
    Always(bool),
    Names(Vec<String>),
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Batch {
    pub(crate) timeout: Duration,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Webhook {
    /// Where to listen.
    pub(crate) endpoint: String,
}

pub(crate) fn catalog() -> Catalog {
    let all: &[Signal] = &Signal::ALL;
    let traces: &[Signal] = &[Signal::Traces];
    let metrics: &[Signal] = &[Signal::Metrics];
    let logs: &[Signal] = &[Signal::Logs];
    let known = |kind, type_name, schema, consumes, produces| ComponentType {
        kind,
        type_name,
        aliases: &[],
        schema,
        consumes,
        produces,
    };
    Catalog::new(vec![
        known(Kind::Receiver, "otlp", schema_for!(Receiver), &[], all),
        ComponentType {
            aliases: &["webhookevent"],
            ..known(Kind::Receiver, "webhook_event", schema_for!(Webhook), &[], logs)
        },
        known(Kind::Processor, "batch", schema_for!(Batch), all, all),
        ComponentType {
            aliases: &["otlp"],
            ..known(Kind::Exporter, "otlp_grpc", schema_for!(Exporter), all, &[])
        },
        known(Kind::Exporter, "prometheus", schema_for!(Batch), metrics, &[]),
        known(Kind::Connector, "count", schema_for!(Batch), traces, metrics),
        known(Kind::Extension, "health_check", schema_for!(Batch), &[], &[]),
    ])
}
