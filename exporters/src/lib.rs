//! Exporters, one file each: they deliver a batch and answer with an outcome, and know nothing of queues or retries, which
//! are given to them. [`ALL`] is the table that the agent builds them from.

mod as_json;
mod changes;
mod debug;
mod file;
mod otlp_grpc;
mod otlp_http;
mod prometheus;
mod words;

use throughline_component::Factory;

/// All exporters, sorted by name.
pub const ALL: &[Factory] = &[
    changes::FACTORY,
    debug::FACTORY,
    file::FACTORY,
    otlp_grpc::FACTORY,
    otlp_http::FACTORY,
    prometheus::FACTORY,
];
