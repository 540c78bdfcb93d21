//! By path: what is removed is gone, and what is no path is refused. (Setting is among the edits of [`crate::edits`].)

use throughline_otlp::edit::{Keep, Levels, rewrite};
use throughline_otlp::path::{Node, Path, PathError};
use throughline_otlp::{Signal, Value, build, view};

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
        assert_eq!((log.remove(&resource), log.remove(&resource)), (Ok(true), Ok(false)));
        assert_eq!(log.get(&resource), None, "it is gone for all that is below the resource");
        Keep::Yes
    });
    let (_, _, record) =
        view::Request::new(Signal::Logs, &rewritten.bytes).records().next().expect("a record");
    let view::Record::Log(log) = record else { panic!("a log record") };
    assert_eq!((log.event_name(), log.attributes().iter().count()), ("", 1));
    let resource = view::Request::new(Signal::Logs, &rewritten.bytes).records().next().expect("a record").0;
    assert_eq!(resource.resource().attributes().iter().count(), 0);
    assert_eq!(log.body(), Some(view::AnyValue::Map(log_body(&rewritten.bytes))));
}

#[test]
fn elements_of_lists_of_numbers_and_texts_can_be_read() {
    use throughline_otlp::build::{HistogramPoint, Temporality};
    use throughline_otlp::wire::{put_len, put_message};
    let point = HistogramPoint {
        explicit_bounds: &[0.5, 10.0],
        bucket_counts: &[1, 0, 300],
        ..HistogramPoint::default()
    };
    let bytes = build::metrics(|request| {
        request.resource(&[], |resource| {
            resource.scope("", "", |scope| scope.metric("m").histogram(Temporality::Cumulative, &[point]));
        });
    });
    rewrite(Signal::Metrics, &bytes, Levels::METRIC, &mut |metric| {
        for (path, expected) in [
            ("data_points[0].explicit_bounds[1]", Some(view::AnyValue::Double(10.0))),
            ("histogram.data_points[0].bucket_counts[2]", Some(view::AnyValue::Int(300))),
            ("data_points[0].bucket_counts[3]", None),
            ("data_points[0].bucket_counts[0].x", None),
        ] {
            let path = Path::parse(path).expect("a path");
            assert_eq!(metric.get(&path), expected.map(Node::Value), "{path:?}");
        }
        let count = Path::parse("data_points[0].bucket_counts[0]").expect("a path");
        assert!(metric.set(&count, Value::Int(1)).is_err(), "they cannot be set");
        Keep::Yes
    });
    // Field 3 of a resource: entity references, whose field 3 are the keys of their ids.
    let mut bytes = Vec::new();
    put_message(&mut bytes, 1, |group| {
        put_message(group, 1, |resource| {
            put_message(resource, 3, |entity| {
                put_len(entity, 3, b"host.id");
                put_len(entity, 3, b"host.name");
            });
        });
    });
    rewrite(Signal::Logs, &bytes.into(), Levels::RESOURCE, &mut |resource| {
        let path = Path::parse("entity_refs[0].id_keys[1]").expect("a path");
        assert_eq!(resource.get(&path), Some(Node::Value(view::AnyValue::Str("host.name"))));
        Keep::Yes
    });
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
