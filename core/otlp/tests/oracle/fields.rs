//! Fields that both sides can set: ours by path, the reference's in prost's structs. Shared with the fuzz targets.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point;
use opentelemetry_proto::tonic::trace::v1::Span;
use throughline_otlp::edit::{Level, Record};
use throughline_otlp::path::{Node, Path};
use throughline_otlp::{Value, view};

use crate::reference::Decoded;

/// A path, a value, and what setting it does to each record; the closure changes nothing where we refuse.
type SetOn<R> = (&'static str, Value<'static>, fn(&mut R));

fn string(text: &str) -> AnyValue {
    AnyValue { value: Some(Any::StringValue(text.to_owned())) }
}

fn upsert(list: &mut Vec<KeyValue>, key: &str, text: &str) {
    match list.iter_mut().find(|pair| pair.key == key) {
        Some(pair) => pair.value = Some(string(text)),
        None => list.push(KeyValue { key: key.to_owned(), value: Some(string(text)), ..KeyValue::default() }),
    }
}

fn nested<'a>(list: &'a mut Vec<KeyValue>, key: &str) -> Option<&'a mut Vec<KeyValue>> {
    let at = list.iter().position(|pair| pair.key == key).unwrap_or_else(|| {
        list.push(KeyValue { key: key.to_owned(), ..KeyValue::default() });
        list.len() - 1
    });
    map_in(list[at].value.get_or_insert_default())
}

fn map_in(value: &mut AnyValue) -> Option<&mut Vec<KeyValue>> {
    match value.value.get_or_insert_with(|| Any::KvlistValue(Default::default())) {
        Any::KvlistValue(map) => Some(&mut map.values),
        _ => None,
    }
}

const SPAN_PATHS: &[SetOn<Span>] = &[
    ("name", Value::Str("n"), |span| span.name = "n".into()),
    ("trace_id", Value::Bytes(&[7; 16]), |span| span.trace_id = vec![7; 16]),
    ("span_id", Value::Bytes(&[1; 8]), |span| span.span_id = vec![1; 8]),
    ("parent_span_id", Value::Bytes(&[]), |span| span.parent_span_id = Vec::new()),
    ("trace_state", Value::Str("größe=1"), |span| span.trace_state = "größe=1".into()),
    ("start_time_unix_nano", Value::Int(1 << 60), |span| span.start_time_unix_nano = 1 << 60),
    ("dropped_attributes_count", Value::Int(0), |span| span.dropped_attributes_count = 0),
    ("kind", Value::Int(-3), |span| span.kind = -3),
    ("flags", Value::Int(300), |span| span.flags = 300),
    ("end_time_unix_nano", Value::Int(9), |span| span.end_time_unix_nano = 9),
    ("dropped_links_count", Value::Int(77), |span| span.dropped_links_count = 77),
    ("status.message", Value::Str("m"), |span| span.status.get_or_insert_default().message = "m".into()),
    ("status.code", Value::Int(2), |span| span.status.get_or_insert_default().code = 2),
    ("attributes[\"a\"]", Value::Str("x"), |span| upsert(&mut span.attributes, "a", "x")),
    ("attributes[\"a\"][\"b\"]", Value::Str("x"), |span| {
        if let Some(map) = nested(&mut span.attributes, "a") {
            upsert(map, "b", "x");
        }
    }),
    ("events[1].name", Value::Str("e"), |span| {
        if let Some(event) = span.events.get_mut(1) {
            event.name = "e".into();
        }
    }),
    ("events[0].attributes[\"k\"]", Value::Str("v"), |span| {
        if let Some(event) = span.events.first_mut() {
            upsert(&mut event.attributes, "k", "v");
        }
    }),
    ("events[0].time_unix_nano", Value::Int(4), |span| {
        if let Some(event) = span.events.first_mut() {
            event.time_unix_nano = 4;
        }
    }),
    ("links[1].flags", Value::Int(257), |span| {
        if let Some(link) = span.links.get_mut(1) {
            link.flags = 257;
        }
    }),
    ("links[0].trace_state", Value::Str("s"), |span| {
        if let Some(link) = span.links.first_mut() {
            link.trace_state = "s".into();
        }
    }),
];

const LOG_PATHS: &[SetOn<LogRecord>] = &[
    ("body", Value::Str("b"), |log| log.body = Some(string("b"))),
    ("body[\"a\"]", Value::Str("b"), |log| {
        if let Some(map) = map_in(log.body.get_or_insert_default()) {
            upsert(map, "a", "b");
        }
    }),
    ("body[0]", Value::Str("b"), |log| {
        if let Some(Any::ArrayValue(array)) = log.body.as_mut().and_then(|body| body.value.as_mut())
            && let Some(first) = array.values.first_mut()
        {
            *first = string("b");
        }
    }),
    ("body", Value::Double(0.5), |log| log.body = Some(AnyValue { value: Some(Any::DoubleValue(0.5)) })),
    ("body", Value::Int(-5), |log| log.body = Some(AnyValue { value: Some(Any::IntValue(-5)) })),
    ("body", Value::Bool(true), |log| log.body = Some(AnyValue { value: Some(Any::BoolValue(true)) })),
    ("attributes[\"k\"]", Value::Str("v"), |log| upsert(&mut log.attributes, "k", "v")),
    ("time_unix_nano", Value::Int(7), |log| log.time_unix_nano = 7),
    ("observed_time_unix_nano", Value::Int(0), |log| log.observed_time_unix_nano = 0),
    ("severity_text", Value::Str("WARN"), |log| log.severity_text = "WARN".into()),
    ("flags", Value::Int(1), |log| log.flags = 1),
    ("trace_id", Value::Bytes(&[2; 16]), |log| log.trace_id = vec![2; 16]),
    ("span_id", Value::Bytes(&[3; 8]), |log| log.span_id = vec![3; 8]),
    ("event_name", Value::Str("e"), |log| log.event_name = "e".into()),
    ("severity_number", Value::Int(17), |log| log.severity_number = 17),
];

/// Changes the first point of a metric, whichever kind it has.
macro_rules! first {
    ($metric:ident, $point:ident, [$($kind:ident),+], $change:expr) => {
        match &mut $metric.data {
            $(Some(Data::$kind(data)) => {
                if let Some($point) = data.data_points.first_mut() {
                    $change;
                }
            })+
            _ => {}
        }
    };
}

const METRIC_PATHS: &[SetOn<Metric>] = &[
    ("name", Value::Str("n"), |metric| metric.name = "n".into()),
    ("description", Value::Str(""), |metric| metric.description = String::new()),
    ("unit", Value::Str("By"), |metric| metric.unit = "By".into()),
    ("data_points[0].start_time_unix_nano", Value::Int(5), |metric| {
        first!(
            metric,
            point,
            [Gauge, Sum, Histogram, ExponentialHistogram, Summary],
            point.start_time_unix_nano = 5
        );
    }),
    ("data_points[0].flags", Value::Int(1), |metric| {
        first!(metric, point, [Gauge, Sum, Histogram, ExponentialHistogram, Summary], point.flags = 1);
    }),
    ("data_points[0].attributes[\"a\"]", Value::Str("x"), |metric| {
        first!(
            metric,
            point,
            [Gauge, Sum, Histogram, ExponentialHistogram, Summary],
            upsert(&mut point.attributes, "a", "x")
        );
    }),
    ("data_points[0].count", Value::Int(9), |metric| {
        first!(metric, point, [Histogram, ExponentialHistogram, Summary], point.count = 9);
    }),
    ("data_points[0].sum", Value::Double(1.5), |metric| {
        first!(metric, point, [Histogram, ExponentialHistogram], point.sum = Some(1.5));
        first!(metric, point, [Summary], point.sum = 1.5);
    }),
    ("data_points[0].max", Value::Double(0.0), |metric| {
        first!(metric, point, [Histogram, ExponentialHistogram], point.max = Some(0.0));
    }),
    ("data_points[0].scale", Value::Int(-2), |metric| {
        first!(metric, point, [ExponentialHistogram], point.scale = -2);
    }),
    ("data_points[0].zero_count", Value::Int(3), |metric| {
        first!(metric, point, [ExponentialHistogram], point.zero_count = 3);
    }),
    ("data_points[0].positive.offset", Value::Int(-7), |metric| {
        first!(metric, point, [ExponentialHistogram], point.positive.get_or_insert_default().offset = -7);
    }),
    ("data_points[0].quantile_values[0].value", Value::Double(2.0), |metric| {
        first!(metric, point, [Summary], {
            if let Some(quantile) = point.quantile_values.first_mut() {
                quantile.value = 2.0;
            }
        });
    }),
    ("data_points[0].as_double", Value::Double(-1.0), |metric| {
        first!(metric, point, [Gauge, Sum], point.value = Some(number_data_point::Value::AsDouble(-1.0)));
    }),
    ("histogram.aggregation_temporality", Value::Int(2), |metric| {
        if let Some(Data::Histogram(histogram)) = &mut metric.data {
            histogram.aggregation_temporality = 2;
        }
    }),
    ("metadata[\"a\"]", Value::Str("x"), |metric| upsert(&mut metric.metadata, "a", "x")),
    ("sum.is_monotonic", Value::Bool(true), |metric| {
        if let Some(Data::Sum(sum)) = &mut metric.data {
            sum.is_monotonic = true;
        }
    }),
    ("data_points[0].as_int", Value::Int(5), |metric| {
        first!(metric, point, [Gauge, Sum], point.value = Some(number_data_point::Value::AsInt(5)));
    }),
    ("data_points[0].exemplars[0].filtered_attributes[\"k\"]", Value::Str("v"), |metric| {
        let exemplars = match &mut metric.data {
            Some(Data::Gauge(data)) => data.data_points.first_mut().map(|point| &mut point.exemplars),
            Some(Data::Sum(data)) => data.data_points.first_mut().map(|point| &mut point.exemplars),
            Some(Data::Histogram(data)) => data.data_points.first_mut().map(|point| &mut point.exemplars),
            Some(Data::ExponentialHistogram(data)) => {
                data.data_points.first_mut().map(|point| &mut point.exemplars)
            }
            Some(Data::Summary(_)) | None => None,
        };
        if let Some(exemplar) = exemplars.and_then(|exemplars| exemplars.first_mut()) {
            upsert(&mut exemplar.filtered_attributes, "k", "v");
        }
    }),
];

/// Sets a field of a record by its path. What was set can be read; where we refuse, the record stays as it was.
pub(crate) fn set(record: &mut Record<'_>, choice: usize) {
    let (path, value) = match record.level() {
        Level::Span => pick(SPAN_PATHS, choice),
        Level::Log => pick(LOG_PATHS, choice),
        Level::Metric => pick(METRIC_PATHS, choice),
        _ => return,
    };
    let path = Path::parse(path).expect("a path");
    let before = record.bytes().to_vec();
    match record.set(&path, value) {
        Ok(()) => match record.get(&path) {
            Some(Node::Value(shown)) => assert_eq!(format!("{shown:?}"), format!("{:?}", plain(value))),
            shown => panic!("{path:?} shows {shown:?}"),
        },
        Err(_) => assert_eq!(record.bytes(), before),
    }
}

/// The reference's side of it.
pub(crate) fn set_decoded(decoded: &mut Decoded, level: Level, choice: usize) {
    match (decoded, level) {
        (Decoded::Traces(request), Level::Span) => {
            let scopes = request.resource_spans.iter_mut().flat_map(|group| &mut group.scope_spans);
            scopes.flat_map(|scope| &mut scope.spans).for_each(SPAN_PATHS[choice % SPAN_PATHS.len()].2);
        }
        (Decoded::Logs(request), Level::Log) => {
            let scopes = request.resource_logs.iter_mut().flat_map(|group| &mut group.scope_logs);
            scopes.flat_map(|scope| &mut scope.log_records).for_each(LOG_PATHS[choice % LOG_PATHS.len()].2);
        }
        (Decoded::Metrics(request), Level::Metric) => {
            let scopes = request.resource_metrics.iter_mut().flat_map(|group| &mut group.scope_metrics);
            scopes.flat_map(|scope| &mut scope.metrics).for_each(METRIC_PATHS[choice % METRIC_PATHS.len()].2);
        }
        _ => {}
    }
}

fn pick<R>(table: &[SetOn<R>], choice: usize) -> (&'static str, Value<'static>) {
    let (path, value, _) = table[choice % table.len()];
    (path, value)
}

fn plain(value: Value<'_>) -> view::AnyValue<'_> {
    match value {
        Value::Str(text) => view::AnyValue::Str(text),
        Value::Int(number) => view::AnyValue::Int(number),
        Value::Double(number) => view::AnyValue::Double(number),
        Value::Bool(flag) => view::AnyValue::Bool(flag),
        Value::Bytes(bytes) => view::AnyValue::Bytes(bytes),
        other => panic!("{other:?} is not used here"),
    }
}
