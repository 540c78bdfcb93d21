use throughline_otlp::Value;
use throughline_otlp::build::{self, Exemplar as BuildExemplar, HistogramPoint, NumberPoint, Temporality};
use throughline_otlp::view::Number;

use super::super::fold::fold;
use super::super::limits::Limits;
use super::super::names::Strategy;
use super::super::tally::{Refusal, Tally};
use super::*;

mod any_name;

fn page(request: &[u8], open_metrics: bool) -> (String, Vec<(Refusal, u64)>) {
    let accept = if open_metrics { "application/openmetrics-text" } else { "" };
    written(request, Page::default(), Wanted::of(accept, true))
}

fn written(request: &[u8], page: Page, wanted: Wanted) -> (String, Vec<(Refusal, u64)>) {
    let (mut registry, mut tally) = (Registry::default(), Tally::default());
    fold(request, &mut registry, &page, &Limits::default(), 1, &mut tally);
    let page = shown(&registry, &page, wanted);
    assert!(page.len() <= registry.size.page + "# EOF\n".len(), "{} > {:?}", page.len(), registry.size);
    (page, tally.refused)
}

fn shown(registry: &Registry, page: &Page, wanted: Wanted) -> String {
    let mut out = String::new();
    render(registry, page, wanted, 10_000_000_000, &mut |piece| {
        out.push_str(&piece);
        true
    });
    out
}

/// The page of a configuration that translates nothing, for a scraper that wants this scheme.
fn untranslated(request: &[u8], scheme: Scheme) -> String {
    let accept = format!("text/plain;version=1.0.0;escaping={}", scheme.name());
    written(request, not_translating(), Wanted::of(&accept, true)).0
}

fn not_translating() -> Page {
    Page { translation_strategy: Some(Strategy::NoTranslation), ..Page::default() }
}

fn request(scope: &str, write: impl FnOnce(&mut build::Scope<'_, build::Metrics>)) -> bytes::Bytes {
    let resource = [("service.name", Value::Str("ci")), ("region", Value::Str("eu"))];
    build::metrics(|request| request.resource(&resource, |r| r.scope(scope, "1", write)))
}

fn jobs() -> [NumberPoint<'static>; 1] {
    const EXEMPLAR: [BuildExemplar<'static>; 1] = [BuildExemplar {
        time_unix_nano: 5_000_000_000,
        value: Number::Int(1),
        trace_id: &[0xab; 16],
        span_id: &[],
        filtered_attributes: &[("change_id", Value::Str("github.com/acme/live#7"))],
    }];
    [NumberPoint {
        value: Number::Int(3),
        attributes: &[("k.v", Value::Str("a\"b\n"))],
        exemplars: &EXEMPLAR,
        ..NumberPoint::default()
    }]
}

#[test]
fn a_counter_in_both_formats() {
    let bytes = request("lib", |scope| scope.metric("jobs").sum(Temporality::Cumulative, true, &jobs()));
    let labels = r#"{job="ci",k_v="a\"b\n",otel_scope_name="lib",otel_scope_version="1"}"#;
    let info = "target_info{job=\"ci\",region=\"eu\"} 1\n";
    let (text, _) = page(&bytes, false);
    assert_eq!(
        text,
        format!(
            "# TYPE jobs_total counter\njobs_total{labels} 3\n# HELP target_info Target metadata\n# TYPE target_info gauge\n{info}"
        )
    );
    let (open, _) = page(&bytes, true);
    let exemplar =
        format!("# {{trace_id=\"{}\",change_id=\"github.com/acme/live#7\"}} 1 5.000", "ab".repeat(16));
    assert_eq!(
        open,
        format!(
            "# TYPE jobs counter\njobs_total{labels} 3 {exemplar}\n# HELP target Target metadata\n# TYPE target info\n{info}# EOF\n"
        )
    );
}

#[test]
fn trp_06_our_own_metrics_keep_their_names_and_are_unknown_in_open_metrics() {
    let bytes = request("throughline.change_metrics", |scope| {
        scope.metric("sync_failure_count").unit("1").sum(Temporality::Cumulative, true, &jobs());
    });
    assert!(page(&bytes, false).0.starts_with("# TYPE sync_failure_count counter\nsync_failure_count{"));
    assert!(page(&bytes, true).0.starts_with("# TYPE sync_failure_count unknown\nsync_failure_count{"));
}

#[test]
fn trp_06_a_counter_and_a_gauge_that_open_metrics_takes_for_one_family_are_told_apart() {
    let bytes = request("throughline.change_metrics", |scope| {
        scope.metric("cicd_runners").gauge(&jobs());
        scope.metric("cicd_runners_total").sum(Temporality::Cumulative, true, &jobs());
        scope.metric("idle_total").gauge(&jobs());
    });
    let page = page(&bytes, true).0;
    for line in
        ["# TYPE cicd_runners gauge\n", "# TYPE cicd_runners_total unknown\n", "# TYPE idle_total gauge\n"]
    {
        assert!(page.contains(line), "{line} in {page}");
    }
    assert!(!page.contains(" # {"), "neither gauges nor what is unknown may have exemplars: {page}");
}

#[test]
fn a_histogram_is_cumulative_and_its_exemplars_lie_in_their_buckets() {
    let exemplars = [BuildExemplar {
        value: Number::Double(7.0),
        time_unix_nano: 1_000_000_000,
        ..BuildExemplar::default()
    }];
    let point = HistogramPoint {
        explicit_bounds: &[1.0, 10.0],
        bucket_counts: &[1, 2, 3],
        sum: Some(40.5),
        exemplars: &exemplars,
        ..HistogramPoint::default()
    };
    let bytes =
        request("", |scope| scope.metric("wait").unit("s").histogram(Temporality::Cumulative, &[point]));
    let (text, _) = page(&bytes, true);
    let expected = "# TYPE wait_seconds histogram\nwait_seconds_bucket{job=\"ci\",le=\"1\"} 1\n\
        wait_seconds_bucket{job=\"ci\",le=\"10\"} 3 # {} 7 1.000\nwait_seconds_bucket{job=\"ci\",le=\"+Inf\"} 6\n\
        wait_seconds_sum{job=\"ci\"} 40.5\nwait_seconds_count{job=\"ci\"} 6\n";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn delta_points_and_type_conflicts_are_refused_and_counted() {
    let bytes = request("", |scope| {
        scope.metric("a").sum(Temporality::Delta, true, &jobs());
        scope.metric("b_total").gauge(&jobs());
        scope.metric("b").sum(Temporality::Cumulative, true, &jobs());
    });
    let (text, refusals) = page(&bytes, false);
    assert_eq!(refusals, [(Refusal::Delta, 1), (Refusal::Type, 1)]);
    assert!(text.contains("# TYPE b_total gauge"), "the first decides");
}

#[test]
fn an_age_grows_to_the_moment_of_the_scrape() {
    let bytes = request("throughline.change_metrics", |scope| {
        let since = NumberPoint { start_time_unix_nano: 4_000_000_000, ..NumberPoint::default() };
        scope
            .metric("approval_age_seconds")
            .metadata(&[("throughline.age", Value::Bool(true))])
            .gauge(&[since]);
    });
    assert!(
        page(&bytes, false).0.contains("approval_age_seconds{job=\"ci\",otel_scope_name"),
        "{}",
        page(&bytes, false).0
    );
    assert!(page(&bytes, false).0.contains("} 6\n"), "ten seconds less four");
}

#[test]
fn names_that_are_not_translated_are_quoted_or_escaped_as_the_scraper_wants() {
    let bytes = request("", |scope| scope.metric("jobs.done").gauge(&jobs()));
    for (scheme, lines) in [
        (
            Scheme::AllowUtf8,
            "# TYPE \"jobs.done\" gauge\n{\"jobs.done\",job=\"ci\",\"k.v\"=\"a\\\"b\\n\"} 3\n",
        ),
        (Scheme::Underscores, "# TYPE jobs_done gauge\njobs_done{job=\"ci\",k_v=\"a\\\"b\\n\"} 3\n"),
        (Scheme::Dots, "# TYPE jobs_dot_done gauge\njobs_dot_done{job=\"ci\",k_dot_v=\"a\\\"b\\n\"} 3\n"),
        (
            Scheme::Values,
            "# TYPE U__jobs_2e_done gauge\nU__jobs_2e_done{U__k_2e_v=\"a\\\"b\\n\",job=\"ci\"} 3\n",
        ),
    ] {
        let page = untranslated(&bytes, scheme);
        assert!(page.contains(lines), "{}: {page}", scheme.name());
    }
}

#[test]
fn labels_whose_names_escaping_makes_equal_have_their_values_joined() {
    let attributes = [("k.v", Value::Str("1")), ("k/v", Value::Str("2"))];
    let points = [NumberPoint { attributes: &attributes, ..NumberPoint::default() }];
    let bytes = request("", |scope| scope.metric("a").gauge(&points));
    let joined = untranslated(&bytes, Scheme::Underscores);
    assert!(joined.contains("a{job=\"ci\",k_v=\"1;2\"} 0\n"), "{joined}");
    let apart = untranslated(&bytes, Scheme::AllowUtf8);
    assert!(apart.contains("a{job=\"ci\",\"k.v\"=\"1\",\"k/v\"=\"2\"} 0\n"), "{apart}");
}

#[test]
fn metrics_whose_names_escaping_makes_equal_are_one_family_of_the_newest_series() {
    let bytes = request("", |scope| {
        let at = |time_unix_nano, value, attributes| {
            [NumberPoint { time_unix_nano, value: Number::Int(value), attributes, ..NumberPoint::default() }]
        };
        scope.metric("a.b").description("first").gauge(&at(7, 1, &[("k.v", Value::Str("x"))]));
        scope.metric("a/b").gauge(&at(9, 2, &[("k/v", Value::Str("x"))]));
        scope.metric("a_b").gauge(&at(8, 3, &[("k_v", Value::Str("y"))]));
        scope.metric("a~b").sum(Temporality::Cumulative, true, &at(9, 4, &[("k_v", Value::Str("z"))]));
    });
    let family =
        "# HELP a_b first\n# TYPE a_b gauge\na_b{job=\"ci\",k_v=\"x\"} 2\na_b{job=\"ci\",k_v=\"y\"} 3\n";
    let page = untranslated(&bytes, Scheme::Underscores);
    assert!(
        page.starts_with(&format!("{family}# HELP target_info")),
        "the first by name decides the type: {page}"
    );
    let apart = untranslated(&bytes, Scheme::AllowUtf8);
    assert_eq!(apart.matches("# TYPE").count(), 5, "who can tell them apart gets them all: {apart}");
}

#[test]
fn an_exemplar_keeps_to_its_room_when_escaping_makes_its_names_longer() {
    let (long, value) = ("é".repeat(30), "v".repeat(90));
    let attributes = [("a.b", Value::Str("short")), (long.as_str(), Value::Str(&value))];
    let exemplars = [BuildExemplar { filtered_attributes: &attributes, ..BuildExemplar::default() }];
    let points = [NumberPoint { exemplars: &exemplars, ..NumberPoint::default() }];
    let bytes = request("", |scope| scope.metric("x_total").sum(Temporality::Cumulative, true, &points));
    let page = |scheme: Scheme| {
        let accept = format!("application/openmetrics-text;version=1.0.0;escaping={}", scheme.name());
        written(&bytes, not_translating(), Wanted::of(&accept, true)).0
    };
    assert!(page(Scheme::AllowUtf8).contains(&format!("\"{long}\"=\"{value}\"}} 0")));
    assert!(page(Scheme::Values).contains(" # {U__a_2e_b=\"short\"} 0"), "{}", page(Scheme::Values));
}

#[test]
fn what_would_break_the_page_is_refused_or_renamed() {
    let bytes = request("throughline.events", |scope| {
        scope.metric("").gauge(&jobs());
        // Our own scopes keep their names, whoever claims to be one.
        scope.metric("x 1\nfake_total").gauge(&jobs());
        let attributes =
            [("le", Value::Str("mine")), ("__name__", Value::Str("other")), ("", Value::Str("nameless"))];
        let point = HistogramPoint { attributes: &attributes, ..HistogramPoint::default() };
        scope.metric("wait").histogram(Temporality::Cumulative, &[point]);
    });
    let (text, refusals) = page(&bytes, false);
    assert_eq!(refusals, [(Refusal::Empty, 1)]);
    assert!(
        !text.contains("\nfake_total") && text.contains("# TYPE x_1_fake_total gauge\nx_1_fake_total{"),
        "{text}"
    );
    assert!(
        text.contains("wait_bucket{exported___name__=\"other\",exported_le=\"mine\",job=\"ci\""),
        "{text}"
    );
    assert!(!text.contains("nameless"), "{text}");
}
