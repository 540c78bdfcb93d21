//! Files to located YAML to typed settings: expansion, merge, errors with file:line:column.
//!
//! The format is the OpenTelemetry Collector's. The way a configuration takes:
//!
//! 1. [`load`] reads each `--config` location, parses it into a tree of [`Node`]s that know where they stand,
//!    merges the trees left to right, applies `--set`, and expands `${…}`. The result is a [`Document`].
//! 2. [`Document::check`] holds the tree against a [`Catalog`] of components (this crate knows none) and finds
//!    *all* mistakes at once, each with its place, its key path and the nearest valid name.
//! 3. [`Settings`] is what a correct document says; [`Component::typed`] turns a component's part of it into
//!    that component's own type.
//!
//! Nothing here reads the process environment or the disk except [`Process`], so tests need neither.

mod catalog;
mod check;
mod collector;
mod collector_components;
mod document;
mod emit;
mod error;
mod expand;
mod id;
mod input;
mod kind;
mod load;
mod merge;
mod nearest;
mod node;
mod parse;
mod path;
mod print;
mod reasons;
mod reference;
mod resolve;
mod scalars;
mod service;
mod set;
mod settings;
mod typed;

pub use catalog::{Catalog, ComponentType};
pub use check::{Checked, service_schema};
pub use collector::{Class, classes};
pub use document::Document;
pub use error::{ConfigError, Error, Errors, Location, Warning};
pub use id::{Id, PipelineId};
pub use input::{Input, Process, Sources};
pub use kind::{Kind, Signal};
pub use load::load;
pub use nearest::did_you_mean;
pub use node::{Entry, Node, Value};
pub use print::{Format, Mask};
pub use reasons::{Reasons, reasons};
pub use reference::{reference, service_reference};
pub use scalars::{ByteSize, Duration, Optional, Secret};
pub use service::{
    IncludeExclude, LogEncoding, LogLevel, LogsTelemetry, MetricsLevel, MetricsTelemetry, OtlpReader,
    Periodic, PrometheusPage, PrometheusReader, Pull, PullExporter, PushExporter, Reader, ReaderCompression,
    ReaderHeader, ReaderHeaders, ReaderProtocol, ReaderTemporality, Service, Telemetry,
};
pub use settings::{Component, Located, Pipeline, Settings};
