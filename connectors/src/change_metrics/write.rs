//! All series as one metrics request.

use bytes::Bytes;
use throughline_change::change_key;
use throughline_otlp::Value;
use throughline_otlp::build::{self, Exemplar, HistogramPoint, NumberPoint, Temporality};
use throughline_otlp::view::Number;

use super::state::{Labels, Last, Now, Series, State};
use super::table::{Kind, METRICS, Metric};

/// Metrics of this scope keep their exact names where these are names for Prometheus (TRP-06).
const SCOPE: &str = "throughline.change_metrics";

pub(super) fn request(state: &mut State, now: u64) -> Bytes {
    let current = state.now();
    let state = &*state;
    build::metrics(|request| {
        request.resource(&[("service.name", Value::Str("throughline"))], |resource| {
            resource.scope(SCOPE, env!("CARGO_PKG_VERSION"), |scope| {
                // Points borrow their attributes and exemplars, so each series is a metric of its own; names may repeat.
                for (metric, all) in METRICS.iter().zip(&state.series) {
                    all.iter().for_each(|(labels, series)| write(scope, state, now, metric, labels, series));
                }
                for ((number, labels), what) in &current {
                    show(scope, &METRICS[*number], labels, *what, now);
                }
            });
        });
    })
}

type Scope<'a> = build::Scope<'a, build::Metrics>;

fn write(scope: &mut Scope<'_>, state: &State, now: u64, metric: &Metric, labels: &Labels, series: &Series) {
    let attributes = attributes(metric, labels);
    let last = series.last.as_ref();
    let key = last.map(|last| change_key(&last.change_id)).unwrap_or_default();
    let filtered = last.map(|last| [("change_id", Value::Str(&last.change_id))]);
    let exemplars: Vec<Exemplar<'_>> = last
        .map(|Last { at, nanos, .. }| Exemplar {
            time_unix_nano: *at,
            value: Number::Double(seconds(*nanos)),
            trace_id: &key,
            span_id: &[],
            filtered_attributes: filtered.as_ref().map_or(&[], |list| list),
        })
        .into_iter()
        .collect();
    let number = |value| NumberPoint {
        start_time_unix_nano: state.since,
        time_unix_nano: now,
        value,
        attributes: &attributes,
        exemplars: &[],
        flags: 0,
    };
    let out = scope.metric(metric.name).description(metric.description).unit(metric.unit);
    match metric.kind {
        Kind::Duration { .. } => {
            let point = HistogramPoint {
                start_time_unix_nano: state.since,
                time_unix_nano: now,
                sum: Some(seconds(series.nanos)),
                bucket_counts: &series.counts,
                explicit_bounds: &state.settings.bounds,
                attributes: &attributes,
                exemplars: &exemplars,
            };
            out.histogram(Temporality::Cumulative, &[point]);
        }
        Kind::Count { .. } => {
            let count = i64::try_from(series.count()).unwrap_or(i64::MAX);
            out.sum(Temporality::Cumulative, true, &[number(Number::Int(count))]);
        }
        _ => {
            let value = last.map_or(0.0, |last| seconds(last.nanos));
            out.gauge(&[NumberPoint { exemplars: &exemplars, ..number(Number::Double(value)) }]);
        }
    }
}

const NO_VALUE: u32 = 1;

/// Ages go out as their beginning: whoever shows them, shows them to the moment. One that ended goes out once more,
/// without a value, so that nobody shows it growing on.
fn show(scope: &mut Scope<'_>, metric: &Metric, labels: &Labels, what: Now, now: u64) {
    let attributes = attributes(metric, labels);
    let point = |since: u64, value, flags| NumberPoint {
        start_time_unix_nano: since,
        time_unix_nano: now,
        value,
        attributes: &attributes,
        exemplars: &[],
        flags,
    };
    let out = scope.metric(metric.name).description(metric.description).unit(metric.unit);
    if matches!(metric.kind, Kind::Active { .. }) {
        let count = if let Now::Active(count) = what { count } else { 0 };
        let count = Number::Int(i64::try_from(count).unwrap_or(i64::MAX));
        out.sum(Temporality::Cumulative, false, &[point(0, count, 0)]);
        return;
    }
    let (since, flags) = if let Now::Since(since) = what { (since, 0) } else { (now, NO_VALUE) };
    let age = Number::Double(seconds(now.saturating_sub(since)));
    out.metadata(&[("throughline.age", Value::Bool(true))]).gauge(&[point(since, age, flags)]);
}

fn attributes<'l>(metric: &Metric, labels: &'l Labels) -> Vec<(&'static str, Value<'l>)> {
    let all = metric.names().zip(labels);
    all.filter(|(_, value)| !value.is_empty()).map(|(key, value)| (key, Value::Str(value))).collect()
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}
