//! The same as an OTLP request.

use bytes::Bytes;
use throughline_otlp::Value;
use throughline_otlp::build::{self, Attribute, HistogramPoint, NumberPoint, Temporality};
use throughline_otlp::view::Number as Wire;

use super::families::{Families, Family, Kind, Number, pairs, unit};
use super::help::help;
use super::resource::Resource;

/// From when, and as of when, in nanoseconds since 1970.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) start: u64,
    pub(super) now: u64,
}

/// A request with all families, and how many points it has.
pub(super) fn request(families: &Families, resource: &Resource, span: Span) -> (Bytes, u32) {
    let attributes: Vec<Attribute<'_>> =
        resource.attributes().map(|(name, value)| (name, Value::Str(value))).collect();
    let mut points = 0;
    let bytes = build::metrics(|request| {
        request.resource(&attributes, |resource| {
            resource.scope("throughline", env!("CARGO_PKG_VERSION"), |scope| {
                for (name, family) in families.iter() {
                    points += u32::try_from(family.samples.len()).unwrap_or(u32::MAX);
                    let metric =
                        scope.metric(name).description(help(name).unwrap_or_default()).unit(unit(name));
                    write(metric, family, span);
                }
            });
        });
    });
    (bytes, points)
}

fn write(metric: build::MetricBuilder<'_>, family: &Family, Span { start, now }: Span) {
    let labels: Vec<_> = family.samples.iter().map(|sample| pairs(&sample.labels)).collect();
    let attributes: Vec<Vec<Attribute<'_>>> = labels
        .iter()
        .map(|pairs| pairs.iter().map(|(name, value)| (name.as_str(), Value::Str(value))).collect())
        .collect();
    let (mut numbers, mut histograms) = (Vec::new(), Vec::new());
    // What a bucket has by itself; the page has them added up.
    let counts: Vec<(Vec<f64>, Vec<u64>)> =
        family.samples.iter().map(|sample| apart(&sample.value)).collect();
    for ((sample, attributes), (bounds, counts)) in family.samples.iter().zip(&attributes).zip(&counts) {
        match sample.value {
            Number::One(value) => numbers.push(NumberPoint {
                start_time_unix_nano: if family.kind == Kind::Gauge { 0 } else { start },
                time_unix_nano: now,
                value: Wire::Double(value),
                attributes,
                ..NumberPoint::default()
            }),
            Number::Distribution { sum, .. } => histograms.push(HistogramPoint {
                start_time_unix_nano: start,
                time_unix_nano: now,
                sum: Some(sum as f64),
                bucket_counts: counts,
                explicit_bounds: bounds,
                attributes,
                ..HistogramPoint::default()
            }),
        }
    }
    match family.kind {
        Kind::Counter => metric.sum(Temporality::Cumulative, true, &numbers),
        Kind::Gauge => metric.gauge(&numbers),
        Kind::Histogram => metric.histogram(Temporality::Cumulative, &histograms),
    }
}

fn apart(value: &Number) -> (Vec<f64>, Vec<u64>) {
    let Number::Distribution { buckets, count, .. } = value else { return Default::default() };
    let bounds = buckets.iter().map(|(bound, _)| *bound as f64).collect();
    let mut below = 0;
    let each = buckets.iter().map(|(_, up_to)| *up_to).chain([*count]).map(|up_to| {
        let own = up_to.saturating_sub(below);
        below = up_to;
        own
    });
    (bounds, each.collect())
}
