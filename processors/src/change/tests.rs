use std::sync::Arc;

use bytes::Bytes;
use throughline_component::port::{SystemClock, SystemRandom};
use throughline_component::{Context, Services, Settle, States, Verdict};
use throughline_otlp::build::{self, Exemplar, NumberPoint, Temporality};
use throughline_otlp::edit::{Keep, rewrite};
use throughline_otlp::view::{Data, Record as ViewedRecord, Request};
use throughline_otlp::{Limits, Value, admit, steps};

use super::*;

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const LIVE: &str = "github.com/acme/live";

/// A processor and its mailbox. Built twice from one set of services, both have the same state.
fn processor() -> (Change, Arc<Internal>) {
    with(Config::default())
}

fn with(config: Config) -> (Change, Arc<Internal>) {
    let mailbox = Arc::new(Internal::default());
    let mut services = Services::default();
    services.offer(Arc::clone(&mailbox));
    services.offer(Arc::new(States::default()));
    let (clock, random) = (Arc::new(SystemClock::default()), Arc::new(SystemRandom::default()));
    let cx = Build { id: ComponentId::new("change"), clock, random, services };
    (Change::build(config, &cx).expect("right settings"), mailbox)
}

/// What the processor makes of a request, canonical as ever.
fn walk(change: &Change, signal: Signal, bytes: Bytes) -> Bytes {
    let context = Arc::new(Context::internal(ComponentId::new("test"), 0));
    let chunk = Chunk { bytes: bytes.clone(), items: 1, position: None, context, settle: Settle::nobody() };
    let mut pass = change.begin(signal, &chunk).expect("it always looks");
    let levels = change.access().visits;
    let out = rewrite(signal, &bytes, levels, &mut |record| {
        assert_eq!(pass.edit(record), Verdict::Keep);
        Keep::Yes
    })
    .bytes;
    drop(pass.finish());
    let admitted = admit(signal, out.clone(), &Limits::default()).expect("it is legal");
    assert!(!admitted.rewritten, "what leaves is canonical");
    out
}

fn log(attributes: &[(&str, &str)]) -> Bytes {
    build::logs(|request| {
        request.resource(&[], |resource| {
            resource.scope("", "", |scope| {
                scope.log_record(|log| {
                    for (key, value) in attributes {
                        log.attribute(key, *value);
                    }
                });
            });
        });
    })
}

fn span(resource: &[(&str, Value<'_>)], attributes: &[(&str, &str)]) -> Bytes {
    build::traces(|request| {
        request.resource(resource, |resource| {
            resource.scope("", "", |scope| {
                scope.span(|span| {
                    for (key, value) in attributes {
                        span.attribute(key, *value);
                    }
                });
            });
        });
    })
}

/// The first record's attributes, over its resource's.
fn labels(signal: Signal, bytes: &Bytes) -> Vec<(String, String)> {
    let (group, _, record) = Request::new(signal, bytes).records().next().expect("a record");
    let own = match record {
        ViewedRecord::Span(span) => span.attributes(),
        ViewedRecord::Log(log) => log.attributes(),
        ViewedRecord::Metric(_) => panic!("no metric"),
    };
    let all = group.resource().attributes().iter().chain(own.iter());
    let mut all: Vec<_> = all.filter_map(|(key, value)| Some((key.into(), value.as_str()?.into()))).collect();
    all.sort();
    all
}

fn label(signal: Signal, bytes: &Bytes, name: &str) -> Option<String> {
    labels(signal, bytes).into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

#[test]
fn a_span_that_knows_only_a_commit_is_linked_once_its_pull_request_is_known() {
    let (change, _) = processor();
    let bare = || span(&[("vcs.ref.head.revision", Value::Str(A))], &[]);
    assert_eq!(label(Signal::Traces, &walk(&change, Signal::Traces, bare()), "change_id"), None);
    walk(&change, Signal::Logs, log(&[("repository", LIVE), ("pull_request", "7"), ("commit_sha", A)]));
    let linked = walk(&change, Signal::Traces, bare());
    for (name, value) in [
        ("change_id", "github.com/acme/live#7"),
        ("commit_sha", A),
        ("pull_request", "7"),
        ("repository", LIVE),
    ] {
        assert_eq!(label(Signal::Traces, &linked, name).as_deref(), Some(value), "{name}");
    }
    assert_eq!((change.counters.linked.get(), change.counters.unlinked.get()), (2, 1));
}

#[test]
fn a_merge_commit_belongs_to_its_pull_request() {
    let (change, _) = processor();
    let merged =
        [("repository", LIVE), ("pull_request", "7"), ("commit_sha", A), ("throughline.merge_commit_sha", B)];
    walk(&change, Signal::Logs, log(&merged));
    let deployed = walk(&change, Signal::Traces, span(&[], &[("vcs.ref.head.revision", B)]));
    assert_eq!(label(Signal::Traces, &deployed, "change_id").as_deref(), Some("github.com/acme/live#7"));
}

#[test]
fn what_is_there_is_not_overwritten_and_repetition_changes_nothing() {
    let (change, _) = processor();
    let own = [("repository", LIVE), ("pull_request", "7"), ("commit_sha", A), ("change_id", "mine")];
    let once = walk(&change, Signal::Logs, log(&own));
    assert_eq!(label(Signal::Logs, &once, "change_id").as_deref(), Some("mine"));
    assert_eq!(walk(&change, Signal::Logs, once.clone()), once);
}

#[test]
fn lbl_05_labels_are_copied_from_semantic_conventions_which_stay() {
    let (change, _) = processor();
    let resource =
        [("deployment.environment.name", Value::Str("prod")), ("k8s.cluster.name", Value::Str("eu-1"))];
    let out = walk(&change, Signal::Traces, span(&resource, &[]));
    for (name, value) in
        [("environment", "production"), ("cluster", "eu-1"), ("deployment.environment.name", "prod")]
    {
        assert_eq!(label(Signal::Traces, &out, name).as_deref(), Some(value), "{name}");
    }
}

#[test]
fn cdx_07_on_metrics_the_unbounded_labels_go_to_exemplars_only() {
    let (change, _) = processor();
    let exemplars = [Exemplar::default()];
    let point = NumberPoint { exemplars: &exemplars, ..NumberPoint::default() };
    let resource =
        [("repository", Value::Str(LIVE)), ("vcs.change.id", Value::Str("7")), ("commit_sha", Value::Str(A))];
    let request = build::metrics(|request| {
        request.resource(&resource, |resource| {
            resource.scope("", "", |scope| scope.metric("jobs").sum(Temporality::Cumulative, true, &[point]));
        });
    });
    let out = walk(&change, Signal::Metrics, request);
    let (_, _, record) = Request::new(Signal::Metrics, &out).records().next().expect("a metric");
    let ViewedRecord::Metric(metric) = record else { panic!("a metric") };
    let Some(Data::Sum(sum)) = metric.data() else { panic!("a sum") };
    let point = sum.data_points().next().expect("a point");
    let exemplar = point.exemplars().next().expect("an exemplar").filtered_attributes();
    for name in throughline_change::labels::UNBOUNDED {
        assert!(point.attributes().get(name).is_none(), "{name} on a point");
        assert!(exemplar.get(name).is_some(), "{name} in the exemplar");
    }
    assert_eq!(exemplar.get_str("change_id"), Some("github.com/acme/live#7"));
}

/// The labels of the only point of a metric below this resource.
fn point_labels(
    change: &Change,
    resource: &[(&str, Value<'_>)],
    own: &[(&str, Value<'_>)],
) -> Vec<(String, String)> {
    let point = NumberPoint { attributes: own, ..NumberPoint::default() };
    let request = build::metrics(|request| {
        request.resource(resource, |resource| {
            resource.scope("", "", |scope| scope.metric("jobs").sum(Temporality::Cumulative, true, &[point]));
        });
    });
    let out = walk(change, Signal::Metrics, request);
    let (_, _, record) = Request::new(Signal::Metrics, &out).records().next().expect("a metric");
    let ViewedRecord::Metric(metric) = record else { panic!("a metric") };
    let Some(Data::Sum(sum)) = metric.data() else { panic!("a sum") };
    let point = sum.data_points().next().expect("a point");
    let mut labels: Vec<_> = point
        .attributes()
        .iter()
        .map(|(key, value)| (key.to_owned(), value.as_str().unwrap_or_default().to_owned()))
        .collect();
    labels.sort();
    labels
}

#[test]
fn points_have_the_bounded_labels_from_the_first_one_on_and_no_series_splits_by_what_is_learnt() {
    let (change, _) = processor();
    let resource = [
        ("commit_sha", Value::Str(A)),
        ("deployment.environment.name", Value::Str("PROD")),
        ("k8s.cluster.name", Value::Str("eu-1")),
        ("risk_tier", Value::Str("high")),
    ];
    let own = [("cluster", Value::Str("mine"))];
    let expected = [("cluster", "mine"), ("environment", "production"), ("risk_tier", "high")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(point_labels(&change, &resource, &own), expected);
    // Now the commit is linked, and the series is the same.
    walk(&change, Signal::Logs, log(&[("repository", LIVE), ("pull_request", "7"), ("commit_sha", A)]));
    assert_eq!(point_labels(&change, &resource, &own), expected);
    let named = [
        ("vcs.repository.url.full", Value::Str("https://github.com/Acme/Live.git")),
        ("commit_sha", Value::Str(A)),
    ];
    assert_eq!(point_labels(&change, &named, &[]), [("repository".to_owned(), LIVE.to_owned())]);
}

#[test]
fn lbl_05_an_environment_has_one_spelling_wherever_it_came_from() {
    let (change, _) = processor();
    for given in [("environment", "prod"), ("environment", "Production"), ("deployment.environment", "prd")] {
        let out = walk(&change, Signal::Logs, log(&[given]));
        assert_eq!(label(Signal::Logs, &out, "environment"), Some("production".into()), "{given:?}");
    }
    let out = walk(&change, Signal::Logs, log(&[("environment", "sandbox-7")]));
    assert_eq!(label(Signal::Logs, &out, "environment"), Some("sandbox-7".into()));
}

#[test]
fn a_name_that_was_given_out_and_changes_is_announced_not_rewritten() {
    let (change, mailbox) = processor();
    let early = walk(&change, Signal::Logs, log(&[("repository", LIVE), ("commit_sha", A)]));
    let old = format!("{LIVE}@{A}");
    assert_eq!(label(Signal::Logs, &early, "change_id"), Some(old.clone()));
    walk(&change, Signal::Logs, log(&[("repository", LIVE), ("pull_request", "7"), ("commit_sha", A)]));
    let notices = {
        let mut take = std::pin::pin!(mailbox.take());
        match take.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
            std::task::Poll::Ready(notices) => notices,
            std::task::Poll::Pending => panic!("nothing was announced"),
        }
    };
    assert_eq!(notices.len(), 1);
    assert_eq!(notices[0].event_name, "change.identity.superseded");
    assert_eq!(notices[0].attributes, [("old".into(), old), ("new".into(), "github.com/acme/live#7".into())]);
}

#[test]
fn a_domain_event_belongs_to_the_trace_of_its_change() {
    let (change, _) = processor();
    let request = build::logs(|request| {
        request.resource(&[], |resource| {
            resource.scope("", "", |scope| {
                scope.log_record(|log| {
                    log.event_name("change.opened")
                        .attribute("repository", LIVE)
                        .attribute("pull_request", "7");
                });
            });
        });
    });
    let out = walk(&change, Signal::Logs, request);
    let (_, _, record) = Request::new(Signal::Logs, &out).records().next().expect("a record");
    let ViewedRecord::Log(log) = record else { panic!("a log record") };
    assert_eq!(log.trace_id(), throughline_change::change_key("github.com/acme/live#7"));
}

#[test]
fn commits_that_are_forgotten_for_want_of_room_are_counted() {
    let (change, _) = with(Config { max_commits: 2, ..Config::default() });
    for number in 1..=5 {
        let sha = format!("{number:040x}");
        walk(&change, Signal::Logs, log(&[("repository", LIVE), ("commit_sha", &sha)]));
    }
    assert_eq!(change.counters.forgotten.get(), 3);
}

/// The steps of a walk.
fn steps_of(signal: Signal, bytes: Bytes) -> u64 {
    let (change, _) = processor();
    steps::of(|| drop(walk(&change, signal, bytes)))
}

#[test]
fn learning_and_labelling_are_linear_whatever_a_request_names() {
    let sha = |n: usize| format!("{n:040x}");
    type Family = fn(usize, &dyn Fn(usize) -> String) -> (Signal, Bytes);
    let families: [(&str, Family); 4] = [
        ("one record with its labels again and again", |n, sha| {
            let commits: Vec<String> = (1..=n).map(sha).collect();
            let commits = commits.iter().flat_map(|sha| {
                [("commit_sha", &**sha), ("repository", LIVE), ("k8s.cluster.name", "eu"), ("change_id", "x")]
            });
            (Signal::Logs, log(&commits.collect::<Vec<_>>()))
        }),
        ("as many commits as records", |n, sha| {
            let bytes = build::logs(|request| {
                request.resource(&[("repository", Value::Str(LIVE))], |resource| {
                    resource.scope("", "", |scope| {
                        for number in 1..=n {
                            scope.log_record(|log| {
                                log.attribute("commit_sha", &*sha(number))
                                    .attribute("throughline.merge_commit_sha", &*sha(number));
                            });
                        }
                    });
                });
            });
            (Signal::Logs, bytes)
        }),
        ("one commit that more and more pull requests and repositories claim", |n, sha| {
            let bytes = build::logs(|request| {
                request.resource(&[], |resource| {
                    resource.scope("", "", |scope| {
                        for number in 1..=n {
                            let repository = format!("github.com/acme/live{}", number % 1000);
                            scope.log_record(|log| {
                                log.attribute("repository", &*repository).attribute("commit_sha", &*sha(1));
                                log.attribute("pull_request", i64::try_from(number).unwrap_or_default());
                            });
                        }
                    });
                });
            });
            (Signal::Logs, bytes)
        }),
        ("one metric with many points and exemplars", |n, sha| {
            let exemplars = [Exemplar::default(); 3];
            let point = NumberPoint { exemplars: &exemplars, ..NumberPoint::default() };
            let (points, sha) = (vec![point; n], sha(1));
            let resource = [("repository", Value::Str(LIVE)), ("commit_sha", Value::Str(&sha))];
            let bytes = build::metrics(|request| {
                request.resource(&resource, |resource| {
                    resource
                        .scope("", "", |scope| scope.metric("jobs").sum(Temporality::Delta, true, &points));
                });
            });
            (Signal::Metrics, bytes)
        }),
    ];
    for (name, family) in families {
        steps::assert_linear(name, 300, |size| {
            let (signal, bytes) = family(size, &sha);
            steps_of(signal, bytes)
        });
    }
}
