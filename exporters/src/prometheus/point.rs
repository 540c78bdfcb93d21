//! Data points of all kinds, as samples.

use throughline_otlp::view::{
    AnyValue, Attributes, Exemplar as ExemplarView, ExponentialHistogramDataPoint, HistogramDataPoint,
    Number, NumberDataPoint, SummaryDataPoint,
};

use super::fold::Refusal;
use super::names::{self, Strategy};
use super::registry::{self, Exemplar, Sample};

/// What all kinds of points have.
pub(super) struct Point<'a> {
    pub(super) attributes: Attributes<'a>,
    pub(super) flags: u32,
    pub(super) time: u64,
    pub(super) value: Result<Sample, Refusal>,
    pub(super) exemplars: Vec<Exemplar>,
}

impl<'a> Point<'a> {
    pub(super) fn gauge(point: NumberDataPoint<'a>) -> Self {
        Self {
            attributes: point.attributes(),
            flags: point.flags(),
            time: point.time_unix_nano(),
            value: point.value().map(float).map(Sample::Number).ok_or(Refusal::Empty),
            // No format has a place for those of a gauge.
            exemplars: Vec::new(),
        }
    }

    pub(super) fn sum(point: NumberDataPoint<'a>, strategy: Strategy) -> Self {
        Self { exemplars: exemplars(point.exemplars(), strategy), ..Self::gauge(point) }
    }

    /// One that says only since when.
    pub(super) fn age(point: NumberDataPoint<'a>) -> Self {
        let since = point.start_time_unix_nano();
        Self { value: Ok(Sample::Since(since)), ..Self::gauge(point) }
    }

    pub(super) fn histogram(point: HistogramDataPoint<'a>, strategy: Strategy) -> Self {
        Self {
            attributes: point.attributes(),
            flags: point.flags(),
            time: point.time_unix_nano(),
            value: explicit(point).ok_or(Refusal::Inconsistent),
            exemplars: exemplars(point.exemplars(), strategy),
        }
    }

    pub(super) fn exponential(point: ExponentialHistogramDataPoint<'a>, strategy: Strategy) -> Self {
        Self {
            attributes: point.attributes(),
            flags: point.flags(),
            time: point.time_unix_nano(),
            value: Ok(exponential(point)),
            exemplars: exemplars(point.exemplars(), strategy),
        }
    }

    pub(super) fn summary(point: SummaryDataPoint<'a>) -> Self {
        let quantiles = point.quantile_values().map(|q| (q.quantile(), q.value())).collect();
        Self {
            attributes: point.attributes(),
            flags: point.flags(),
            time: point.time_unix_nano(),
            value: Ok(Sample::Summary { quantiles, sum: point.sum(), count: point.count() }),
            exemplars: Vec::new(),
        }
    }
}

/// Attributes, as names and values of labels.
pub(super) fn pairs(
    attributes: Attributes<'_>,
    strategy: Strategy,
) -> impl Iterator<Item = (String, String)> {
    attributes.iter().map(move |(key, value)| (names::label(key, strategy), text(value)))
}

/// An attribute's value, as a label's.
pub(super) fn text(value: AnyValue<'_>) -> String {
    match value {
        AnyValue::Str(text) => text.to_owned(),
        AnyValue::Bool(flag) => flag.to_string(),
        AnyValue::Int(number) => number.to_string(),
        AnyValue::Double(number) => number.to_string(),
        AnyValue::Empty => String::new(),
        AnyValue::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        AnyValue::Array(array) => format!("[{}]", array.iter().map(text).collect::<Vec<_>>().join(",")),
        AnyValue::Map(map) => {
            let pairs = map.iter().map(|(key, value)| format!("{key}:{}", text(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
        }
    }
}

fn float(number: Number) -> f64 {
    match number {
        Number::Double(value) => value,
        Number::Int(value) => value as f64,
    }
}

fn exemplars<'a>(views: impl Iterator<Item = ExemplarView<'a>>, strategy: Strategy) -> Vec<Exemplar> {
    views.map(|view| exemplar(view, strategy)).collect()
}

fn exemplar(view: ExemplarView<'_>, strategy: Strategy) -> Exemplar {
    let ids = [("trace_id", view.trace_id()), ("span_id", view.span_id())];
    let ids = ids
        .into_iter()
        .filter(|(_, id)| !id.is_empty())
        .map(|(key, id)| (key.to_owned(), id.iter().map(|byte| format!("{byte:02x}")).collect::<String>()));
    let labels = registry::exemplar_labels(ids.chain(pairs(view.filtered_attributes(), strategy)));
    Exemplar { labels, value: view.value().map_or(0.0, float), time: view.time_unix_nano() }
}

fn explicit(point: HistogramDataPoint<'_>) -> Option<Sample> {
    let bounds: Vec<f64> = point.explicit_bounds().collect();
    let counts: Vec<u64> = point.bucket_counts().collect();
    let (sum, count) = (point.sum(), point.count());
    if counts.is_empty() {
        return Some(Sample::Histogram { buckets: vec![(f64::INFINITY, count)], sum, count });
    }
    if counts.len() != bounds.len() + 1 || !bounds.is_sorted() {
        return None;
    }
    let uppers = bounds.into_iter().chain([f64::INFINITY]);
    Some(Sample::Histogram { buckets: cumulative(uppers.zip(counts)), sum, count })
}

/// Exponential buckets as explicit ones: bucket `i` reaches up to `2^((i + 1) * 2^-scale)`.
fn exponential(point: ExponentialHistogramDataPoint<'_>) -> Sample {
    let step = (-f64::from(point.scale())).exp2();
    let bound = |index: i64| (index as f64 * step).exp2();
    let (positive, negative) = (point.positive().unwrap_or_default(), point.negative().unwrap_or_default());
    let below = i64::from(negative.offset());
    let mut buckets: Vec<(f64, u64)> =
        negative.bucket_counts().enumerate().map(|(i, count)| (-bound(below + i as i64), count)).collect();
    buckets.reverse();
    buckets.push((point.zero_threshold(), point.zero_count()));
    let above = i64::from(positive.offset());
    buckets
        .extend(positive.bucket_counts().enumerate().map(|(i, count)| (bound(above + i as i64 + 1), count)));
    buckets.retain(|(bound, _)| bound.is_finite());
    buckets.push((f64::INFINITY, 0));
    Sample::Histogram { buckets: cumulative(buckets.into_iter()), sum: point.sum(), count: point.count() }
}

fn cumulative(buckets: impl Iterator<Item = (f64, u64)>) -> Vec<(f64, u64)> {
    let mut total = 0_u64;
    buckets
        .map(|(bound, count)| {
            total = total.saturating_add(count);
            (bound, total)
        })
        .collect()
}
