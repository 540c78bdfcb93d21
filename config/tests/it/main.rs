//! The configuration as its author meets it: inputs in, messages out.

mod common;
mod pipelines;
