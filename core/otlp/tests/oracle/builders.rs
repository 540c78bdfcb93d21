//! What is built is what prost decodes, and canonical.

use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, HistogramDataPoint, NumberDataPoint, exemplar, number_data_point,
};
use opentelemetry_proto::tonic::trace::v1::{Span, Status, span};
use throughline_otlp::build::{self, HistogramPoint, NumberPoint, Temporality};
use throughline_otlp::view::Number;
use throughline_otlp::{Limits, Signal, admit};

use crate::groups::any_value;
use crate::reference::Decoded;

fn decoded(signal: Signal, bytes: &bytes::Bytes) -> Decoded {
    let admitted = admit(signal, bytes.clone(), &Limits::default()).expect("it is legal");
    assert!(!admitted.rewritten, "what is built is canonical");
    Decoded::decode(signal, bytes).expect("it is legal")
}

#[test]
fn a_span_is_built_with_all_its_fields() {
    for seed in [&[0u8][..], &[2, 2], &[3], &[4], &[5, 1, 2], &[6, 6], &[7; 12], &[1; 40]] {
        let bytes = any_value::with(seed, |value| {
            build::traces(|request| {
                request.resource(&[("r", value)], |resource| {
                    resource.scope("scope", "2", |scope| {
                        scope.span(|span| {
                            span.trace_id(&[1; 16])
                                .span_id(&[2; 8])
                                .parent_span_id(&[3; 8])
                                .trace_state("a=b");
                            span.flags(1).name("n").kind(3).time(5, 6).status(2, "bad").attribute("k", value);
                            let attributes = [("e", value)];
                            span.event(&build::Event {
                                time_unix_nano: 7,
                                name: "ev",
                                attributes: &attributes,
                            });
                            span.link(&build::Link {
                                trace_id: &[4; 16],
                                span_id: &[5; 8],
                                attributes: &attributes,
                            });
                        });
                    });
                });
            })
        });
        let Decoded::Traces(request) = decoded(Signal::Traces, &bytes) else { panic!("traces") };
        let group = &request.resource_spans[0];
        assert_eq!(
            group.resource.as_ref().map(|resource| &resource.attributes[..]),
            Some(&[any_value::pair("r", seed)][..])
        );
        let scope = group.scope_spans[0].scope.clone().unwrap_or_default();
        assert_eq!((scope.name.as_str(), scope.version.as_str()), ("scope", "2"));
        let expected = Span {
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            parent_span_id: vec![3; 8],
            trace_state: "a=b".into(),
            flags: 1,
            name: "n".into(),
            kind: 3,
            start_time_unix_nano: 5,
            end_time_unix_nano: 6,
            status: Some(Status { message: "bad".into(), code: 2 }),
            attributes: vec![any_value::pair("k", seed)],
            events: vec![span::Event {
                time_unix_nano: 7,
                name: "ev".into(),
                attributes: vec![any_value::pair("e", seed)],
                ..Default::default()
            }],
            links: vec![span::Link {
                trace_id: vec![4; 16],
                span_id: vec![5; 8],
                attributes: vec![any_value::pair("e", seed)],
                ..Default::default()
            }],
            ..Default::default()
        };
        assert_eq!(group.scope_spans[0].spans, [expected]);
    }
}

#[test]
fn a_log_record_is_built_with_all_its_fields() {
    let bytes = build::logs(|request| {
        request.resource(&[], |resource| {
            resource.scope("", "", |scope| {
                scope.log_record(|log| {
                    log.time_unix_nano(1).observed_time_unix_nano(2).severity(17, "ERROR").body("").flags(3);
                    log.trace_id(&[1; 16]).span_id(&[2; 8]).event_name("e").attribute("k", "");
                });
            });
        });
    });
    let Decoded::Logs(request) = decoded(Signal::Logs, &bytes) else { panic!("logs") };
    let expected = LogRecord {
        time_unix_nano: 1,
        observed_time_unix_nano: 2,
        severity_number: 17,
        severity_text: "ERROR".into(),
        body: Some(any_value::decoded(&[])),
        flags: 3,
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        event_name: "e".into(),
        attributes: vec![any_value::pair("k", &[])],
        ..Default::default()
    };
    assert_eq!(request.resource_logs[0].scope_logs[0].log_records, [expected]);
}

#[test]
fn metrics_are_built_with_their_points_and_exemplars() {
    let exemplars = [build::Exemplar {
        time_unix_nano: 3,
        value: Number::Double(0.5),
        trace_id: &[1; 16],
        span_id: &[2; 8],
        filtered_attributes: &[("change_id", "".into())],
    }];
    let point = NumberPoint {
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        value: Number::Int(-4),
        attributes: &[("k", "".into())],
        exemplars: &exemplars,
        flags: 0,
    };
    let buckets = HistogramPoint {
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        sum: Some(9.5),
        bucket_counts: &[1, 2, 3],
        explicit_bounds: &[0.1, 10.0],
        attributes: &[("k", "".into())],
        exemplars: &exemplars,
    };
    let bytes = build::metrics(|request| {
        request.resource(&[], |resource| {
            resource.scope("", "", |scope| {
                scope.metric("g").unit("s").description("d").gauge(&[point]);
                scope.metric("s").sum(Temporality::Cumulative, true, &[point, point]);
                scope.metric("h").histogram(Temporality::Delta, &[buckets]);
            });
        });
    });
    let Decoded::Metrics(request) = decoded(Signal::Metrics, &bytes) else { panic!("metrics") };
    let [gauge, sum, histogram] = &request.resource_metrics[0].scope_metrics[0].metrics[..] else {
        panic!("three")
    };
    assert_eq!((gauge.name.as_str(), gauge.unit.as_str(), gauge.description.as_str()), ("g", "s", "d"));
    let exemplars = vec![Exemplar {
        time_unix_nano: 3,
        value: Some(exemplar::Value::AsDouble(0.5)),
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        filtered_attributes: vec![any_value::pair("change_id", &[])],
    }];
    let number = NumberDataPoint {
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        value: Some(number_data_point::Value::AsInt(-4)),
        attributes: vec![any_value::pair("k", &[])],
        exemplars: exemplars.clone(),
        ..Default::default()
    };
    let Some(Data::Gauge(data)) = &gauge.data else { panic!("a gauge") };
    assert_eq!(data.data_points, std::slice::from_ref(&number));
    let Some(Data::Sum(data)) = &sum.data else { panic!("a sum") };
    assert_eq!((data.aggregation_temporality, data.is_monotonic), (2, true));
    assert_eq!(data.data_points, [number.clone(), number]);
    let Some(Data::Histogram(data)) = &histogram.data else { panic!("a histogram") };
    assert_eq!(data.aggregation_temporality, 1);
    let expected = HistogramDataPoint {
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        count: 6,
        sum: Some(9.5),
        bucket_counts: vec![1, 2, 3],
        explicit_bounds: vec![0.1, 10.0],
        attributes: vec![any_value::pair("k", &[])],
        exemplars,
        ..Default::default()
    };
    assert_eq!(data.data_points, [expected]);
}
