//! Writing new requests, field by field, straight into bytes.
//!
//! ```
//! use throughline_otlp::{Value, build};
//!
//! let bytes = build::logs(|request| {
//!     request.resource(&[("service.name", "checkout".into())], |resource| {
//!         resource.scope("example", "1.0", |scope| {
//!             scope.log_record(|log| {
//!                 log.event_name("change.plan.completed").body("planned").attribute("changes", 3i64);
//!             });
//!         });
//!     });
//! });
//! # assert_eq!(throughline_otlp::batch::count(throughline_otlp::Signal::Logs, &bytes), 1);
//! ```
//!
//! Setting a singular field twice leaves a non-canonical request: admission would merge it, views would see the first.

mod metrics;
mod records;

use std::marker::PhantomData;

use bytes::Bytes;

use crate::value::{Value, put_pair};
use crate::view::Number;
use crate::wire;

pub use metrics::{Exemplar, HistogramPoint, MetricBuilder, NumberPoint, Temporality};
pub use records::{Event, Link, LogRecord, Span};

/// Builds a traces request.
#[must_use]
pub fn traces(write: impl FnOnce(&mut Request<'_, Traces>)) -> Bytes {
    request(write)
}

/// Builds a metrics request.
#[must_use]
pub fn metrics(write: impl FnOnce(&mut Request<'_, Metrics>)) -> Bytes {
    request(write)
}

/// Builds a logs request.
#[must_use]
pub fn logs(write: impl FnOnce(&mut Request<'_, Logs>)) -> Bytes {
    request(write)
}

fn request<S>(write: impl FnOnce(&mut Request<'_, S>)) -> Bytes {
    let mut out = Vec::new();
    write(&mut Request { out: &mut out, signal: PhantomData });
    out.into()
}

/// Marks builders of a traces request.
#[derive(Debug)]
pub enum Traces {}
/// Marks builders of a metrics request.
#[derive(Debug)]
pub enum Metrics {}
/// Marks builders of a logs request.
#[derive(Debug)]
pub enum Logs {}

/// An attribute to write.
pub type Attribute<'a> = (&'a str, Value<'a>);

/// A request being written.
#[derive(Debug)]
pub struct Request<'a, S> {
    out: &'a mut Vec<u8>,
    signal: PhantomData<S>,
}

/// A resource's group being written.
#[derive(Debug)]
pub struct Resource<'a, S> {
    out: &'a mut Vec<u8>,
    signal: PhantomData<S>,
}

/// A scope's group being written.
#[derive(Debug)]
pub struct Scope<'a, S> {
    out: &'a mut Vec<u8>,
    signal: PhantomData<S>,
}

impl<S> Request<'_, S> {
    /// Adds a group for a resource with these attributes.
    pub fn resource(&mut self, attributes: &[Attribute<'_>], write: impl FnOnce(&mut Resource<'_, S>)) {
        wire::put_message(self.out, 1, |out| {
            wire::put_message(out, 1, |out| put_attributes(out, 1, attributes));
            write(&mut Resource { out, signal: PhantomData });
        });
    }
}

impl<S> Resource<'_, S> {
    /// Adds a group for a scope.
    pub fn scope(&mut self, name: &str, version: &str, write: impl FnOnce(&mut Scope<'_, S>)) {
        wire::put_message(self.out, 2, |out| {
            wire::put_message(out, 1, |out| {
                put_text(out, 1, name);
                put_text(out, 2, version);
            });
            write(&mut Scope { out, signal: PhantomData });
        });
    }
}

impl Scope<'_, Traces> {
    /// Adds a span.
    pub fn span(&mut self, write: impl FnOnce(&mut Span<'_>)) {
        wire::put_message(self.out, 2, |out| write(&mut Span { out }));
    }
}

impl Scope<'_, Logs> {
    /// Adds a log record.
    pub fn log_record(&mut self, write: impl FnOnce(&mut LogRecord<'_>)) {
        wire::put_message(self.out, 2, |out| write(&mut LogRecord { out }));
    }
}

impl Scope<'_, Metrics> {
    /// Adds a metric; its data is written by one call on the builder that is returned.
    pub fn metric<'s>(&'s mut self, name: &'s str) -> MetricBuilder<'s> {
        MetricBuilder::new(self.out, name)
    }
}

fn put_attributes(out: &mut Vec<u8>, number: u32, attributes: &[Attribute<'_>]) {
    attributes.iter().for_each(|(key, value)| put_pair(out, number, key, value));
}

/// Appends a string unless it is empty, which is what absence means.
fn put_text(out: &mut Vec<u8>, number: u32, text: &str) {
    if !text.is_empty() {
        wire::put_len(out, number, text.as_bytes());
    }
}

fn put_number(out: &mut Vec<u8>, as_double: u32, as_int: u32, number: Number) {
    match number {
        Number::Double(value) => wire::put_fixed64(out, as_double, value.to_bits()),
        Number::Int(value) => wire::put_fixed64(out, as_int, value as u64),
    }
}

/// Declares setters: `name(argument: type) => |out| what to append`.
macro_rules! setters {
    ($builder:ident { $($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*) |$out:ident| $put:expr;)* }) => {
        impl $builder<'_> {
            $(
                $(#[$doc])*
                pub fn $name(&mut self, $($argument: $type),*) -> &mut Self {
                    let $out = &mut *self.out;
                    $put;
                    self
                }
            )*
        }
    };
}
use setters;
