//! Views of metrics as prost's structs.

use opentelemetry_proto::tonic::metrics::v1 as metrics;
use opentelemetry_proto::tonic::metrics::v1::{exemplar, number_data_point};
use throughline_otlp::view::{self, Data, Number};

use crate::views::{has, pairs, resource, scope};

pub(crate) fn group(group: view::ResourceGroup<'_>) -> metrics::ResourceMetrics {
    metrics::ResourceMetrics {
        resource: has(group, 1).then(|| resource(group.resource())),
        scope_metrics: group
            .scopes()
            .map(|scope_group| metrics::ScopeMetrics {
                scope: has(scope_group, 1).then(|| scope(scope_group.scope())),
                metrics: scope_group.metrics().map(metric).collect(),
                schema_url: scope_group.schema_url().to_owned(),
            })
            .collect(),
        schema_url: group.schema_url().to_owned(),
    }
}

fn metric(view: view::Metric<'_>) -> metrics::Metric {
    metrics::Metric {
        name: view.name().to_owned(),
        description: view.description().to_owned(),
        unit: view.unit().to_owned(),
        metadata: pairs(view.metadata()),
        data: view.data().map(|data| match data {
            Data::Gauge(gauge) => metrics::metric::Data::Gauge(metrics::Gauge {
                data_points: gauge.data_points().map(number).collect(),
            }),
            Data::Sum(sum) => metrics::metric::Data::Sum(metrics::Sum {
                data_points: sum.data_points().map(number).collect(),
                aggregation_temporality: sum.aggregation_temporality(),
                is_monotonic: sum.is_monotonic(),
            }),
            Data::Histogram(histogram) => metrics::metric::Data::Histogram(metrics::Histogram {
                data_points: histogram.data_points().map(histogram_point).collect(),
                aggregation_temporality: histogram.aggregation_temporality(),
            }),
            Data::ExponentialHistogram(histogram) => {
                metrics::metric::Data::ExponentialHistogram(metrics::ExponentialHistogram {
                    data_points: histogram.data_points().map(exponential_point).collect(),
                    aggregation_temporality: histogram.aggregation_temporality(),
                })
            }
            Data::Summary(summary) => metrics::metric::Data::Summary(metrics::Summary {
                data_points: summary.data_points().map(summary_point).collect(),
            }),
        }),
    }
}

fn number(view: view::NumberDataPoint<'_>) -> metrics::NumberDataPoint {
    metrics::NumberDataPoint {
        attributes: pairs(view.attributes()),
        start_time_unix_nano: view.start_time_unix_nano(),
        time_unix_nano: view.time_unix_nano(),
        exemplars: view.exemplars().map(exemplar).collect(),
        flags: view.flags(),
        value: view.value().map(|value| match value {
            Number::Double(value) => number_data_point::Value::AsDouble(value),
            Number::Int(value) => number_data_point::Value::AsInt(value),
        }),
    }
}

fn exemplar(view: view::Exemplar<'_>) -> metrics::Exemplar {
    metrics::Exemplar {
        filtered_attributes: pairs(view.filtered_attributes()),
        time_unix_nano: view.time_unix_nano(),
        span_id: view.span_id().to_vec(),
        trace_id: view.trace_id().to_vec(),
        value: view.value().map(|value| match value {
            Number::Double(value) => exemplar::Value::AsDouble(value),
            Number::Int(value) => exemplar::Value::AsInt(value),
        }),
    }
}

fn histogram_point(view: view::HistogramDataPoint<'_>) -> metrics::HistogramDataPoint {
    metrics::HistogramDataPoint {
        attributes: pairs(view.attributes()),
        start_time_unix_nano: view.start_time_unix_nano(),
        time_unix_nano: view.time_unix_nano(),
        count: view.count(),
        sum: view.sum(),
        bucket_counts: view.bucket_counts().collect(),
        explicit_bounds: view.explicit_bounds().collect(),
        exemplars: view.exemplars().map(exemplar).collect(),
        flags: view.flags(),
        min: view.min(),
        max: view.max(),
    }
}

fn exponential_point(
    view: view::ExponentialHistogramDataPoint<'_>,
) -> metrics::ExponentialHistogramDataPoint {
    let buckets = |buckets: view::Buckets<'_>| metrics::exponential_histogram_data_point::Buckets {
        offset: buckets.offset(),
        bucket_counts: buckets.bucket_counts().collect(),
    };
    metrics::ExponentialHistogramDataPoint {
        attributes: pairs(view.attributes()),
        start_time_unix_nano: view.start_time_unix_nano(),
        time_unix_nano: view.time_unix_nano(),
        count: view.count(),
        sum: view.sum(),
        scale: view.scale(),
        zero_count: view.zero_count(),
        positive: view.positive().map(buckets),
        negative: view.negative().map(buckets),
        flags: view.flags(),
        exemplars: view.exemplars().map(exemplar).collect(),
        min: view.min(),
        max: view.max(),
        zero_threshold: view.zero_threshold(),
    }
}

fn summary_point(view: view::SummaryDataPoint<'_>) -> metrics::SummaryDataPoint {
    metrics::SummaryDataPoint {
        attributes: pairs(view.attributes()),
        start_time_unix_nano: view.start_time_unix_nano(),
        time_unix_nano: view.time_unix_nano(),
        count: view.count(),
        sum: view.sum(),
        quantile_values: view
            .quantile_values()
            .map(|value| metrics::summary_data_point::ValueAtQuantile {
                quantile: value.quantile(),
                value: value.value(),
            })
            .collect(),
        flags: view.flags(),
    }
}
