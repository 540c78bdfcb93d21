//! `metrics.proto` and its service.

use super::{INSTRUMENTATION_SCOPE, KEY_VALUE, Kind, RESOURCE, messages};

const AGGREGATION_TEMPORALITY: &[&str] = &[
    "AGGREGATION_TEMPORALITY_UNSPECIFIED",
    "AGGREGATION_TEMPORALITY_DELTA",
    "AGGREGATION_TEMPORALITY_CUMULATIVE",
];

messages! {
    /// A request that carries metrics.
    EXPORT_METRICS_SERVICE_REQUEST "ExportMetricsServiceRequest" Request {
        1 "resource_metrics": Kind::Message(&RESOURCE_METRICS), Repeated;
    }

    /// The metrics of one resource.
    RESOURCE_METRICS "ResourceMetrics" ResourceGroup {
        1 "resource": Kind::Message(&RESOURCE), Singular;
        2 "scope_metrics": Kind::Message(&SCOPE_METRICS), Repeated;
        3 "schema_url": Kind::String, Singular;
    }

    /// The metrics of one scope.
    SCOPE_METRICS "ScopeMetrics" ScopeGroup {
        1 "scope": Kind::Message(&INSTRUMENTATION_SCOPE), Singular;
        2 "metrics": Kind::Message(&METRIC), Repeated;
        3 "schema_url": Kind::String, Singular;
    }

    /// A metric with its data points.
    METRIC "Metric" Metric {
        1 "name": Kind::String, Singular;
        2 "description": Kind::String, Singular;
        3 "unit": Kind::String, Singular;
        5 "gauge": Kind::Message(&GAUGE), OneOf;
        7 "sum": Kind::Message(&SUM), OneOf;
        9 "histogram": Kind::Message(&HISTOGRAM), OneOf;
        10 "exponential_histogram": Kind::Message(&EXPONENTIAL_HISTOGRAM), OneOf;
        11 "summary": Kind::Message(&SUMMARY), OneOf;
        12 "metadata": Kind::Message(&KEY_VALUE), Repeated;
    }

    /// Points that stand for themselves.
    GAUGE "Gauge" Part {
        1 "data_points": Kind::Message(&NUMBER_DATA_POINT), Repeated;
    }

    /// Points that add up.
    SUM "Sum" Part {
        1 "data_points": Kind::Message(&NUMBER_DATA_POINT), Repeated;
        2 "aggregation_temporality": Kind::Enum(AGGREGATION_TEMPORALITY), Singular;
        3 "is_monotonic": Kind::Bool, Singular;
    }

    /// Points with explicit buckets.
    HISTOGRAM "Histogram" Part {
        1 "data_points": Kind::Message(&HISTOGRAM_DATA_POINT), Repeated;
        2 "aggregation_temporality": Kind::Enum(AGGREGATION_TEMPORALITY), Singular;
    }

    /// Points with exponential buckets.
    EXPONENTIAL_HISTOGRAM "ExponentialHistogram" Part {
        1 "data_points": Kind::Message(&EXPONENTIAL_HISTOGRAM_DATA_POINT), Repeated;
        2 "aggregation_temporality": Kind::Enum(AGGREGATION_TEMPORALITY), Singular;
    }

    /// Points with quantiles.
    SUMMARY "Summary" Part {
        1 "data_points": Kind::Message(&SUMMARY_DATA_POINT), Repeated;
    }

    /// One number.
    NUMBER_DATA_POINT "NumberDataPoint" Point {
        2 "start_time_unix_nano": Kind::Fixed64, Singular;
        3 "time_unix_nano": Kind::Fixed64, Singular;
        4 "as_double": Kind::Double, OneOf;
        5 "exemplars": Kind::Message(&EXEMPLAR), Repeated;
        6 "as_int": Kind::Sfixed64, OneOf;
        7 "attributes": Kind::Message(&KEY_VALUE), Repeated;
        8 "flags": Kind::Uint32, Singular;
    }

    /// One histogram with explicit buckets.
    HISTOGRAM_DATA_POINT "HistogramDataPoint" Point {
        2 "start_time_unix_nano": Kind::Fixed64, Singular;
        3 "time_unix_nano": Kind::Fixed64, Singular;
        4 "count": Kind::Fixed64, Singular;
        5 "sum": Kind::Double, Optional;
        6 "bucket_counts": Kind::Fixed64, Repeated;
        7 "explicit_bounds": Kind::Double, Repeated;
        8 "exemplars": Kind::Message(&EXEMPLAR), Repeated;
        9 "attributes": Kind::Message(&KEY_VALUE), Repeated;
        10 "flags": Kind::Uint32, Singular;
        11 "min": Kind::Double, Optional;
        12 "max": Kind::Double, Optional;
    }

    /// One histogram with exponential buckets.
    EXPONENTIAL_HISTOGRAM_DATA_POINT "ExponentialHistogramDataPoint" Point {
        1 "attributes": Kind::Message(&KEY_VALUE), Repeated;
        2 "start_time_unix_nano": Kind::Fixed64, Singular;
        3 "time_unix_nano": Kind::Fixed64, Singular;
        4 "count": Kind::Fixed64, Singular;
        5 "sum": Kind::Double, Optional;
        6 "scale": Kind::Sint32, Singular;
        7 "zero_count": Kind::Fixed64, Singular;
        8 "positive": Kind::Message(&BUCKETS), Singular;
        9 "negative": Kind::Message(&BUCKETS), Singular;
        10 "flags": Kind::Uint32, Singular;
        11 "exemplars": Kind::Message(&EXEMPLAR), Repeated;
        12 "min": Kind::Double, Optional;
        13 "max": Kind::Double, Optional;
        14 "zero_threshold": Kind::Double, Singular;
    }

    /// A run of exponential buckets.
    BUCKETS "Buckets" Part {
        1 "offset": Kind::Sint32, Singular;
        2 "bucket_counts": Kind::Uint64, Repeated;
    }

    /// One summary.
    SUMMARY_DATA_POINT "SummaryDataPoint" Point {
        2 "start_time_unix_nano": Kind::Fixed64, Singular;
        3 "time_unix_nano": Kind::Fixed64, Singular;
        4 "count": Kind::Fixed64, Singular;
        5 "sum": Kind::Double, Singular;
        6 "quantile_values": Kind::Message(&VALUE_AT_QUANTILE), Repeated;
        7 "attributes": Kind::Message(&KEY_VALUE), Repeated;
        8 "flags": Kind::Uint32, Singular;
    }

    /// One quantile of a summary.
    VALUE_AT_QUANTILE "ValueAtQuantile" Part {
        1 "quantile": Kind::Double, Singular;
        2 "value": Kind::Double, Singular;
    }

    /// A sample that a point was made from.
    EXEMPLAR "Exemplar" Part {
        2 "time_unix_nano": Kind::Fixed64, Singular;
        3 "as_double": Kind::Double, OneOf;
        4 "span_id": Kind::HexId, Singular;
        5 "trace_id": Kind::HexId, Singular;
        6 "as_int": Kind::Sfixed64, OneOf;
        7 "filtered_attributes": Kind::Message(&KEY_VALUE), Repeated;
    }
}
