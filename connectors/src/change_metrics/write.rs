//! All series as one metrics request.

use std::collections::BTreeMap;

use bytes::Bytes;
use throughline_change::change_key;
use throughline_otlp::Value;
use throughline_otlp::build::{self, Exemplar, HistogramPoint, NumberPoint, Temporality};
use throughline_otlp::view::Number;

use super::state::{Histogram, Labels, State};

/// Metrics of this scope keep their exact names (TRP-06).
const SCOPE: &str = "throughline.change_metrics";

pub(super) fn request(state: &mut State, now: u64) -> Bytes {
    let ages = state.ages();
    let state = &*state;
    build::metrics(|request| {
        request.resource(&[("service.name", Value::Str("throughline"))], |resource| {
            resource.scope(SCOPE, env!("CARGO_PKG_VERSION"), |scope| {
                let lead = state.lead_time.iter().map(|(labels, series)| (labels, None, series));
                histogram(
                    scope,
                    state,
                    now,
                    "change_lead_time_seconds",
                    "From opening a change to production",
                    lead,
                );
                let plan = state.plan_latency.iter().map(|(labels, series)| (labels, None, series));
                histogram(
                    scope,
                    state,
                    now,
                    "plan_latency_seconds",
                    "From a change's last edit to its plan",
                    plan,
                );
                let apply = state
                    .apply_duration
                    .iter()
                    .map(|((labels, result), series)| (labels, Some(result.as_str()), series));
                histogram(scope, state, now, "apply_duration_seconds", "How long applies took", apply);
                applies(scope, state, now);
                waiting(scope, &ages, now);
            });
        });
    })
}

type Scope<'a> = build::Scope<'a, build::Metrics>;

fn histogram<'s>(
    scope: &mut Scope<'_>,
    state: &State,
    now: u64,
    name: &str,
    description: &str,
    series: impl Iterator<Item = (&'s Labels, Option<&'s str>, &'s Histogram)>,
) {
    // Points borrow their attributes and exemplars, so each series is a metric of its own; names may repeat.
    for (labels, result, series) in series {
        let attributes = attributes(labels, result);
        let exemplar = series.exemplar.as_ref().map(|(value, change_id, at)| (*value, change_id, *at));
        let key = exemplar.map(|(_, change_id, _)| change_key(change_id)).unwrap_or_default();
        let filtered = exemplar.map(|(_, change_id, _)| [("change_id", Value::Str(change_id))]);
        let exemplars: Vec<Exemplar<'_>> = exemplar
            .map(|(value, _, at)| Exemplar {
                time_unix_nano: at,
                value: Number::Double(value),
                trace_id: &key,
                span_id: &[],
                filtered_attributes: filtered.as_ref().map_or(&[], |list| list),
            })
            .into_iter()
            .collect();
        let point = HistogramPoint {
            start_time_unix_nano: state.since,
            time_unix_nano: now,
            sum: Some(series.sum),
            bucket_counts: &series.counts,
            explicit_bounds: &state.bounds,
            attributes: &attributes,
            exemplars: &exemplars,
        };
        let metric = scope.metric(name).description(description).unit("s");
        metric.histogram(Temporality::Cumulative, &[point]);
    }
}

fn applies(scope: &mut Scope<'_>, state: &State, now: u64) {
    for ((labels, result), count) in &state.applies {
        let attributes = attributes(labels, Some(result.as_str()));
        let point = NumberPoint {
            start_time_unix_nano: state.since,
            time_unix_nano: now,
            value: Number::Int(i64::try_from(*count).unwrap_or(i64::MAX)),
            attributes: &attributes,
            exemplars: &[],
            flags: 0,
        };
        let metric = scope.metric("change_apply_total").description("Applies by result");
        metric.sum(Temporality::Cumulative, true, &[point]);
    }
}

const NO_VALUE: u32 = 1;

/// Ages go out as their beginning: whoever shows them, shows them to the moment. One that ended goes out once more,
/// without a value, so that nobody shows it growing on.
fn waiting(scope: &mut Scope<'_>, waiting: &BTreeMap<Labels, Option<u64>>, now: u64) {
    for (labels, since) in waiting {
        let (since, flags) = since.map_or((now, NO_VALUE), |since| (since, 0));
        let attributes = attributes(labels, None);
        let point = NumberPoint {
            start_time_unix_nano: since,
            time_unix_nano: now,
            value: Number::Double(now.saturating_sub(since) as f64 / 1e9),
            attributes: &attributes,
            exemplars: &[],
            flags,
        };
        let metric = scope
            .metric("apply_queue_age_seconds")
            .description("Age of the oldest approved change not yet applied");
        metric.unit("s").metadata(&[("throughline.age", Value::Bool(true))]).gauge(&[point]);
    }
}

fn attributes<'l>(labels: &'l Labels, result: Option<&'l str>) -> Vec<(&'l str, Value<'l>)> {
    let all = [
        ("environment", &*labels.environment),
        ("owner_team", &*labels.owner_team),
        ("risk_tier", &*labels.risk_tier),
        ("repository", &*labels.repository),
        ("runner_pool", &*labels.runner_pool),
        ("result", result.unwrap_or_default()),
    ];
    all.into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| (key, Value::Str(value)))
        .collect()
}
