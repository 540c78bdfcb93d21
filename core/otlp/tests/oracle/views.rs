//! Every field that a view shows is what prost decodes: views are turned into prost's structs and compared.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::logs::v1 as logs;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1 as trace;
use proptest::prelude::*;
use throughline_otlp::view::{self, AnyValue, Attributes, Request};
use throughline_otlp::{Limits, Signal, admit};

use crate::generate::{self, Dice, LEGAL};
use crate::reference::Decoded;
use crate::{entropy, metric_views, signals};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn views_show_what_prost_decodes(signal in signals(), entropy in entropy()) {
        let input = Bytes::from(generate::request(&mut Dice(&entropy), signal, LEGAL));
        let admitted = admit(signal, input.clone(), &Limits::default()).expect("it is legal");
        let expected = Decoded::decode(signal, &input).expect("it is legal");
        // Only profiles may use string tables; a place in one reads as empty.
        let expected = format!("{expected:?}");
        prop_assume!(!expected.contains("Strindex("));
        prop_assert_eq!(format!("{:?}", read(signal, &admitted.bytes)), expected);
            }
}

fn read(signal: Signal, bytes: &[u8]) -> Decoded {
    let groups = Request::new(signal, bytes).resources();
    match signal {
        Signal::Traces => Decoded::Traces(ExportTraceServiceRequest {
            resource_spans: groups
                .map(|group| trace::ResourceSpans {
                    resource: has(group, 1).then(|| resource(group.resource())),
                    scope_spans: group
                        .scopes()
                        .map(|scope_group| trace::ScopeSpans {
                            scope: has(scope_group, 1).then(|| scope(scope_group.scope())),
                            spans: scope_group.spans().map(span).collect(),
                            schema_url: scope_group.schema_url().to_owned(),
                        })
                        .collect(),
                    schema_url: group.schema_url().to_owned(),
                })
                .collect(),
        }),
        Signal::Logs => Decoded::Logs(ExportLogsServiceRequest {
            resource_logs: groups
                .map(|group| logs::ResourceLogs {
                    resource: has(group, 1).then(|| resource(group.resource())),
                    scope_logs: group
                        .scopes()
                        .map(|scope_group| logs::ScopeLogs {
                            scope: has(scope_group, 1).then(|| scope(scope_group.scope())),
                            log_records: scope_group.log_records().map(log).collect(),
                            schema_url: scope_group.schema_url().to_owned(),
                        })
                        .collect(),
                    schema_url: group.schema_url().to_owned(),
                })
                .collect(),
        }),
        Signal::Metrics => Decoded::Metrics(ExportMetricsServiceRequest {
            resource_metrics: groups.map(metric_views::group).collect(),
        }),
    }
}

/// Views show a missing message as an empty one where that makes no difference; here it does.
pub(crate) fn has<'a>(view: impl view::View<'a>, number: u32) -> bool {
    throughline_otlp::wire::Fields::new(view.bytes()).any(|field| field.number == number)
}

pub(crate) fn resource(view: view::Resource<'_>) -> Resource {
    Resource {
        attributes: pairs(view.attributes()),
        dropped_attributes_count: view.dropped_attributes_count(),
        entity_refs: view
            .entity_refs()
            .map(|entity| common::EntityRef {
                schema_url: entity.schema_url().to_owned(),
                r#type: entity.entity_type().to_owned(),
                id_keys: entity.id_keys().map(str::to_owned).collect(),
                description_keys: entity.description_keys().map(str::to_owned).collect(),
            })
            .collect(),
    }
}

pub(crate) fn scope(view: view::Scope<'_>) -> common::InstrumentationScope {
    common::InstrumentationScope {
        name: view.name().to_owned(),
        version: view.version().to_owned(),
        attributes: pairs(view.attributes()),
        dropped_attributes_count: view.dropped_attributes_count(),
    }
}

fn span(view: view::Span<'_>) -> trace::Span {
    trace::Span {
        trace_id: view.trace_id().to_vec(),
        span_id: view.span_id().to_vec(),
        trace_state: view.trace_state().to_owned(),
        parent_span_id: view.parent_span_id().to_vec(),
        flags: view.flags(),
        name: view.name().to_owned(),
        kind: view.kind(),
        start_time_unix_nano: view.start_time_unix_nano(),
        end_time_unix_nano: view.end_time_unix_nano(),
        attributes: pairs(view.attributes()),
        dropped_attributes_count: view.dropped_attributes_count(),
        events: view
            .events()
            .map(|event| trace::span::Event {
                time_unix_nano: event.time_unix_nano(),
                name: event.name().to_owned(),
                attributes: pairs(event.attributes()),
                dropped_attributes_count: event.dropped_attributes_count(),
            })
            .collect(),
        dropped_events_count: view.dropped_events_count(),
        links: view
            .links()
            .map(|link| trace::span::Link {
                trace_id: link.trace_id().to_vec(),
                span_id: link.span_id().to_vec(),
                trace_state: link.trace_state().to_owned(),
                attributes: pairs(link.attributes()),
                dropped_attributes_count: link.dropped_attributes_count(),
                flags: link.flags(),
            })
            .collect(),
        dropped_links_count: view.dropped_links_count(),
        status: view
            .status()
            .map(|status| trace::Status { message: status.message().to_owned(), code: status.code() }),
    }
}

fn log(view: view::LogRecord<'_>) -> logs::LogRecord {
    logs::LogRecord {
        time_unix_nano: view.time_unix_nano(),
        observed_time_unix_nano: view.observed_time_unix_nano(),
        severity_number: view.severity_number(),
        severity_text: view.severity_text().to_owned(),
        body: view.body().map(any_value),
        attributes: pairs(view.attributes()),
        dropped_attributes_count: view.dropped_attributes_count(),
        flags: view.flags(),
        trace_id: view.trace_id().to_vec(),
        span_id: view.span_id().to_vec(),
        event_name: view.event_name().to_owned(),
    }
}

pub(crate) fn pairs(view: Attributes<'_>) -> Vec<common::KeyValue> {
    view.pairs()
        .map(|pair| common::KeyValue {
            key: pair.key().to_owned(),
            value: has(pair, 2).then(|| any_value(pair.value())),
            key_strindex: pair.key_strindex(),
        })
        .collect()
}

fn any_value(view: AnyValue<'_>) -> common::AnyValue {
    use common::any_value::Value;
    common::AnyValue {
        value: match view {
            AnyValue::Empty => None,
            AnyValue::Str(text) => Some(Value::StringValue(text.to_owned())),
            AnyValue::Bool(flag) => Some(Value::BoolValue(flag)),
            AnyValue::Int(number) => Some(Value::IntValue(number)),
            AnyValue::Double(number) => Some(Value::DoubleValue(number)),
            AnyValue::Bytes(bytes) => Some(Value::BytesValue(bytes.to_vec())),
            AnyValue::Array(array) => {
                Some(Value::ArrayValue(common::ArrayValue { values: array.iter().map(any_value).collect() }))
            }
            AnyValue::Map(map) => Some(Value::KvlistValue(common::KeyValueList { values: pairs(map) })),
        },
    }
}
