//! Spans and log records.

use super::{put_attributes, put_text, setters};
use crate::build::Attribute;
use crate::value::{Value, put_pair};
use crate::wire;

/// A span being written.
#[derive(Debug)]
pub struct Span<'a> {
    pub(super) out: &'a mut Vec<u8>,
}

setters!(Span {
    /// Sets the trace's id, 16 bytes.
    trace_id(id: &[u8]) |out| wire::put_len(out, 1, id);
    /// Sets the span's id, 8 bytes.
    span_id(id: &[u8]) |out| wire::put_len(out, 2, id);
    /// Sets the W3C trace state.
    trace_state(state: &str) |out| put_text(out, 3, state);
    /// Sets the parent's id; a root has none.
    parent_span_id(id: &[u8]) |out| wire::put_len(out, 4, id);
    /// Sets the flags.
    flags(flags: u32) |out| wire::put_fixed32(out, 16, flags);
    /// Sets the name.
    name(name: &str) |out| put_text(out, 5, name);
    /// Sets the kind, as `SpanKind` numbers it.
    kind(kind: i32) |out| wire::put_varint_field(out, 6, i64::from(kind) as u64);
    /// Sets start and end, in nanoseconds since 1970.
    time(start: u64, end: u64) |out| {
        wire::put_fixed64(out, 7, start);
        wire::put_fixed64(out, 8, end);
    };
    /// Sets the status: 0 unset, 1 ok, 2 error, and what there is to say about it.
    status(code: i32, message: &str) |out| wire::put_message(out, 15, |out| {
        put_text(out, 2, message);
        wire::put_varint_field(out, 3, i64::from(code) as u64);
    });
    /// Adds attributes.
    attributes(attributes: &[Attribute<'_>]) |out| put_attributes(out, 9, attributes);
    /// Adds an event.
    event(event: &Event<'_>) |out| wire::put_message(out, 11, |out| {
        wire::put_fixed64(out, 1, event.time_unix_nano);
        put_text(out, 2, event.name);
        put_attributes(out, 3, event.attributes);
    });
    /// Adds a link.
    link(link: &Link<'_>) |out| wire::put_message(out, 13, |out| {
        wire::put_len(out, 1, link.trace_id);
        wire::put_len(out, 2, link.span_id);
        put_attributes(out, 4, link.attributes);
    });
});

impl Span<'_> {
    /// Adds an attribute.
    pub fn attribute<'v>(&mut self, key: &str, value: impl Into<Value<'v>>) -> &mut Self {
        put_pair(self.out, 9, key, &value.into());
        self
    }
}

/// An event of a span, to write.
#[derive(Clone, Copy, Debug, Default)]
pub struct Event<'a> {
    /// When, in nanoseconds since 1970.
    pub time_unix_nano: u64,
    /// What happened.
    pub name: &'a str,
    /// More about it.
    pub attributes: &'a [Attribute<'a>],
}

/// A link to another span, to write.
#[derive(Clone, Copy, Debug, Default)]
pub struct Link<'a> {
    /// The other span's trace, 16 bytes.
    pub trace_id: &'a [u8],
    /// The other span, 8 bytes.
    pub span_id: &'a [u8],
    /// More about the relation.
    pub attributes: &'a [Attribute<'a>],
}

/// A log record being written.
#[derive(Debug)]
pub struct LogRecord<'a> {
    pub(super) out: &'a mut Vec<u8>,
}

setters!(LogRecord {
    /// Sets when it happened, in nanoseconds since 1970.
    time_unix_nano(time: u64) |out| wire::put_fixed64(out, 1, time);
    /// Sets when it was observed, in nanoseconds since 1970.
    observed_time_unix_nano(time: u64) |out| wire::put_fixed64(out, 11, time);
    /// Sets the severity, as `SeverityNumber` numbers it, and its text.
    severity(number: i32, text: &str) |out| {
        wire::put_varint_field(out, 2, i64::from(number) as u64);
        put_text(out, 3, text);
    };
    /// Adds attributes.
    attributes(attributes: &[Attribute<'_>]) |out| put_attributes(out, 6, attributes);
    /// Sets the flags.
    flags(flags: u32) |out| wire::put_fixed32(out, 8, flags);
    /// Sets the trace's id, 16 bytes.
    trace_id(id: &[u8]) |out| wire::put_len(out, 9, id);
    /// Sets the span's id, 8 bytes.
    span_id(id: &[u8]) |out| wire::put_len(out, 10, id);
    /// Makes the record an event of this name.
    event_name(name: &str) |out| put_text(out, 12, name);
});

impl LogRecord<'_> {
    /// Sets the body.
    pub fn body<'v>(&mut self, body: impl Into<Value<'v>>) -> &mut Self {
        let body = body.into();
        wire::put_message(self.out, 5, |out| body.put(out));
        self
    }

    /// Adds an attribute.
    pub fn attribute<'v>(&mut self, key: &str, value: impl Into<Value<'v>>) -> &mut Self {
        put_pair(self.out, 6, key, &value.into());
        self
    }
}
