//! Spans and what they consist of.

use super::message::view;

view! {
    /// A span.
    Span {
        bytes trace_id = 1;
        bytes span_id = 2;
        str trace_state = 3;
        bytes parent_span_id = 4;
        str name = 5;
        /// As `SpanKind` numbers it.
        i32 kind = 6;
        u64 start_time_unix_nano = 7;
        u64 end_time_unix_nano = 8;
        attributes attributes = 9;
        u32 dropped_attributes_count = 10;
        messages events = 11 as Event;
        u32 dropped_events_count = 12;
        messages links = 13 as Link;
        u32 dropped_links_count = 14;
        message status = 15 as Status;
        u32 flags = 16;
    }
}

view! {
    /// Something that happened during a span.
    Event {
        u64 time_unix_nano = 1;
        str name = 2;
        attributes attributes = 3;
        u32 dropped_attributes_count = 4;
    }
}

view! {
    /// A pointer to another span.
    Link {
        bytes trace_id = 1;
        bytes span_id = 2;
        str trace_state = 3;
        attributes attributes = 4;
        u32 dropped_attributes_count = 5;
        u32 flags = 6;
    }
}

view! {
    /// How a span ended.
    Status {
        str message = 2;
        /// As `StatusCode` numbers it: 0 unset, 1 ok, 2 error.
        i32 code = 3;
    }
}
