//! `logs.proto` and its service.

use super::{ANY_VALUE, INSTRUMENTATION_SCOPE, KEY_VALUE, Kind, RESOURCE, messages};

const SEVERITY_NUMBER: &[&str] = &[
    "SEVERITY_NUMBER_UNSPECIFIED",
    "SEVERITY_NUMBER_TRACE",
    "SEVERITY_NUMBER_TRACE2",
    "SEVERITY_NUMBER_TRACE3",
    "SEVERITY_NUMBER_TRACE4",
    "SEVERITY_NUMBER_DEBUG",
    "SEVERITY_NUMBER_DEBUG2",
    "SEVERITY_NUMBER_DEBUG3",
    "SEVERITY_NUMBER_DEBUG4",
    "SEVERITY_NUMBER_INFO",
    "SEVERITY_NUMBER_INFO2",
    "SEVERITY_NUMBER_INFO3",
    "SEVERITY_NUMBER_INFO4",
    "SEVERITY_NUMBER_WARN",
    "SEVERITY_NUMBER_WARN2",
    "SEVERITY_NUMBER_WARN3",
    "SEVERITY_NUMBER_WARN4",
    "SEVERITY_NUMBER_ERROR",
    "SEVERITY_NUMBER_ERROR2",
    "SEVERITY_NUMBER_ERROR3",
    "SEVERITY_NUMBER_ERROR4",
    "SEVERITY_NUMBER_FATAL",
    "SEVERITY_NUMBER_FATAL2",
    "SEVERITY_NUMBER_FATAL3",
    "SEVERITY_NUMBER_FATAL4",
];

messages! {
    /// A request that carries log records.
    EXPORT_LOGS_SERVICE_REQUEST "ExportLogsServiceRequest" Request {
        1 "resource_logs": Kind::Message(&RESOURCE_LOGS), Repeated;
    }

    /// The log records of one resource.
    RESOURCE_LOGS "ResourceLogs" ResourceGroup {
        1 "resource": Kind::Message(&RESOURCE), Singular;
        2 "scope_logs": Kind::Message(&SCOPE_LOGS), Repeated;
        3 "schema_url": Kind::String, Singular;
    }

    /// The log records of one scope.
    SCOPE_LOGS "ScopeLogs" ScopeGroup {
        1 "scope": Kind::Message(&INSTRUMENTATION_SCOPE), Singular;
        2 "log_records": Kind::Message(&LOG_RECORD), Repeated;
        3 "schema_url": Kind::String, Singular;
    }

    /// One log record or event.
    LOG_RECORD "LogRecord" Record {
        1 "time_unix_nano": Kind::Fixed64, Singular;
        2 "severity_number": Kind::Enum(SEVERITY_NUMBER), Singular;
        3 "severity_text": Kind::String, Singular;
        5 "body": Kind::Message(&ANY_VALUE), Singular;
        6 "attributes": Kind::Message(&KEY_VALUE), Repeated;
        7 "dropped_attributes_count": Kind::Uint32, Singular;
        8 "flags": Kind::Fixed32, Singular;
        9 "trace_id": Kind::HexId, Singular;
        10 "span_id": Kind::HexId, Singular;
        11 "observed_time_unix_nano": Kind::Fixed64, Singular;
        12 "event_name": Kind::String, Singular;
    }
}
