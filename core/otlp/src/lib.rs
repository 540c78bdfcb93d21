//! OTLP on the wire: requests of protobuf bytes that are admitted once, read through borrowed views and
//! changed by splices. No I/O, no decoding into owned trees.
//!
//! * [`admit()`] makes bytes trustworthy: everything else in this crate expects bytes that it returned (*canonical* bytes).
//!   On other bytes nothing panics, but answers may be incomplete.
//! * [`view`] reads, [`edit`] changes records, [`batch`] counts, joins and splits requests.
//! * [`schema`] describes every message of OTLP 1.x, [`path`] names places inside them.
//! * [`steps`] counts work, by which tests hold that all of it is linear.

pub mod admit;
pub mod batch;
pub mod build;
pub mod edit;
pub mod json;
pub mod partial;
pub mod path;
pub mod schema;
mod signal;
pub mod steps;
mod utf8;
mod value;
pub mod view;
pub mod wire;

pub use admit::{Admitted, Limits, Malformed, admit};
pub use signal::Signal;
pub use value::Value;
