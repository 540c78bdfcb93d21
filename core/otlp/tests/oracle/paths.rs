//! Get, set and remove by path against the same done to prost's structs.

use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point;
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint};
use opentelemetry_proto::tonic::trace::v1::Span;
use proptest::prelude::*;
use throughline_otlp::edit::{Keep, Levels, rewrite};
use throughline_otlp::path::{Node, Path, PathError};
use throughline_otlp::{Limits, Signal, Value, admit, build, view};

use crate::entropy;
use crate::generate::{self, Dice, LEGAL};
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
    ("event_name", Value::Str("e"), |log| log.event_name = "e".into()),
    ("severity_number", Value::Int(17), |log| log.severity_number = 17),
];

fn first_number(metric: &mut Metric) -> Option<&mut NumberDataPoint> {
    match metric.data.as_mut()? {
        Data::Gauge(data) => data.data_points.first_mut(),
        Data::Sum(data) => data.data_points.first_mut(),
        _ => None,
    }
}

const METRIC_PATHS: &[SetOn<Metric>] = &[
    ("unit", Value::Str("By"), |metric| metric.unit = "By".into()),
    ("metadata[\"a\"]", Value::Str("x"), |metric| upsert(&mut metric.metadata, "a", "x")),
    ("sum.is_monotonic", Value::Bool(true), |metric| {
        if let Some(Data::Sum(sum)) = &mut metric.data {
            sum.is_monotonic = true;
        }
    }),
    ("data_points[0].as_int", Value::Int(5), |metric| {
        if let Some(point) = first_number(metric) {
            point.value = Some(number_data_point::Value::AsInt(5));
        }
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

/// Sets the path on every record; where we refuse, the record must stay as it was.
fn set(signal: Signal, input: &Bytes, path: &str, value: Value<'_>) -> Bytes {
    let path = Path::parse(path).expect("a path");
    rewrite(signal, input, Levels::RECORDS, &mut |record| {
        let before = record.bytes().to_vec();
        match record.set(&path, value) {
            Ok(()) => match record.get(&path) {
                Some(Node::Value(shown)) => assert_eq!(format!("{shown:?}"), format!("{:?}", plain(value))),
                shown => panic!("{path:?} shows {shown:?}"),
            },
            Err(_) => assert_eq!(record.bytes(), before),
        }
        Keep::Yes
    })
    .bytes
}

fn plain(value: Value<'_>) -> view::AnyValue<'_> {
    match value {
        Value::Str(text) => view::AnyValue::Str(text),
        Value::Int(number) => view::AnyValue::Int(number),
        Value::Bool(flag) => view::AnyValue::Bool(flag),
        Value::Bytes(bytes) => view::AnyValue::Bytes(bytes),
        other => panic!("{other:?} is not used here"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn setting_by_path_equals_setting_the_field(entropy in entropy(), choice in any::<prop::sample::Index>(), signal in crate::signals()) {
        let input = Bytes::from(generate::request(&mut Dice(&entropy), signal, LEGAL));
        let input = admit(signal, input, &Limits::default()).expect("it is legal").bytes;
        let mut expected = Decoded::decode(signal, &input).expect("it is legal");
        let (path, value) = match &mut expected {
            Decoded::Traces(request) => {
                let (path, value, change) = SPAN_PATHS[choice.index(SPAN_PATHS.len())];
                let scopes = request.resource_spans.iter_mut().flat_map(|group| &mut group.scope_spans);
                scopes.flat_map(|scope| &mut scope.spans).for_each(change);
                (path, value)
            }
            Decoded::Logs(request) => {
                let (path, value, change) = LOG_PATHS[choice.index(LOG_PATHS.len())];
                let scopes = request.resource_logs.iter_mut().flat_map(|group| &mut group.scope_logs);
                scopes.flat_map(|scope| &mut scope.log_records).for_each(change);
                (path, value)
            }
            Decoded::Metrics(request) => {
                let (path, value, change) = METRIC_PATHS[choice.index(METRIC_PATHS.len())];
                let scopes = request.resource_metrics.iter_mut().flat_map(|group| &mut group.scope_metrics);
                scopes.flat_map(|scope| &mut scope.metrics).for_each(change);
                (path, value)
            }
        };
        let got = set(signal, &input, path, value);
        let decoded = Decoded::decode(signal, &got).expect("what is written is legal");
        prop_assert_eq!(format!("{decoded:?}"), format!("{expected:?}"), "{}", path);
        prop_assert!(!admit(signal, got, &Limits::default()).expect("what is written is legal").rewritten);
    }
}

#[test]
fn removing_by_path_removes_fields_entries_and_elements() {
    let nested = [("x", Value::Int(1)), ("y", Value::Int(2))];
    let bytes = build::logs(|request| {
        request.resource(&[("r", "v".into())], |resource| {
            resource.scope("s", "", |scope| {
                scope.log_record(|log| {
                    log.event_name("e").body(Value::Map(&nested)).attribute("a", "1").attribute("b", "2");
                });
            });
        });
    });
    let rewritten = rewrite(Signal::Logs, &bytes, Levels::LOG, &mut |log| {
        for path in ["event_name", "body[\"x\"]", "attributes[\"a\"]"] {
            let path = Path::parse(path).expect("a path");
            assert_eq!(log.remove(&path), Ok(true));
            assert_eq!(log.remove(&path), Ok(false));
            assert_eq!(log.get(&path), None);
        }
        let resource = Path::parse("resource.attributes[\"r\"]").expect("a path");
        assert_eq!(log.get(&resource), Some(Node::Value(view::AnyValue::Str("v"))));
        assert_eq!(log.remove(&resource), Err(PathError::OtherLevel));
        Keep::Yes
    });
    let (_, _, record) =
        view::Request::new(Signal::Logs, &rewritten.bytes).records().next().expect("a record");
    let view::Record::Log(log) = record else { panic!("a log record") };
    assert_eq!((log.event_name(), log.attributes().iter().count()), ("", 1));
    assert_eq!(log.body(), Some(view::AnyValue::Map(log_body(&rewritten.bytes))));
}

fn log_body(bytes: &[u8]) -> view::Attributes<'_> {
    let (_, _, record) = view::Request::new(Signal::Logs, bytes).records().next().expect("a record");
    match record {
        view::Record::Log(log) => match log.body() {
            Some(view::AnyValue::Map(map)) => {
                assert_eq!(map.iter().collect::<Vec<_>>(), [("y", view::AnyValue::Int(2))]);
                map
            }
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_no_path_is_refused_with_its_place() {
    for (text, at) in
        [("", 0), ("a..b", 2), ("a[", 2), ("a[\"k]", 2), ("a[1", 2), ("a[x]", 2), ("a]", 0), ("a[1]b", 4)]
    {
        match Path::parse(text) {
            Err(PathError::Syntax { at: found, .. }) => assert_eq!(found, at, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    assert!(Path::parse("attributes[\"with \\\"quotes\\\" and ü\"][3].x").is_ok());
}
