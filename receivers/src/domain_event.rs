//! Writing domain events as log records: the envelope of requirement ENV-01 to ENV-11, from which it can be rebuilt.

use bytes::Bytes;
use throughline_change::event::{Severity, Type};
use throughline_otlp::{Value, build};

/// A domain event on its way into a log record.
#[derive(Clone, Debug)]
pub(crate) struct DomainEvent {
    /// What happened.
    pub(crate) kind: &'static Type,
    /// The same for every delivery of the same transition.
    pub(crate) event_id: String,
    /// When, in nanoseconds since 1970, as the source has it.
    pub(crate) occurred_at: u64,
    /// What it happened to.
    pub(crate) entity_id: String,
    /// More severe than its type, if this one is.
    pub(crate) severity: Severity,
    /// Labels and identifiers: attributes of the record.
    pub(crate) attributes: Vec<(&'static str, Field)>,
    /// What the type says of it: the record's body.
    pub(crate) payload: Vec<(&'static str, Field)>,
}

/// A value of an event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Field {
    Text(String),
    Int(i64),
    Bool(bool),
}

impl From<&str> for Field {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl Field {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Text(text) => Value::Str(text),
            Self::Int(number) => Value::Int(*number),
            Self::Bool(flag) => Value::Bool(*flag),
        }
    }
}

/// A logs request with these events. `source` is the instrumentation scope, `resource` who speaks.
pub(crate) fn request(
    events: &[DomainEvent],
    source: &str,
    resource: &[(&str, Value<'_>)],
    now: u64,
) -> Bytes {
    build::logs(|request| {
        request.resource(resource, |resource| {
            resource.scope(source, env!("CARGO_PKG_VERSION"), |scope| {
                for event in events {
                    scope.log_record(|log| write(log, event, now));
                }
            });
        });
    })
}

fn write(log: &mut build::LogRecord<'_>, event: &DomainEvent, now: u64) {
    log.time_unix_nano(event.occurred_at).observed_time_unix_nano(now).event_name(event.kind.event_name);
    log.severity(event.severity.number(), event.severity.as_str());
    log.attribute("event_id", &*event.event_id);
    log.attribute("event_type", event.kind.name);
    log.attribute("entity_type", event.kind.entity);
    log.attribute("entity_id", &*event.entity_id);
    for (key, field) in &event.attributes {
        log.attribute(key, field.value());
    }
    let payload: Vec<_> = event.payload.iter().map(|(key, field)| (*key, field.value())).collect();
    log.body(Value::Map(&payload));
}
