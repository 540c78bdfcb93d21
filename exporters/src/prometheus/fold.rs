//! Folding a request into the registry.

use std::collections::BTreeMap;

use throughline_otlp::Signal;
use throughline_otlp::view::{
    AnyValue, Attributes, Data, Exemplar as ExemplarView, ExponentialHistogramDataPoint, HistogramDataPoint,
    Metric, Number, Record, Request, Resource, Scope, View,
};

use super::registry::{Exemplar, Kind, Labels, Refused, Registry, Sample, Series};
use super::{Page, names};

/// Why points were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Delta points must be added up first, which is not done yet.
    Delta,
    /// A metric of the same name has another type.
    Type,
    /// There are as many series as there may be.
    Series,
    /// The metric has no data, or a point has no value.
    Empty,
    /// A histogram whose counts do not fit its bounds.
    Inconsistent,
}

impl Refusal {
    pub(super) const ALL: [Self; 5] =
        [Self::Delta, Self::Type, Self::Series, Self::Empty, Self::Inconsistent];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Delta => "delta",
            Self::Type => "type_conflict",
            Self::Series => "max_series",
            Self::Empty => "empty",
            Self::Inconsistent => "inconsistent",
        }
    }

    pub(super) fn explain(self) -> &'static str {
        match self {
            Self::Delta => "prometheus: delta points are not accumulated yet; send cumulative ones",
            Self::Type => "prometheus: another metric of the same name has another type",
            Self::Series => "prometheus: max_series is reached",
            Self::Empty => "prometheus: a metric without data or a point without a value",
            Self::Inconsistent => "prometheus: a histogram whose bucket counts do not fit its bounds",
        }
    }
}

/// Metrics of these scopes keep their exact names (TRP-06).
const EXACT: &str = "throughline.";
/// A gauge with this metadata shows how long ago its points began, to the moment of the scrape.
const AGE: &str = "throughline.age";
const NO_VALUE: u32 = 1;
const DELTA: i32 = 1;

/// Folds a tidy metrics request into the registry. What is refused is added to `refusals` by reason.
pub(super) fn fold(
    request: &[u8],
    registry: &mut Registry,
    page: &Page,
    max_series: usize,
    now: i64,
    refusals: &mut Vec<(Refusal, u64)>,
) {
    let mut last_resource = None;
    for (group, scope_group, record) in Request::new(Signal::Metrics, request).records() {
        let Record::Metric(metric) = record else { continue };
        let (resource, scope) = (group.resource(), scope_group.scope());
        let mut fold = Fold { registry, page, max_series, now, refusals };
        let at = resource.bytes().as_ptr();
        if last_resource != Some(at) {
            last_resource = Some(at);
            fold.target_info(resource);
        }
        fold.metric(resource, scope, metric);
    }
}

struct Fold<'a> {
    registry: &'a mut Registry,
    page: &'a Page,
    max_series: usize,
    now: i64,
    refusals: &'a mut Vec<(Refusal, u64)>,
}

/// A family's name, type and help.
struct Head<'m> {
    name: String,
    kind: Kind,
    help: &'m str,
}

impl Fold<'_> {
    fn metric(&mut self, resource: Resource<'_>, scope: Scope<'_>, metric: Metric<'_>) {
        let Some(data) = metric.data() else { return self.refuse(Refusal::Empty, 1) };
        let base = self.base(resource, scope);
        let monotonic = matches!(data, Data::Sum(sum) if sum.is_monotonic());
        let name = if scope.name().starts_with(EXACT) {
            metric.name().to_owned()
        } else {
            names::metric(metric.name(), metric.unit(), monotonic, &self.page.namespace, self.page.strategy())
        };
        let is_age = metric.metadata().get(AGE).is_some();
        let kind = match data {
            Data::Gauge(_) if is_age => Kind::Age,
            Data::Gauge(_) => Kind::Gauge,
            Data::Sum(_) if monotonic => Kind::Counter,
            Data::Sum(_) => Kind::Gauge,
            Data::Histogram(_) | Data::ExponentialHistogram(_) => Kind::Histogram,
            Data::Summary(_) => Kind::Summary,
        };
        let head = Head { name, kind, help: metric.description() };
        match data {
            Data::Gauge(gauge) => {
                for point in gauge.data_points() {
                    let value = if is_age {
                        Some(Sample::Since(point.start_time_unix_nano()))
                    } else {
                        point.value().map(float).map(Sample::Number)
                    };
                    self.put(
                        &head,
                        &base,
                        point.attributes(),
                        point.flags(),
                        point.time_unix_nano(),
                        value,
                        Vec::new(),
                    );
                }
            }
            Data::Sum(sum) if sum.aggregation_temporality() == DELTA => {
                self.refuse(Refusal::Delta, sum.data_points().count() as u64);
            }
            Data::Sum(sum) => {
                for point in sum.data_points() {
                    let value = point.value().map(float).map(Sample::Number);
                    let exemplars = point.exemplars().map(exemplar).collect();
                    self.put(
                        &head,
                        &base,
                        point.attributes(),
                        point.flags(),
                        point.time_unix_nano(),
                        value,
                        exemplars,
                    );
                }
            }
            Data::Histogram(histogram) if histogram.aggregation_temporality() == DELTA => {
                self.refuse(Refusal::Delta, histogram.data_points().count() as u64);
            }
            Data::Histogram(histogram) => {
                for point in histogram.data_points() {
                    let Some(value) = explicit(point) else {
                        self.refuse(Refusal::Inconsistent, 1);
                        continue;
                    };
                    let exemplars = point.exemplars().map(exemplar).collect();
                    let (flags, time) = (point.flags(), point.time_unix_nano());
                    self.put(&head, &base, point.attributes(), flags, time, Some(value), exemplars);
                }
            }
            Data::ExponentialHistogram(histogram) if histogram.aggregation_temporality() == DELTA => {
                self.refuse(Refusal::Delta, histogram.data_points().count() as u64);
            }
            Data::ExponentialHistogram(histogram) => {
                for point in histogram.data_points() {
                    let exemplars = point.exemplars().map(exemplar).collect();
                    let (flags, time) = (point.flags(), point.time_unix_nano());
                    self.put(
                        &head,
                        &base,
                        point.attributes(),
                        flags,
                        time,
                        Some(exponential(point)),
                        exemplars,
                    );
                }
            }
            Data::Summary(summary) => {
                for point in summary.data_points() {
                    let quantiles = point.quantile_values().map(|q| (q.quantile(), q.value())).collect();
                    let value = Sample::Summary { quantiles, sum: point.sum(), count: point.count() };
                    let (flags, time) = (point.flags(), point.time_unix_nano());
                    self.put(&head, &base, point.attributes(), flags, time, Some(value), Vec::new());
                }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one value each of a point")]
    fn put(
        &mut self,
        head: &Head<'_>,
        base: &Labels,
        attributes: Attributes<'_>,
        flags: u32,
        time: u64,
        value: Option<Sample>,
        exemplars: Vec<Exemplar>,
    ) {
        let labels = labels(base.iter().cloned(), attributes);
        if flags & NO_VALUE != 0 {
            return self.registry.remove(&head.name, &labels);
        }
        let Some(value) = value else { return self.refuse(Refusal::Empty, 1) };
        let series = Series { value, time, exemplars, updated: self.now };
        match self.registry.put(&head.name, head.kind, head.help, labels, series, self.max_series) {
            Ok(()) => {}
            Err(Refused::Type) => self.refuse(Refusal::Type, 1),
            Err(Refused::Full) => self.refuse(Refusal::Series, 1),
        }
    }

    /// The labels that every point of a metric has.
    fn base(&self, resource: Resource<'_>, scope: Scope<'_>) -> Labels {
        let mut base = identity(resource);
        base.extend(self.page.const_labels.iter().map(|(key, value)| (names::label(key), value.clone())));
        if !self.page.without_scope_info && !scope.name().is_empty() {
            base.push(("otel_scope_name".into(), scope.name().to_owned()));
            base.push(("otel_scope_version".into(), scope.version().to_owned()));
        }
        base
    }

    /// The rest of a resource's attributes, as labels of a series of its own.
    fn target_info(&mut self, resource: Resource<'_>) {
        let identity = identity(resource);
        let own = ["service.name", "service.namespace", "service.instance.id"];
        let rest = resource.attributes().iter().filter(|(key, _)| !own.contains(key));
        let rest: Vec<_> = rest.map(|(key, value)| (names::label(key), text(value))).collect();
        if identity.is_empty() || rest.is_empty() {
            return;
        }
        let labels = labels(identity.into_iter().chain(rest), Attributes::default());
        let series = Series { value: Sample::Number(1.0), time: 0, exemplars: Vec::new(), updated: self.now };
        // A page that is full is said of the points; this series is only their description.
        let _ =
            self.registry.put("target_info", Kind::Info, "Target metadata", labels, series, self.max_series);
    }

    fn refuse(&mut self, refusal: Refusal, points: u64) {
        match self.refusals.iter_mut().find(|(known, _)| *known == refusal) {
            Some((_, count)) => *count += points,
            None => self.refusals.push((refusal, points)),
        }
    }
}

/// `job` and `instance` of a resource.
fn identity(resource: Resource<'_>) -> Labels {
    let (mut name, mut namespace, mut instance) = ("", "", "");
    for (key, value) in resource.attributes().iter() {
        match (key, value) {
            ("service.name", AnyValue::Str(text)) => name = text,
            ("service.namespace", AnyValue::Str(text)) => namespace = text,
            ("service.instance.id", AnyValue::Str(text)) => instance = text,
            _ => {}
        }
    }
    let job = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") };
    let labels = [("job", job), ("instance", instance.to_owned())];
    labels
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

/// Sorted labels. Keys that become the same name have their values joined, as the specification asks.
fn labels(base: impl Iterator<Item = (String, String)>, attributes: Attributes<'_>) -> Labels {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let own = attributes.iter().map(|(key, value)| (names::label(key), text(value)));
    for (key, value) in base.chain(own) {
        all.entry(key).or_default().push(value);
    }
    all.into_iter()
        .map(|(key, values)| (key, values.join(";")))
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

fn text(value: AnyValue<'_>) -> String {
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

/// OpenMetrics allows an exemplar's labels 128 characters together: what does not fit is left out.
const EXEMPLAR_ROOM: usize = 128;

fn exemplar(view: ExemplarView<'_>) -> Exemplar {
    let ids = [("trace_id", view.trace_id()), ("span_id", view.span_id())];
    let ids = ids
        .into_iter()
        .filter(|(_, id)| !id.is_empty())
        .map(|(key, id)| (key.to_owned(), id.iter().map(|byte| format!("{byte:02x}")).collect::<String>()));
    let own = view.filtered_attributes().iter().map(|(key, value)| (names::label(key), text(value)));
    let mut room = EXEMPLAR_ROOM;
    let mut labels = Labels::new();
    for (key, value) in ids.chain(own) {
        let size = key.chars().count() + value.chars().count();
        if size <= room && labels.iter().all(|(known, _)| *known != key) {
            room -= size;
            labels.push((key, value));
        }
    }
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
