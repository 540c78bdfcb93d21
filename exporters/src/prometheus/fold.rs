//! Folding a request into the registry.

use throughline_otlp::Signal;
use throughline_otlp::view::{AnyValue, Data, Metric, Record, Request, Resource, Scope, View};

use super::Page;
use super::names::{self, Strategy};
use super::point::{self, Point};
use super::registry::{self, Kind, Labels, Refused, Registry, Sample, Series};

/// Why points were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Delta points must be added up first, which is not done yet.
    Delta,
    /// A metric of the same name has another type.
    Type,
    /// There are as many series as there may be.
    Series,
    /// The metric has no name or no data, or a point has no value.
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
            Self::Empty => "prometheus: a metric without a name or data, or a point without a value",
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
    let (strategy, mut last_resource) = (page.strategy(), None);
    for (group, scope_group, record) in Request::new(Signal::Metrics, request).records() {
        let Record::Metric(metric) = record else { continue };
        let (resource, scope) = (group.resource(), scope_group.scope());
        let mut fold = Fold { registry, page, strategy, max_series, now, refusals };
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
    strategy: Strategy,
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
        let Some(data) = metric.data().filter(|_| !metric.name().is_empty()) else {
            return self.refuse(Refusal::Empty, 1);
        };
        if let Some(points) = delta_points(data) {
            return self.refuse(Refusal::Delta, points);
        }
        let base = self.base(resource, scope);
        let monotonic = matches!(data, Data::Sum(sum) if sum.is_monotonic());
        let name = if scope.name().starts_with(EXACT) {
            metric.name().to_owned()
        } else {
            names::metric(metric.name(), metric.unit(), monotonic, &self.page.namespace, self.strategy)
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
        let strategy = self.strategy;
        match data {
            Data::Gauge(gauge) if is_age => {
                gauge.data_points().for_each(|point| self.put(&head, &base, Point::age(point)));
            }
            Data::Gauge(gauge) => {
                gauge.data_points().for_each(|point| self.put(&head, &base, Point::gauge(point)));
            }
            Data::Sum(sum) => {
                sum.data_points().for_each(|point| self.put(&head, &base, Point::sum(point, strategy)));
            }
            Data::Histogram(histogram) => histogram
                .data_points()
                .for_each(|point| self.put(&head, &base, Point::histogram(point, strategy))),
            Data::ExponentialHistogram(histogram) => histogram
                .data_points()
                .for_each(|point| self.put(&head, &base, Point::exponential(point, strategy))),
            Data::Summary(summary) => {
                summary.data_points().for_each(|point| self.put(&head, &base, Point::summary(point)));
            }
        }
    }

    fn put(&mut self, head: &Head<'_>, base: &Labels, point: Point<'_>) {
        let Point { attributes, flags, time, value, exemplars } = point;
        let pairs = base.iter().cloned().chain(point::pairs(attributes, self.strategy));
        let labels = registry::labels(pairs, head.kind.own_label());
        if flags & NO_VALUE != 0 {
            return self.registry.remove(&head.name, &labels);
        }
        let value = match value {
            Ok(value) => value,
            Err(refusal) => return self.refuse(refusal, 1),
        };
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
        let constant = self.page.const_labels.iter();
        base.extend(constant.map(|(key, value)| (names::label(key, self.strategy), value.clone())));
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
        let rest: Vec<_> =
            rest.map(|(key, value)| (names::label(key, self.strategy), point::text(value))).collect();
        if identity.is_empty() || rest.is_empty() {
            return;
        }
        let labels = registry::labels(identity.into_iter().chain(rest), None);
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

/// How many points are deltas: all of a metric's, or none.
fn delta_points(data: Data<'_>) -> Option<u64> {
    let (temporality, points) = match data {
        Data::Sum(sum) => (sum.aggregation_temporality(), sum.data_points().count()),
        Data::Histogram(data) => (data.aggregation_temporality(), data.data_points().count()),
        Data::ExponentialHistogram(data) => (data.aggregation_temporality(), data.data_points().count()),
        Data::Gauge(_) | Data::Summary(_) => return None,
    };
    (temporality == DELTA).then_some(points as u64)
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
