//! The three kinds of telemetry that OTLP carries.

use std::fmt;

use crate::schema::{self, Message};

/// A kind of telemetry: which of the three export requests some bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    /// `ExportTraceServiceRequest`.
    Traces,
    /// `ExportMetricsServiceRequest`.
    Metrics,
    /// `ExportLogsServiceRequest`.
    Logs,
}

impl Signal {
    /// All three, in the order of the specification.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    /// The name used in configuration: `traces`, `metrics` or `logs`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }

    /// What one item of this signal is called in counters: `spans`, `metric_points` or `log_records`.
    #[must_use]
    pub const fn items(self) -> &'static str {
        match self {
            Self::Traces => "spans",
            Self::Metrics => "metric_points",
            Self::Logs => "log_records",
        }
    }

    /// The schema of the signal's export request.
    #[must_use]
    pub fn request(self) -> &'static Message {
        match self {
            Self::Traces => &schema::EXPORT_TRACE_SERVICE_REQUEST,
            Self::Metrics => &schema::EXPORT_METRICS_SERVICE_REQUEST,
            Self::Logs => &schema::EXPORT_LOGS_SERVICE_REQUEST,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
