//! Borrowed views over canonical bytes. Nothing is decoded before it is asked for, nothing is allocated.
//!
//! Every view is the bytes of one message with accessors named like its fields. A field that is absent reads as its
//! default, as protobuf has it.

mod logs;
mod lookup;
mod message;
mod metrics;
mod request;
mod traces;
mod value;

pub use logs::LogRecord;
pub use lookup::ResourceLookup;
pub use message::{Doubles, Fixed64s, Messages, Strings, Varints, View};
pub use metrics::{
    Buckets, Data, Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram,
    HistogramDataPoint, Metric, Number, NumberDataPoint, Sum, Summary, SummaryDataPoint, ValueAtQuantile,
};
pub use request::{EntityRef, Record, Request, Resource, ResourceGroup, Scope, ScopeGroup};
pub use traces::{Event, Link, Span, Status};
pub(crate) use value::key_of;
pub use value::{AnyValue, Array, Attributes, KeyValue};
