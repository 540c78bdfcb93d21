//! Exporters, one file each.

mod debug;
mod file;
mod otlp_grpc;
mod otlp_http;
mod prometheus;

use throughline_component::Factory;

/// All exporters, sorted by name.
pub const ALL: &[Factory] =
    &[debug::FACTORY, file::FACTORY, otlp_grpc::FACTORY, otlp_http::FACTORY, prometheus::FACTORY];
