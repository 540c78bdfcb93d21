use throughline_component::port::{SystemClock, SystemRandom};
use throughline_component::{ComponentId, Context, Services, Settle};
use throughline_otlp::Value;
use throughline_otlp::view::LogRecord;
use throughline_otlp::{build, steps};

use super::*;

fn connector(config: Config) -> Events {
    let cx = Build {
        id: ComponentId::new("events"),
        clock: Arc::new(SystemClock::default()),
        random: Arc::new(SystemRandom::default()),
        services: Services::default(),
    };
    Events::build(config, &cx).expect("right settings")
}

fn run(config: Config, signal: Signal, bytes: bytes::Bytes) -> Vec<bytes::Bytes> {
    let (mut events, mut out) = (connector(config), Emitter::default());
    let items = batch::count(signal, &bytes);
    let context = Arc::new(Context::internal(ComponentId::new("test"), 0));
    events.accept(
        Batch::one(signal, Chunk { bytes, items, position: None, context, settle: Settle::nobody() }),
        &mut out,
    );
    out.take().0.into_iter().flat_map(|batch| batch.chunks).map(|chunk| chunk.bytes).collect()
}

fn span(name: &str, status: i32) -> bytes::Bytes {
    let labels = [("change_id", Value::Str("github.com/acme/live#7")), ("stack_id", Value::Str("network"))];
    build::traces(|request| {
        request.resource(&labels, |resource| {
            resource.scope("", "", |scope| {
                scope.span(|span| {
                    span.trace_id(&[1; 16])
                        .span_id(&[2; 8])
                        .name(name)
                        .time(1_000_000_000, 3_500_000_000)
                        .status(status, "");
                    span.attribute("changes.create", 3_i64);
                });
            });
        });
    })
}

fn read<T>(requests: &[bytes::Bytes], each: impl Fn(LogRecord<'_>) -> T) -> Vec<T> {
    let records = requests.iter().flat_map(|bytes| Request::new(Signal::Logs, bytes).records());
    records
        .filter_map(|(_, _, record)| if let Record::Log(log) = record { Some(each(log)) } else { None })
        .collect()
}

#[test]
fn evt_01_02_06_a_plan_and_an_apply_make_their_events() {
    let names = |name, status| {
        read(&run(Config::default(), Signal::Traces, span(name, status)), |log| log.event_name().to_owned())
    };
    assert_eq!(names("tofu plan", 0), ["change.plan.started", "change.plan.completed"]);
    assert_eq!(names("terraform apply", 2), ["change.apply.started", "change.apply.failed"]);
    assert!(names("npm install", 2).is_empty());
}

#[test]
fn an_event_carries_its_envelope_and_belongs_to_the_trace_of_its_change() {
    let made = run(Config::default(), Signal::Traces, span("tofu plan", 1));
    let checks = read(&made, |log| {
        let attribute = |key: &str| log.attributes().get_str(key).map(str::to_owned);
        assert_eq!(log.trace_id(), throughline_change::change_key("github.com/acme/live#7"));
        assert_eq!(attribute("entity_id").as_deref(), Some("plan-github.com/acme/live#7-network"));
        (attribute("event_type"), log.time_unix_nano(), attribute("event_id").is_some())
    });
    let expected = [("PlanStarted", 1_000_000_000, true), ("PlanCompleted", 3_500_000_000, true)];
    assert_eq!(checks, expected.map(|(name, at, id)| (Some(name.to_owned()), at, id)));
    let completed = read(&made[..], |log| log.body().map(|body| format!("{body:?}")));
    assert_eq!(completed.len(), 2);
}

#[test]
fn a_retry_makes_the_same_event_ids() {
    let ids = || {
        read(&run(Config::default(), Signal::Traces, span("tofu plan", 1)), |log| {
            log.attributes().get_str("event_id").map(str::to_owned)
        })
    };
    assert_eq!(ids(), ids());
}

#[test]
fn own_rules_are_data_and_unknown_events_are_refused_with_a_list() {
    let parse = |text: &str| serde_json::from_str::<Config>(text).expect("the shape is right");
    let own = parse(
        r#"{"without_default_rules": true,
            "rules": [{"event": "ApplyFailed", "from": "span", "where": {"name": "deploy *", "status": "error"}}]}"#,
    );
    let made = run(own, Signal::Traces, span("deploy api", 2));
    assert_eq!(read(&made, |log| log.event_name().to_owned()), ["change.apply.failed"]);
    let wrong = parse(r#"{"rules": [{"event": "PlanDone", "from": "log", "where": {"body": "*"}}]}"#);
    let error = Rules::compile(wrong.rules, true).err().expect("there is no such event");
    assert_eq!(error.path, ["rules", "0", "event"]);
    assert!(error.message.contains("PlanCompleted"));
}

/// A resource with so many attributes, of the length of one, above as many spans that make events.
fn below_much(attributes: usize, length: usize, spans: usize) -> bytes::Bytes {
    let (keys, long) = ((0..attributes).map(|n| format!("a{n}")).collect::<Vec<_>>(), "é".repeat(length));
    let mut labels: Vec<(&str, Value<'_>)> = keys.iter().map(|key| (&**key, Value::Str("x"))).collect();
    labels.push(("application", Value::Str(&long)));
    build::traces(|request| {
        request.resource(&labels, |resource| {
            resource.scope("", "", |scope| {
                (0..spans).for_each(|_| {
                    scope.span(|span| {
                        span.name("tofu plan");
                    })
                })
            });
        });
    })
}

#[test]
fn a_resource_with_much_in_it_above_many_records_is_read_once() {
    steps::assert_linear("attributes above as many records", 500, |size| {
        let bytes = below_much(size, 1, size);
        steps::of(|| assert_eq!(run(Config::default(), Signal::Traces, bytes).len(), 1))
    });
}

#[test]
fn a_long_value_of_a_resource_is_cut_in_its_events() {
    let made = run(Config::default(), Signal::Traces, below_much(0, 100_000, 100));
    let lengths = read(&made, |log| log.attributes().get_str("application").map(str::len));
    assert_eq!(lengths, [Some(1024); 200]);
}
