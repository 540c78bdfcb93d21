//! Log records.

use super::AnyValue;
use super::message::{len, view};

view! {
    /// A log record, or an event if it has a name.
    LogRecord {
        u64 time_unix_nano = 1;
        /// As `SeverityNumber` numbers it: 1 to 24.
        i32 severity_number = 2;
        str severity_text = 3;
        attributes attributes = 6;
        u32 dropped_attributes_count = 7;
        u32 flags = 8;
        bytes trace_id = 9;
        bytes span_id = 10;
        u64 observed_time_unix_nano = 11;
        str event_name = 12;
    }
}

impl<'a> LogRecord<'a> {
    /// The field `body`; `None` if there is none.
    #[must_use]
    pub fn body(self) -> Option<AnyValue<'a>> {
        len(self.bytes, 5).map(AnyValue::read)
    }
}
