//! Walks through decoded requests: the reference's idea of levels.

use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, Gauge, Histogram, Metric, Sum, Summary,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use throughline_otlp::edit::Level;

use crate::reference::Decoded;

type Edit<'f> = dyn FnMut(&mut Vec<KeyValue>) + 'f;

/// Edits all attribute lists of a level.
pub(crate) fn each_list(decoded: &mut Decoded, level: Level, edit: &mut Edit<'_>) {
    match level {
        Level::Resource => match decoded {
            Decoded::Traces(request) => {
                request.resource_spans.iter_mut().for_each(|g| resource(&mut g.resource, edit))
            }
            Decoded::Metrics(request) => {
                request.resource_metrics.iter_mut().for_each(|g| resource(&mut g.resource, edit))
            }
            Decoded::Logs(request) => {
                request.resource_logs.iter_mut().for_each(|g| resource(&mut g.resource, edit))
            }
        },
        Level::Scope => match decoded {
            Decoded::Traces(request) => {
                let scopes = request.resource_spans.iter_mut().flat_map(|group| &mut group.scope_spans);
                scopes.for_each(|group| scope(&mut group.scope, edit));
            }
            Decoded::Metrics(request) => {
                let scopes = request.resource_metrics.iter_mut().flat_map(|group| &mut group.scope_metrics);
                scopes.for_each(|group| scope(&mut group.scope, edit));
            }
            Decoded::Logs(request) => {
                let scopes = request.resource_logs.iter_mut().flat_map(|group| &mut group.scope_logs);
                scopes.for_each(|group| scope(&mut group.scope, edit));
            }
        },
        _ => match (decoded, level) {
            (Decoded::Traces(request), Level::Span) => {
                let scopes = request.resource_spans.iter_mut().flat_map(|group| &mut group.scope_spans);
                scopes.flat_map(|scope| &mut scope.spans).for_each(|span| edit(&mut span.attributes));
            }
            (Decoded::Traces(request), Level::Event) => {
                let scopes = request.resource_spans.iter_mut().flat_map(|group| &mut group.scope_spans);
                let events = scopes.flat_map(|scope| &mut scope.spans).flat_map(|span| &mut span.events);
                events.for_each(|event| edit(&mut event.attributes));
            }
            (Decoded::Traces(request), Level::Link) => {
                let scopes = request.resource_spans.iter_mut().flat_map(|group| &mut group.scope_spans);
                let links = scopes.flat_map(|scope| &mut scope.spans).flat_map(|span| &mut span.links);
                links.for_each(|link| edit(&mut link.attributes));
            }
            (Decoded::Logs(request), Level::Log) => {
                let scopes = request.resource_logs.iter_mut().flat_map(|group| &mut group.scope_logs);
                scopes.flat_map(|scope| &mut scope.log_records).for_each(|log| edit(&mut log.attributes));
            }
            (Decoded::Metrics(request), Level::Metric | Level::Point) => {
                let scopes = request.resource_metrics.iter_mut().flat_map(|group| &mut group.scope_metrics);
                scopes.flat_map(|scope| &mut scope.metrics).for_each(|metric| points(metric, edit));
            }
            _ => {}
        },
    }
}

/// A missing one comes into being only if it is changed.
fn resource(resource: &mut Option<Resource>, edit: &mut Edit<'_>) {
    let mut edited = resource.clone().unwrap_or_default();
    edit(&mut edited.attributes);
    if resource.is_some() || !edited.attributes.is_empty() {
        *resource = Some(edited);
    }
}

fn scope(scope: &mut Option<InstrumentationScope>, edit: &mut Edit<'_>) {
    let mut edited = scope.clone().unwrap_or_default();
    edit(&mut edited.attributes);
    if scope.is_some() || !edited.attributes.is_empty() {
        *scope = Some(edited);
    }
}

fn points(metric: &mut Metric, edit: &mut Edit<'_>) {
    match &mut metric.data {
        None => {}
        Some(Data::Gauge(data)) => data.data_points.iter_mut().for_each(|point| edit(&mut point.attributes)),
        Some(Data::Sum(data)) => data.data_points.iter_mut().for_each(|point| edit(&mut point.attributes)),
        Some(Data::Histogram(data)) => {
            data.data_points.iter_mut().for_each(|point| edit(&mut point.attributes))
        }
        Some(Data::ExponentialHistogram(data)) => {
            data.data_points.iter_mut().for_each(|point| edit(&mut point.attributes));
        }
        Some(Data::Summary(data)) => {
            data.data_points.iter_mut().for_each(|point| edit(&mut point.attributes))
        }
    }
}

/// Edits the filtered attributes of all exemplars.
pub(crate) fn each_exemplar(decoded: &mut Decoded, level: Level, edit: &mut Edit<'_>) {
    let (Decoded::Metrics(request), Level::Metric) = (decoded, level) else { return };
    let mut all = |exemplars: &mut Vec<Exemplar>| {
        exemplars.iter_mut().for_each(|exemplar| edit(&mut exemplar.filtered_attributes));
    };
    let scopes = request.resource_metrics.iter_mut().flat_map(|group| &mut group.scope_metrics);
    for metric in scopes.flat_map(|scope| &mut scope.metrics) {
        match &mut metric.data {
            Some(Data::Gauge(data)) => {
                data.data_points.iter_mut().for_each(|point| all(&mut point.exemplars))
            }
            Some(Data::Sum(data)) => data.data_points.iter_mut().for_each(|point| all(&mut point.exemplars)),
            Some(Data::Histogram(data)) => {
                data.data_points.iter_mut().for_each(|point| all(&mut point.exemplars))
            }
            Some(Data::ExponentialHistogram(data)) => {
                data.data_points.iter_mut().for_each(|point| all(&mut point.exemplars));
            }
            Some(Data::Summary(_)) | None => {}
        }
    }
}

/// Drops what `keep` does not want; groups that lose all their members go too.
pub(crate) fn retain(decoded: &mut Decoded, level: Level, keep: &mut dyn FnMut(&[KeyValue]) -> bool) {
    macro_rules! retain {
        ($groups:expr, $scopes:ident, $records:ident, $record_level:expr, |$record:ident| $attributes:expr, $parts:expr) => {
            $groups.retain_mut(|group| match level {
                Level::Resource => keep(&group.resource.clone().unwrap_or_default().attributes),
                _ => members(&mut group.$scopes, |scope| match level {
                    Level::Scope => keep(&scope.scope.clone().unwrap_or_default().attributes),
                    level if level == $record_level => {
                        members(&mut scope.$records, |$record| keep($attributes))
                    }
                    level if level.parent() == Some($record_level) => {
                        members(&mut scope.$records, |record| $parts(record, level, keep))
                    }
                    _ => true,
                }),
            })
        };
    }
    match decoded {
        Decoded::Traces(request) => {
            retain!(
                request.resource_spans,
                scope_spans,
                spans,
                Level::Span,
                |span| &span.attributes,
                span_parts
            );
        }
        Decoded::Logs(request) => {
            retain!(
                request.resource_logs,
                scope_logs,
                log_records,
                Level::Log,
                |log| &log.attributes,
                no_parts
            );
        }
        Decoded::Metrics(request) => {
            retain!(
                request.resource_metrics,
                scope_metrics,
                metrics,
                Level::Metric,
                |metric| &metric.metadata,
                metric_parts
            );
        }
    }
}

type Keeps<'f> = dyn FnMut(&[KeyValue]) -> bool + 'f;

fn no_parts<T>(_: &mut T, _: Level, _: &mut Keeps<'_>) -> bool {
    true
}

fn span_parts(span: &mut Span, level: Level, keep: &mut Keeps<'_>) -> bool {
    match level {
        Level::Event => span.events.retain(|event| keep(&event.attributes)),
        _ => span.links.retain(|link| keep(&link.attributes)),
    }
    true
}

/// A metric that loses all its points goes.
fn metric_parts(metric: &mut Metric, _: Level, keep: &mut Keeps<'_>) -> bool {
    match &mut metric.data {
        None => true,
        Some(Data::Gauge(data)) => members(&mut data.data_points, |point| keep(&point.attributes)),
        Some(Data::Sum(data)) => members(&mut data.data_points, |point| keep(&point.attributes)),
        Some(Data::Histogram(data)) => members(&mut data.data_points, |point| keep(&point.attributes)),
        Some(Data::ExponentialHistogram(data)) => {
            members(&mut data.data_points, |point| keep(&point.attributes))
        }
        Some(Data::Summary(data)) => members(&mut data.data_points, |point| keep(&point.attributes)),
    }
}

/// Whether the group of these members stays.
fn members<T>(list: &mut Vec<T>, keep: impl FnMut(&mut T) -> bool) -> bool {
    let before = list.len();
    list.retain_mut(keep);
    before == list.len() || !list.is_empty()
}

/// Every item with all that stands around it, as text.
pub(crate) fn items(decoded: &Decoded) -> Vec<String> {
    let mut all = Vec::new();
    match decoded {
        Decoded::Traces(request) => {
            for group in &request.resource_spans {
                for scope in &group.scope_spans {
                    let around = format!(
                        "{:?}{}{:?}{}",
                        group.resource, group.schema_url, scope.scope, scope.schema_url
                    );
                    all.extend(scope.spans.iter().map(|span| format!("{around}{span:?}")));
                }
            }
        }
        Decoded::Logs(request) => {
            for group in &request.resource_logs {
                for scope in &group.scope_logs {
                    let around = format!(
                        "{:?}{}{:?}{}",
                        group.resource, group.schema_url, scope.scope, scope.schema_url
                    );
                    all.extend(scope.log_records.iter().map(|log| format!("{around}{log:?}")));
                }
            }
        }
        Decoded::Metrics(request) => {
            for group in &request.resource_metrics {
                for scope in &group.scope_metrics {
                    let around = format!(
                        "{:?}{}{:?}{}",
                        group.resource, group.schema_url, scope.scope, scope.schema_url
                    );
                    all.extend(
                        scope
                            .metrics
                            .iter()
                            .flat_map(single_points)
                            .map(|metric| format!("{around}{metric:?}")),
                    );
                }
            }
        }
    }
    all
}

/// The metric once for each of its points, with that point alone.
fn single_points(metric: &Metric) -> Vec<Metric> {
    let with = |data| Metric { data: Some(data), ..metric.clone() };
    match metric.data.clone() {
        None => Vec::new(),
        Some(Data::Gauge(data)) => {
            let one = |point| with(Data::Gauge(Gauge { data_points: vec![point] }));
            data.data_points.into_iter().map(one).collect()
        }
        Some(Data::Sum(data)) => {
            let one = |point| with(Data::Sum(Sum { data_points: vec![point], ..data.clone() }));
            data.data_points.clone().into_iter().map(one).collect()
        }
        Some(Data::Histogram(data)) => {
            let one = |point| with(Data::Histogram(Histogram { data_points: vec![point], ..data.clone() }));
            data.data_points.clone().into_iter().map(one).collect()
        }
        Some(Data::ExponentialHistogram(data)) => {
            let one = |point| {
                with(Data::ExponentialHistogram(ExponentialHistogram {
                    data_points: vec![point],
                    ..data.clone()
                }))
            };
            data.data_points.clone().into_iter().map(one).collect()
        }
        Some(Data::Summary(data)) => {
            let one = |point| with(Data::Summary(Summary { data_points: vec![point] }));
            data.data_points.into_iter().map(one).collect()
        }
    }
}

/// Values that both sides can write, made from a few bytes.
pub(crate) mod any_value {
    use opentelemetry_proto::tonic::common::v1::any_value::Value as Kind;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
    use throughline_otlp::Value;

    /// Calls `act` with our side of the value.
    pub(crate) fn with<R>(seed: &[u8], act: impl FnOnce(Value<'_>) -> R) -> R {
        let text = text(seed);
        let inner = [Value::Int(7), Value::Str(&text)];
        let entries = [("x", Value::Bool(true)), ("y", Value::Array(&inner))];
        act(match seed.first().copied().unwrap_or_default() % 8 {
            0 | 1 => Value::Str(&text),
            2 => Value::Int(-(seed.len() as i64)),
            3 => Value::Bool(seed.len().is_multiple_of(2)),
            4 => Value::Double(seed.len() as f64),
            5 => Value::Bytes(seed),
            6 => Value::Array(&inner),
            _ => Value::Map(&entries),
        })
    }

    /// The reference's side of it.
    pub(crate) fn decoded(seed: &[u8]) -> AnyValue {
        let any = |value| AnyValue { value: Some(value) };
        let text = text(seed);
        let inner = || {
            any(Kind::ArrayValue(ArrayValue {
                values: vec![any(Kind::IntValue(7)), any(Kind::StringValue(text.clone()))],
            }))
        };
        let entry =
            |key: &str, value| KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() };
        match seed.first().copied().unwrap_or_default() % 8 {
            0 | 1 => any(Kind::StringValue(text)),
            2 => any(Kind::IntValue(-(seed.len() as i64))),
            3 => any(Kind::BoolValue(seed.len().is_multiple_of(2))),
            4 => any(Kind::DoubleValue(seed.len() as f64)),
            5 => any(Kind::BytesValue(seed.to_vec())),
            6 => inner(),
            _ => any(Kind::KvlistValue(KeyValueList {
                values: vec![entry("x", any(Kind::BoolValue(true))), entry("y", inner())],
            })),
        }
    }

    pub(crate) fn pair(key: &str, seed: &[u8]) -> KeyValue {
        KeyValue { key: key.to_owned(), value: Some(decoded(seed)), ..KeyValue::default() }
    }

    fn text(seed: &[u8]) -> String {
        "ü".repeat(seed.len() * seed.len())
    }
}
