use throughline_config::ByteSize;
use throughline_otlp::Value;
use throughline_otlp::build::{self, Exemplar, HistogramPoint, NumberPoint, Temporality};

use super::*;

type Scope<'a> = build::Scope<'a, build::Metrics>;

fn request(resource: &[(&str, Value<'_>)], write: impl FnOnce(&mut Scope<'_>)) -> bytes::Bytes {
    build::metrics(|request| request.resource(resource, |r| r.scope("", "", write)))
}

fn folded(limits: &Limits, requests: impl IntoIterator<Item = bytes::Bytes>) -> (Registry, Tally) {
    let (mut registry, mut tally) = (Registry::default(), Tally::default());
    for bytes in requests {
        fold(&bytes, &mut registry, &Page::default(), limits, 1, &mut tally);
    }
    (registry, tally)
}

fn gauge(scope: &mut Scope<'_>, name: &str, attributes: &[(&str, Value<'_>)]) {
    scope.metric(name).gauge(&[NumberPoint { attributes, ..NumberPoint::default() }]);
}

#[test]
fn what_is_too_long_or_too_many_is_refused_by_its_name_and_nothing_of_it_is_kept() {
    let long = "x".repeat(5_000);
    let names: Vec<_> = (0..200).map(|at| format!("k{at}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), Value::Str("v"))).collect();
    let wide = HistogramPoint {
        explicit_bounds: &(0..20_000).map(f64::from).collect::<Vec<_>>(),
        bucket_counts: &[1; 20_001],
        ..HistogramPoint::default()
    };
    let all = [
        request(&[], |scope| gauge(scope, "a", &[("k", Value::Str(&long))])),
        request(&[], |scope| gauge(scope, "a", &[(&long, Value::Str("v"))])),
        request(&[], |scope| gauge(scope, &long, &[])),
        request(&[], |scope| gauge(scope, "a", &many)),
        request(&[], |scope| scope.metric("a").histogram(Temporality::Cumulative, &[wide])),
        request(&[("service.name", Value::Str(&long))], |scope| gauge(scope, "a", &[])),
    ];
    let (registry, tally) = folded(&Limits::default(), all);
    assert_eq!(registry, Registry::default());
    let expected = [(Refusal::Value, 2), (Refusal::Name, 2), (Refusal::Labels, 1), (Refusal::Buckets, 1)];
    assert_eq!(tally.refused, expected);
}

#[test]
fn twenty_thousand_series_with_labels_of_100_kb_stay_within_the_bound() {
    let limits = Limits {
        max_label_value_bytes: ByteSize(1 << 20),
        max_bytes: ByteSize(4 << 20),
        ..Limits::default()
    };
    let value = "x".repeat(100_000);
    let requests = (0..200).map(|at| {
        let value = format!("{at}{value}");
        request(&[], |scope| gauge(scope, "a", &[("k", Value::Str(&value))]))
    });
    let (registry, tally) = folded(&limits, requests);
    assert!(registry.size.bytes <= 4 << 20, "{:?}", registry.size);
    assert_eq!(registry.series, 41);
    assert_eq!(tally.refused, [(Refusal::Bytes, 159)]);
}

#[test]
fn a_page_is_bounded_though_labels_are_repeated_for_each_bucket() {
    let limits = Limits { max_page_bytes: ByteSize(1 << 20), ..Limits::default() };
    let value = "x".repeat(4_000);
    let requests = (0..10).map(|at| {
        let attributes = [("k", Value::Str(&value)), ("at", Value::Int(at))];
        let point = HistogramPoint {
            attributes: &attributes,
            explicit_bounds: &(0..100).map(f64::from).collect::<Vec<_>>(),
            bucket_counts: &[1; 101],
            ..HistogramPoint::default()
        };
        request(&[], |scope| scope.metric("a").histogram(Temporality::Cumulative, &[point]))
    });
    let (registry, tally) = folded(&limits, requests);
    assert!(registry.size.bytes < 100_000, "the memory is small: {:?}", registry.size);
    assert_eq!(registry.series, 2, "as often as a page has room for a hundred lines of 4 kB");
    assert_eq!(tally.refused, [(Refusal::PageBytes, 8)]);
}

#[test]
fn of_a_million_exemplars_those_are_kept_that_the_page_shows() {
    let exemplars: Vec<_> =
        (0..1_000).map(|at| Exemplar { time_unix_nano: at, ..Exemplar::default() }).collect();
    let number = NumberPoint { exemplars: &exemplars, ..NumberPoint::default() };
    let histogram = HistogramPoint {
        exemplars: &exemplars,
        explicit_bounds: &[1.0],
        bucket_counts: &[1, 1],
        ..HistogramPoint::default()
    };
    let bytes = request(&[], |scope| {
        scope.metric("a").sum(Temporality::Cumulative, true, &[number]);
        scope.metric("b").histogram(Temporality::Cumulative, &[histogram]);
    });
    let (registry, _) = folded(&Limits::default(), [bytes]);
    let kept = registry.families.values().flat_map(|family| family.series.values());
    let kept: Vec<_> =
        kept.map(|series| series.exemplars.iter().map(|e| e.time).collect::<Vec<_>>()).collect();
    assert_eq!(kept, [[999], [999]], "the newest of each bucket");
}

#[test]
fn a_description_of_a_resource_loses_what_does_not_fit_and_says_so() {
    let long = "x".repeat(5_000);
    let resource = [
        ("service.name", Value::Str("ci")),
        ("host.long", Value::Str(&long)),
        ("host.short", Value::Str("s")),
    ];
    let (registry, tally) = folded(
        &Limits::default(),
        [request(&resource, |scope| {
            gauge(scope, "a", &[]);
            gauge(scope, "b", &[]);
        })],
    );
    let info = registry.families.get("target_info").expect("it is there");
    let labels: Vec<_> = info.series.keys().flatten().map(|(key, _)| key.as_str()).collect();
    assert_eq!(labels, ["host_short", "job"]);
    assert_eq!((tally.refused, tally.target_info), (vec![], 1));
}

#[test]
fn no_identity_of_a_change_makes_a_target_info_of_its_own() {
    let commits = ["a".repeat(40), "b".repeat(40)];
    let of = |commit: &str| {
        let resource = [
            ("service.name", Value::Str("ci")),
            ("region", Value::Str("eu")),
            ("vcs.ref.head.revision", Value::Str(commit)),
            ("commit_sha", Value::Str(commit)),
            ("change_id", Value::Str(commit)),
            ("pull_request", Value::Str(commit)),
            ("vcs.change.id", Value::Str(commit)),
            ("vcs.ref.head.name", Value::Str(commit)),
        ];
        request(&resource, |scope| gauge(scope, "a", &[]))
    };
    let (registry, _) = folded(&Limits::default(), [of(&commits[0]), of(&commits[1])]);
    let info = registry.families.get("target_info").expect("it is there");
    let labels: Vec<Vec<&str>> =
        info.series.keys().map(|series| series.iter().map(|(key, _)| key.as_str()).collect()).collect();
    assert_eq!(labels, [["job", "region"]]);
}

#[test]
fn counts_that_do_not_fit_are_made_to_or_refused() {
    let histogram = |explicit_bounds: &[f64], bucket_counts: &[u64]| {
        let point = HistogramPoint { explicit_bounds, bucket_counts, ..HistogramPoint::default() };
        let bytes = request(&[], |scope| scope.metric("a").histogram(Temporality::Cumulative, &[point]));
        let (registry, tally) = folded(&Limits::default(), [bytes]);
        let value = registry.families.into_values().flat_map(|family| family.series.into_values()).next();
        (value.map(|series| series.value), tally.refused)
    };
    let (value, _) = histogram(&[1.0, 1.0, f64::INFINITY], &[1, 2, 3, 4]);
    let buckets = vec![(1.0, 3), (f64::INFINITY, 10)];
    assert_eq!(value, Some(Sample::Histogram { buckets, sum: None, count: 10 }), "no bound twice");
    assert_eq!(histogram(&[f64::NAN], &[1, 2]).1, [(Refusal::Inconsistent, 1)]);
}

#[test]
fn attributes_of_a_resource_become_labels_but_never_the_identity_of_a_change() {
    let resource = [
        ("service.name", Value::Str("shop")),
        ("k8s.namespace.name", Value::Str("prod")),
        ("environment", Value::Str("staging")),
        ("change_id", Value::Str("github.com/a/b#1")),
        ("commit_sha", Value::Str("c0ffee")),
        ("pull_request", Value::Str("1")),
        ("vcs.ref.head.revision", Value::Str("c0ffee")),
        ("git.commit.sha", Value::Str("c0ffee")),
        ("vcs.change.id", Value::Str("1")),
    ];
    let labels = |page: &Page| {
        let (mut registry, mut tally) = (Registry::default(), Tally::default());
        let bytes =
            request(&resource, |scope| gauge(scope, "a", &[("environment", Value::Str("production"))]));
        fold(&bytes, &mut registry, page, &Limits::default(), 1, &mut tally);
        assert!(tally.refused.is_empty(), "{:?}", tally.refused);
        let page = format!("{registry:?}");
        [
            "service_name",
            "k8s_namespace_name",
            "staging",
            "production",
            "change_id",
            "c0ffee",
            "pull_request",
            "vcs_",
        ]
        .map(|text| page.contains(text))
    };
    let mut page = Page { target_info_attributes: Vec::new(), ..Page::default() };
    assert_eq!(labels(&page), [false, false, false, true, false, false, false, false]);
    page.resource_to_telemetry_conversion =
        crate::prometheus::Conversion { enabled: true, ..Default::default() };
    assert_eq!(labels(&page), [true, true, false, true, false, false, false, false]);
    page.resource_to_telemetry_conversion = Default::default();
    let included = vec!["k8s.namespace.name".into(), "commit_sha".into()];
    page.resource_constant_labels =
        Some(throughline_config::IncludeExclude { included, excluded: Vec::new() });
    assert_eq!(labels(&page), [false, true, false, true, false, false, false, false]);
}
