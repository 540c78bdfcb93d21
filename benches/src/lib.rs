//! The end-to-end harness: a fixed corpus, a bare forwarder to compare with, load, and figures that are ratios of one run.
//!
//! `cargo xtask bench` builds and runs it. The corpus is described in [`corpus`], the forwarder in [`codec`] and
//! `bin/forwarder.rs`; `bin/harness.rs` runs the cases and prints them.

pub mod codec;
pub mod corpus;
pub mod load;
pub mod micro;
pub mod process;
