//! `trace.proto` and its service.

use super::{INSTRUMENTATION_SCOPE, KEY_VALUE, Kind, RESOURCE, messages};

const SPAN_KIND: &[&str] = &[
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];

const STATUS_CODE: &[&str] = &["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];

messages! {
    /// A request that carries spans.
    EXPORT_TRACE_SERVICE_REQUEST "ExportTraceServiceRequest" Request {
        1 "resource_spans": Kind::Message(&RESOURCE_SPANS), Repeated;
    }

    /// The spans of one resource.
    RESOURCE_SPANS "ResourceSpans" ResourceGroup {
        1 "resource": Kind::Message(&RESOURCE), Singular;
        2 "scope_spans": Kind::Message(&SCOPE_SPANS), Repeated;
        3 "schema_url": Kind::String, Singular;
    }

    /// The spans of one scope.
    SCOPE_SPANS "ScopeSpans" ScopeGroup {
        1 "scope": Kind::Message(&INSTRUMENTATION_SCOPE), Singular;
        2 "spans": Kind::Message(&SPAN), Repeated;
        3 "schema_url": Kind::String, Singular;
    }

    /// One operation of a trace.
    SPAN "Span" Record {
        1 "trace_id": Kind::HexId, Singular;
        2 "span_id": Kind::HexId, Singular;
        3 "trace_state": Kind::String, Singular;
        4 "parent_span_id": Kind::HexId, Singular;
        5 "name": Kind::String, Singular;
        6 "kind": Kind::Enum(SPAN_KIND), Singular;
        7 "start_time_unix_nano": Kind::Fixed64, Singular;
        8 "end_time_unix_nano": Kind::Fixed64, Singular;
        9 "attributes": Kind::Message(&KEY_VALUE), Repeated;
        10 "dropped_attributes_count": Kind::Uint32, Singular;
        11 "events": Kind::Message(&SPAN_EVENT), Repeated;
        12 "dropped_events_count": Kind::Uint32, Singular;
        13 "links": Kind::Message(&SPAN_LINK), Repeated;
        14 "dropped_links_count": Kind::Uint32, Singular;
        15 "status": Kind::Message(&STATUS), Singular;
        16 "flags": Kind::Fixed32, Singular;
    }

    /// Something that happened during a span.
    SPAN_EVENT "Event" Part {
        1 "time_unix_nano": Kind::Fixed64, Singular;
        2 "name": Kind::String, Singular;
        3 "attributes": Kind::Message(&KEY_VALUE), Repeated;
        4 "dropped_attributes_count": Kind::Uint32, Singular;
    }

    /// A pointer to another span.
    SPAN_LINK "Link" Part {
        1 "trace_id": Kind::HexId, Singular;
        2 "span_id": Kind::HexId, Singular;
        3 "trace_state": Kind::String, Singular;
        4 "attributes": Kind::Message(&KEY_VALUE), Repeated;
        5 "dropped_attributes_count": Kind::Uint32, Singular;
        6 "flags": Kind::Fixed32, Singular;
    }

    /// How a span ended.
    STATUS "Status" Part {
        2 "message": Kind::String, Singular;
        3 "code": Kind::Enum(STATUS_CODE), Singular;
    }
}
