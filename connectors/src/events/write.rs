//! Writing what the rules found.

use bytes::Bytes;
use throughline_change::change_key;
use throughline_change::event::{Type, event_id};
use throughline_change::labels::{LABELS, cut};
use throughline_otlp::view::{AnyValue, Attributes, ResourceLookup};
use throughline_otlp::{Value, build};

/// Attributes that say what happened, and go into the payload if they are there (EVT-02, LG0-12).
const PAYLOAD: &[&str] = &[
    "changes.create",
    "changes.update",
    "changes.delete",
    "changes.replace",
    "error.type",
    "exit_code",
    "failed_step",
    "result",
];

/// An event that a rule found.
pub(super) struct Found {
    kind: &'static Type,
    at: u64,
    id: String,
    labels: Vec<(&'static str, String)>,
    payload: Vec<(&'static str, Owned)>,
}

enum Owned {
    Text(String),
    Int(i64),
}

impl Found {
    pub(super) fn new(
        kind: &'static Type,
        at: u64,
        origin: &[&[u8]],
        record: Attributes<'_>,
        resource: &ResourceLookup<'_>,
    ) -> Self {
        let origin: Vec<String> = origin.iter().map(hex::encode).collect();
        let mut parts = vec!["events", kind.name];
        parts.extend(origin.iter().map(String::as_str));
        let get = |key: &str| record.get(key).or_else(|| resource.get(key));
        let labels =
            LABELS.iter().filter_map(|label| Some((*label, cut(get(label)?.as_str()?).to_owned()))).collect();
        let payload = PAYLOAD.iter().filter_map(|key| {
            Some((
                *key,
                match get(key)? {
                    AnyValue::Str(text) => Owned::Text(cut(text).to_owned()),
                    AnyValue::Int(number) => Owned::Int(number),
                    _ => return None,
                },
            ))
        });
        let mut payload: Vec<_> = payload.collect();
        // Who told of it: the event's own resource is the agent.
        let source = resource.get_str("service.name").filter(|name| !name.is_empty());
        payload.extend(source.map(|name| ("source", Owned::Text(cut(name).to_owned()))));
        Self { kind, at, id: event_id(&parts), labels, payload }
    }

    /// Says how long it took, in nanoseconds.
    pub(super) fn duration(&mut self, nanos: u64) {
        let millis = i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX);
        self.payload.push(("duration_ms", Owned::Int(millis)));
    }

    fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| *label == name).map(|(_, value)| &**value)
    }

    /// The keys of requirement ENT-02 and ENT-05.
    fn entity_id(&self) -> String {
        let change = self.label("change_id").unwrap_or("unknown");
        let place = self.label("stack_id").or_else(|| self.label("application"));
        match place {
            Some(place) => format!("{}-{change}-{place}", self.kind.entity),
            None => format!("{}-{change}", self.kind.entity),
        }
    }
}

/// A logs request with these events.
pub(super) fn request(found: &[Found], now: u64) -> Bytes {
    build::logs(|request| {
        request.resource(&[("service.name", Value::Str("throughline"))], |resource| {
            resource.scope("throughline.events", env!("CARGO_PKG_VERSION"), |scope| {
                for event in found {
                    scope.log_record(|log| write(log, event, now));
                }
            });
        });
    })
}

fn write(log: &mut build::LogRecord<'_>, event: &Found, now: u64) {
    let kind = event.kind;
    log.time_unix_nano(event.at).observed_time_unix_nano(now).event_name(kind.event_name);
    log.severity(kind.severity.number(), kind.severity.as_str());
    if let Some(change) = event.label("change_id") {
        log.trace_id(&change_key(change));
    }
    log.attribute("event_id", &*event.id).attribute("event_type", kind.name);
    log.attribute("entity_type", kind.entity).attribute("entity_id", &*event.entity_id());
    for (label, value) in &event.labels {
        log.attribute(label, &**value);
    }
    let payload: Vec<_> = event
        .payload
        .iter()
        .map(|(key, value)| match value {
            Owned::Text(text) => (*key, Value::Str(text)),
            Owned::Int(number) => (*key, Value::Int(*number)),
        })
        .collect();
    log.body(Value::Map(&payload));
}
