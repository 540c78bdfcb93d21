//! The frame of every request: resources and scopes.

use super::message::{len, view};
use super::{LogRecord, Messages, Metric, Span, View};
use crate::Signal;

/// An export request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    signal: Signal,
    bytes: &'a [u8],
}

impl<'a> Request<'a> {
    /// A view over a tidy request.
    #[must_use]
    pub const fn new(signal: Signal, bytes: &'a [u8]) -> Self {
        Self { signal, bytes }
    }

    /// The groups of the request, one for each resource.
    #[must_use]
    pub fn resources(self) -> Messages<'a, ResourceGroup<'a>> {
        Messages::new(self.bytes, 1)
    }

    /// All records with the groups they are in.
    pub fn records(self) -> impl Iterator<Item = (ResourceGroup<'a>, ScopeGroup<'a>, Record<'a>)> + 'a {
        self.resources().flat_map(move |resource| {
            resource.scopes().flat_map(move |scope| {
                Messages::<Raw<'a>>::new(scope.bytes(), 2).map(move |Raw(bytes)| {
                    let record = match self.signal {
                        Signal::Traces => Record::Span(Span::over(bytes)),
                        Signal::Metrics => Record::Metric(Metric::over(bytes)),
                        Signal::Logs => Record::Log(LogRecord::over(bytes)),
                    };
                    (resource, scope, record)
                })
            })
        })
    }
}

/// A record of any signal.
#[derive(Clone, Copy, Debug)]
pub enum Record<'a> {
    /// A span.
    Span(Span<'a>),
    /// A metric.
    Metric(Metric<'a>),
    /// A log record.
    Log(LogRecord<'a>),
}

#[derive(Clone, Copy)]
struct Raw<'a>(&'a [u8]);

impl<'a> View<'a> for Raw<'a> {
    fn over(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn bytes(self) -> &'a [u8] {
        self.0
    }
}

view! {
    /// `ResourceSpans`, `ResourceMetrics` or `ResourceLogs`.
    ResourceGroup {
        messages scopes = 2 as ScopeGroup;
        str schema_url = 3;
    }
}

impl<'a> ResourceGroup<'a> {
    /// The resource; empty if there is none.
    #[must_use]
    pub fn resource(self) -> Resource<'a> {
        Resource::over(len(self.bytes, 1).unwrap_or_default())
    }
}

view! {
    /// `ScopeSpans`, `ScopeMetrics` or `ScopeLogs`.
    ScopeGroup {
        /// Of a traces request only.
        messages spans = 2 as Span;
        /// Of a metrics request only.
        messages metrics = 2 as Metric;
        /// Of a logs request only.
        messages log_records = 2 as LogRecord;
        str schema_url = 3;
    }
}

impl<'a> ScopeGroup<'a> {
    /// The scope; empty if there is none.
    #[must_use]
    pub fn scope(self) -> Scope<'a> {
        Scope::over(len(self.bytes, 1).unwrap_or_default())
    }
}

view! {
    /// What the telemetry is about.
    Resource {
        attributes attributes = 1;
        u32 dropped_attributes_count = 2;
        messages entity_refs = 3 as EntityRef;
    }
}

view! {
    /// Which attributes of a resource identify an entity.
    EntityRef {
        str schema_url = 1;
        /// The entity's type, called `type` in protobuf.
        str entity_type = 2;
        strings id_keys = 3;
        strings description_keys = 4;
    }
}

view! {
    /// What produced the records: `InstrumentationScope`.
    Scope {
        str name = 1;
        str version = 2;
        attributes attributes = 3;
        u32 dropped_attributes_count = 4;
    }
}
