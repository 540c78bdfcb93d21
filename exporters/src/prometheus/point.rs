//! Data points of all kinds, as samples.

use std::collections::BTreeMap;

use throughline_otlp::view::{
    Attributes, Exemplar as ExemplarView, ExponentialHistogramDataPoint, HistogramDataPoint, Number,
    NumberDataPoint, SummaryDataPoint,
};

use super::limits::{self, Limits};
use super::names::{self, Strategy};
use super::series::{self, Exemplar, Sample};
use super::tally::Refusal;

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

    /// One of a monotonic sum; the page has room for its last exemplar.
    pub(super) fn counter(point: NumberDataPoint<'a>, strategy: Strategy) -> Self {
        let value = match point.value().map(float) {
            None => Err(Refusal::Empty),
            Some(value) if value >= 0.0 => Ok(Sample::Number(value)),
            Some(_) => Err(Refusal::Inconsistent),
        };
        let exemplars = point.exemplars().last().map(|last| exemplar(last, strategy));
        Self { value, exemplars: exemplars.into_iter().collect(), ..Self::gauge(point) }
    }

    /// One that says only since when.
    pub(super) fn age(point: NumberDataPoint<'a>) -> Self {
        let since = point.start_time_unix_nano();
        Self { value: Ok(Sample::Since(since)), ..Self::gauge(point) }
    }

    pub(super) fn histogram(point: HistogramDataPoint<'a>, strategy: Strategy, limits: &Limits) -> Self {
        let value = explicit(point, limits.buckets());
        Self {
            attributes: point.attributes(),
            flags: point.flags(),
            time: point.time_unix_nano(),
            exemplars: newest(point.exemplars(), value.as_ref().ok(), strategy),
            value,
        }
    }

    pub(super) fn exponential(
        point: ExponentialHistogramDataPoint<'a>,
        strategy: Strategy,
        limits: &Limits,
    ) -> Self {
        let value = exponential(point, limits.buckets());
        Self {
            attributes: point.attributes(),
            flags: point.flags(),
            time: point.time_unix_nano(),
            exemplars: newest(point.exemplars(), value.as_ref().ok(), strategy),
            value,
        }
    }

    pub(super) fn summary(point: SummaryDataPoint<'a>, limits: &Limits) -> Self {
        Self {
            attributes: point.attributes(),
            flags: point.flags(),
            time: point.time_unix_nano(),
            value: summary(point, limits.buckets()),
            exemplars: Vec::new(),
        }
    }
}

fn float(number: Number) -> f64 {
    match number {
        Number::Double(value) => value,
        Number::Int(value) => value as f64,
    }
}

/// The newest exemplar of every bucket: the page has room for one.
fn newest<'a>(
    views: impl Iterator<Item = ExemplarView<'a>>,
    value: Option<&Sample>,
    strategy: Strategy,
) -> Vec<Exemplar> {
    let Some(Sample::Histogram { buckets, .. }) = value else { return Vec::new() };
    let mut newest: BTreeMap<usize, ExemplarView<'a>> = BTreeMap::new();
    for view in views {
        let Some(at) = series::bucket_of(buckets, view.value().map_or(0.0, float)) else { continue };
        let known = newest.entry(at).or_insert(view);
        if view.time_unix_nano() > known.time_unix_nano() {
            *known = view;
        }
    }
    newest.into_values().map(|view| exemplar(view, strategy)).collect()
}

fn exemplar(view: ExemplarView<'_>, strategy: Strategy) -> Exemplar {
    let ids = [("trace_id", view.trace_id()), ("span_id", view.span_id())];
    // What is longer than an exemplar's labels may be together is not even copied.
    let ids = ids
        .into_iter()
        .filter(|(_, id)| !id.is_empty() && id.len() <= series::EXEMPLAR_ROOM)
        .map(|(key, id)| (key.to_owned(), id.iter().map(|byte| format!("{byte:02x}")).collect::<String>()));
    let most = 4 * series::EXEMPLAR_ROOM;
    let attributes = view.filtered_attributes();
    let rest = attributes.iter().filter(|(key, _)| key.len() <= most);
    let rest =
        rest.filter_map(|(key, value)| Some((names::label(key, strategy), limits::text(value, most)?)));
    let labels = series::exemplar_labels(ids.chain(rest));
    Exemplar { labels, value: view.value().map_or(0.0, float), time: view.time_unix_nano() }
}

fn explicit(point: HistogramDataPoint<'_>, most: usize) -> Result<Sample, Refusal> {
    // One more than may be is enough to see that there are too many.
    let counts: Vec<u64> = point.bucket_counts().take(most + 1).collect();
    let bounds: Vec<f64> = point.explicit_bounds().take(most + 1).collect();
    if counts.len() > most || bounds.len() > most {
        return Err(Refusal::Buckets);
    }
    let (sum, count) = (point.sum(), point.count());
    if counts.is_empty() {
        return Ok(Sample::Histogram { buckets: vec![(f64::INFINITY, count)], sum, count });
    }
    if counts.len() != bounds.len() + 1 || !bounds.is_sorted() || bounds.iter().any(|bound| bound.is_nan()) {
        return Err(Refusal::Inconsistent);
    }
    let uppers = bounds.into_iter().chain([f64::INFINITY]);
    Ok(histogram(uppers.zip(counts).collect(), sum, count))
}

/// Exponential buckets as explicit ones: bucket `i` reaches up to `2^((i + 1) * 2^-scale)`.
fn exponential(point: ExponentialHistogramDataPoint<'_>, most: usize) -> Result<Sample, Refusal> {
    let step = (-f64::from(point.scale())).exp2();
    let bound = |index: i64| (index as f64 * step).exp2();
    let (positive, negative) = (point.positive().unwrap_or_default(), point.negative().unwrap_or_default());
    let below = i64::from(negative.offset());
    let negative = negative.bucket_counts().take(most + 1).enumerate();
    let mut buckets: Vec<(f64, u64)> = negative.map(|(i, count)| (-bound(below + i as i64), count)).collect();
    buckets.reverse();
    buckets.push((point.zero_threshold(), point.zero_count()));
    let above = i64::from(positive.offset());
    let positive = positive.bucket_counts().take(most + 1).enumerate();
    buckets.extend(positive.map(|(i, count)| (bound(above + i as i64 + 1), count)));
    // With the one of zero and that of infinity.
    if buckets.len() + 1 > most {
        return Err(Refusal::Buckets);
    }
    buckets.retain(|(bound, _)| bound.is_finite());
    buckets.push((f64::INFINITY, 0));
    Ok(histogram(buckets, point.sum(), point.count()))
}

fn summary(point: SummaryDataPoint<'_>, most: usize) -> Result<Sample, Refusal> {
    let quantiles = point.quantile_values().take(most + 1).map(|q| (q.quantile(), q.value()));
    let mut quantiles: Vec<(f64, f64)> = quantiles.collect();
    if quantiles.len() > most {
        return Err(Refusal::Buckets);
    }
    if !quantiles.iter().all(|(quantile, _)| (0.0..=1.0).contains(quantile)) {
        return Err(Refusal::Inconsistent);
    }
    quantiles.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    quantiles.dedup_by(|(next, _), (first, _)| next == first);
    quantiles.shrink_to_fit();
    Ok(Sample::Summary { quantiles, sum: point.sum(), count: point.count() })
}

/// A histogram of buckets by upper bound, none of which is NaN: cumulative, no bound twice, and the last with all there are.
fn histogram(mut buckets: Vec<(f64, u64)>, sum: Option<f64>, count: u64) -> Sample {
    buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let mut total = 0_u64;
    for (_, count) in &mut buckets {
        total = total.saturating_add(*count);
        *count = total;
    }
    buckets.dedup_by(|(next, below), (bound, cumulative)| {
        let same = next == bound;
        if same {
            *cumulative = *below;
        }
        same
    });
    // Of a source whose count differs, the page shows one number.
    let count = count.max(total);
    if let Some((_, all)) = buckets.last_mut() {
        *all = count;
    }
    buckets.shrink_to_fit();
    Sample::Histogram { buckets, sum, count }
}
