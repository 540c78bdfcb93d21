//! The frame of every request: resources and scopes.

use super::message::{len, text, view};
use super::{LogRecord, Messages, Metric, Span, View};
use crate::Signal;

/// An export request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    signal: Signal,
    bytes: &'a [u8],
}

impl<'a> Request<'a> {
    /// A view over a canonical request.
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

/// Declares a group: a view that remembers what leads it, a resource or a scope. That is asked for with every record, and what
/// stands before it may be long.
macro_rules! group {
    ($(#[$doc:meta])* $name:ident { $(#[$lead_doc:meta])* $lead:ident as $view:ident; $($(#[$field_doc:meta])* $field:ident as $member:ident;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $name<'a> {
            bytes: &'a [u8],
            $lead: &'a [u8],
        }

        impl<'a> View<'a> for $name<'a> {
            fn over(bytes: &'a [u8]) -> Self {
                Self { bytes, $lead: len(bytes, 1).unwrap_or_default() }
            }

            fn bytes(self) -> &'a [u8] {
                self.bytes
            }
        }

        impl<'a> $name<'a> {
            $(#[$lead_doc])*
            #[must_use]
            pub fn $lead(self) -> $view<'a> {
                $view::over(self.$lead)
            }

            $(
                $(#[$field_doc])*
                #[must_use]
                pub fn $field(self) -> Messages<'a, $member<'a>> {
                    Messages::new(self.bytes, 2)
                }
            )*

            /// The field `schema_url`.
            #[must_use]
            pub fn schema_url(self) -> &'a str {
                text(len(self.bytes, 3).unwrap_or_default())
            }
        }
    };
}

group! {
    /// `ResourceSpans`, `ResourceMetrics` or `ResourceLogs`.
    ResourceGroup {
        /// The resource; empty if there is none.
        resource as Resource;
        /// The field `scopes`: its number is that of `scope_spans` and its like.
        scopes as ScopeGroup;
    }
}

group! {
    /// `ScopeSpans`, `ScopeMetrics` or `ScopeLogs`.
    ScopeGroup {
        /// The scope; empty if there is none.
        scope as Scope;
        /// The field `spans` of a traces request.
        spans as Span;
        /// The field `metrics` of a metrics request.
        metrics as Metric;
        /// The field `log_records` of a logs request.
        log_records as LogRecord;
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
