//! This crate against the reference: `prost` and `prost-reflect`, on generated protobuf.

mod admission;
mod batches;
mod builders;
mod edits;
mod fields;
mod generate;
mod groups;
mod json;
mod metric_views;
mod ops;
mod paths;
mod reference;
mod schema;
mod strings;
mod views;

use proptest::prelude::*;
use throughline_otlp::Signal;

/// Any signal.
fn signals() -> impl Strategy<Value = Signal> {
    prop::sample::select(&Signal::ALL[..])
}

/// What [`generate`] makes requests of.
fn entropy() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..1500)
}
