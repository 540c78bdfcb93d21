//! The configuration as its author meets it: inputs in, messages out.

mod anything;
mod common;
mod expansion;
mod merging;
mod options;
mod pipelines;
mod printing;
mod scalars;
mod schemas;
mod yaml;
