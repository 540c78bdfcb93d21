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
