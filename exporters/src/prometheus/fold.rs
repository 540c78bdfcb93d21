//! Folding a request into the registry.

use throughline_otlp::Signal;
use throughline_otlp::view::{AnyValue, Attributes, Data, Metric, Request, Resource, Scope};

use super::Page;
use super::limits::{Limits, clean};
use super::names::{self, Strategy};
use super::point::Point;
use super::registry::{Head, Refused, Registry, RegistryLimits};
use super::series::{self, Kind, Labels, Sample, Series};
use super::tally::{Refusal, Tally};

/// Metrics of these scopes keep their exact names (TRP-06), where these are names for Prometheus: those with dots are not.
const EXACT: &str = "throughline.";
/// A gauge with this metadata shows how long ago its points began, to the moment of the scrape.
const AGE: &str = "throughline.age";
const NO_VALUE: u32 = 1;
const DELTA: i32 = 1;

/// Folds a canonical metrics request into the registry. What is refused is added to `tally`.
pub(super) fn fold(
    request: &[u8],
    registry: &mut Registry,
    page: &Page,
    limits: &Limits,
    now: i64,
    tally: &mut Tally,
) {
    let (strategy, room) = (page.strategy(), limits.room());
    let mut fold = Fold { registry, page, strategy, limits, room, now, tally };
    for group in Request::new(Signal::Metrics, request).resources() {
        let resource = group.resource();
        // Resource and scope are looked at once, however many metrics they have.
        let mut identity = None;
        for scope_group in group.scopes() {
            let mut around = None;
            for metric in scope_group.metrics() {
                let identity = identity.get_or_insert_with(|| {
                    let identity = fold.identity(resource);
                    fold.target_info(identity.as_ref().ok(), resource);
                    identity
                });
                let around =
                    around.get_or_insert_with(|| fold.around(identity, resource, scope_group.scope()));
                fold.metric(around, metric);
            }
        }
    }
}

struct Fold<'a> {
    registry: &'a mut Registry,
    page: &'a Page,
    strategy: Strategy,
    limits: &'a Limits,
    room: RegistryLimits,
    now: i64,
    tally: &'a mut Tally,
}

/// What all metrics of a scope have in common.
struct ScopeContext {
    /// The labels of every point, unless they are beyond the limits.
    base: Result<Labels, Refusal>,
    /// Names stay as they are.
    exact: bool,
}

impl Fold<'_> {
    fn metric(&mut self, around: &ScopeContext, metric: Metric<'_>) {
        let Some(data) = metric.data().filter(|_| !metric.name().is_empty()) else {
            return self.tally.refuse(Refusal::Empty, 1);
        };
        if let Some(points) = delta_points(data) {
            return self.tally.refuse(Refusal::Delta, points);
        }
        let base = around.base.as_ref().map_err(|refusal| *refusal);
        let (head, base) = match self.head(around, metric, data).and_then(|head| Ok((head, base?))) {
            Ok(both) => both,
            Err(refusal) => return self.tally.refuse(refusal, points(data)),
        };
        let (strategy, limits) = (self.strategy, self.limits);
        let mut put = |point| self.put(&head, base, point);
        match data {
            Data::Gauge(gauge) if head.kind == Kind::Age => {
                gauge.data_points().for_each(|point| put(Point::age(point)));
            }
            Data::Gauge(gauge) => gauge.data_points().for_each(|point| put(Point::gauge(point))),
            Data::Sum(sum) if head.kind == Kind::Counter => {
                sum.data_points().for_each(|point| put(Point::counter(point, strategy)));
            }
            Data::Sum(sum) => sum.data_points().for_each(|point| put(Point::gauge(point))),
            Data::Histogram(histogram) => {
                histogram.data_points().for_each(|point| put(Point::histogram(point, strategy, limits)));
            }
            Data::ExponentialHistogram(histogram) => {
                histogram.data_points().for_each(|point| put(Point::exponential(point, strategy, limits)));
            }
            Data::Summary(summary) => {
                summary.data_points().for_each(|point| put(Point::summary(point, limits)));
            }
        }
    }

    fn head(&self, around: &ScopeContext, metric: Metric<'_>, data: Data<'_>) -> Result<Head, Refusal> {
        if !self.limits.takes_name(metric.name()) || !self.limits.takes_name(metric.unit()) {
            return Err(Refusal::Name);
        }
        let monotonic = matches!(data, Data::Sum(sum) if sum.is_monotonic());
        let name = if around.exact && !metric.name().contains('.') {
            metric.name().to_owned()
        } else {
            names::metric(metric.name(), metric.unit(), monotonic, &self.page.namespace, self.strategy)
        };
        let name = clean(&name).into_owned();
        if !self.limits.takes_name(&name) {
            return Err(Refusal::Name);
        }
        let kind = match data {
            Data::Gauge(_) if metric.metadata().get(AGE).is_some() => Kind::Age,
            Data::Gauge(_) => Kind::Gauge,
            Data::Sum(_) if monotonic => Kind::Counter,
            Data::Sum(_) => Kind::Gauge,
            Data::Histogram(_) | Data::ExponentialHistogram(_) => Kind::Histogram,
            Data::Summary(_) => Kind::Summary,
        };
        Ok(Head { name, kind, help: self.limits.help(metric.description()) })
    }

    fn put(&mut self, head: &Head, base: &Labels, point: Point<'_>) {
        let Point { attributes, flags, time, value, exemplars } = point;
        let labels = match self.labels(base, attributes, head.kind.own_label()) {
            Ok(labels) => labels,
            Err(refusal) => return self.tally.refuse(refusal, 1),
        };
        if flags & NO_VALUE != 0 {
            return self.registry.remove(&head.name, &labels);
        }
        let value = match value {
            Ok(value) => value,
            Err(refusal) => return self.tally.refuse(refusal, 1),
        };
        let series = Series { value, time, exemplars, updated: self.now };
        let refusal = match self.registry.put(head, labels, series, &self.room) {
            Ok(()) => return,
            Err(Refused::Type) => Refusal::Type,
            Err(Refused::Full) => Refusal::Series,
            Err(Refused::Bytes) => Refusal::Bytes,
            Err(Refused::Page) => Refusal::PageBytes,
        };
        self.tally.refuse(refusal, 1);
    }

    /// The labels of a point.
    fn labels(
        &self,
        base: &Labels,
        attributes: Attributes<'_>,
        own: Option<&str>,
    ) -> Result<Labels, Refusal> {
        let (mut pairs, converts) = (base.clone(), self.page.converts_any());
        for (key, value) in attributes.iter() {
            if pairs.len() >= self.limits.labels() {
                return Err(Refusal::Labels);
            }
            let pair = self.pair(key, value)?;
            // What a point says of itself goes before what its resource says.
            let of_resource =
                pairs.iter_mut().take(base.len()).filter(|_| converts).find(|known| known.0 == pair.0);
            match of_resource {
                Some(known) => *known = pair,
                None => pairs.push(pair),
            }
        }
        let labels = series::labels(pairs.into_iter(), own);
        self.check(&labels)?;
        Ok(labels)
    }

    fn pair(&self, key: &str, value: AnyValue<'_>) -> Result<(String, String), Refusal> {
        let name = Some(key).filter(|key| self.limits.takes_name(key)).ok_or(Refusal::Name)?;
        let value = self.limits.value(value).ok_or(Refusal::Value)?;
        Ok((names::label(name, self.strategy), value))
    }

    fn check(&self, labels: &Labels) -> Result<(), Refusal> {
        if labels.len() > self.limits.labels() {
            return Err(Refusal::Labels);
        }
        if !labels.iter().all(|(key, _)| self.limits.takes_name(key)) {
            return Err(Refusal::Name);
        }
        if !labels.iter().all(|(_, value)| self.limits.takes_value(value)) {
            return Err(Refusal::Value);
        }
        Ok(())
    }

    fn around(
        &self,
        identity: &Result<Labels, Refusal>,
        resource: Resource<'_>,
        scope: Scope<'_>,
    ) -> ScopeContext {
        let exact = scope.name().starts_with(EXACT);
        ScopeContext {
            base: identity.clone().and_then(|identity| self.base(identity, resource, scope)),
            exact,
        }
    }

    /// The labels that every point of a scope has.
    fn base(&self, mut base: Labels, resource: Resource<'_>, scope: Scope<'_>) -> Result<Labels, Refusal> {
        if self.page.converts_any() {
            let taken = resource.attributes().iter().filter(|(key, _)| self.page.converts(key));
            for (key, value) in taken {
                if base.len() >= self.limits.labels() {
                    return Err(Refusal::Labels);
                }
                base.push(self.pair(key, value)?);
            }
        }
        let constant = self.page.const_labels.iter();
        base.extend(
            constant.map(|(key, value)| (names::label(key, self.strategy), clean(value).into_owned())),
        );
        if !self.page.without_scope_info && !scope.name().is_empty() {
            for (key, value) in [("otel_scope_name", scope.name()), ("otel_scope_version", scope.version())] {
                let value = self.limits.value(AnyValue::Str(value)).ok_or(Refusal::Value)?;
                base.push((key.into(), value));
            }
        }
        self.check(&base)?;
        Ok(base)
    }

    /// The rest of a resource's attributes, as labels of a series of its own.
    fn target_info(&mut self, identity: Option<&Labels>, resource: Resource<'_>) {
        let own = ["service.name", "service.namespace", "service.instance.id"];
        let Some(identity) = identity.filter(|identity| !identity.is_empty()) else { return };
        let (mut pairs, mut cut) = (identity.clone(), false);
        let describes = |key: &str| !own.contains(&key) && self.page.describes(key);
        for (key, value) in resource.attributes().iter().filter(|(key, _)| describes(key)) {
            match self.pair(key, value) {
                Ok(pair) if pairs.len() < self.limits.labels() => pairs.push(pair),
                _ => cut = true,
            }
            if pairs.len() >= self.limits.labels() && cut {
                break;
            }
        }
        let described = pairs.len() > identity.len();
        let mut labels = series::labels(pairs.into_iter(), None);
        let before = labels.len();
        labels.retain(|(key, value)| self.limits.takes_name(key) && self.limits.takes_value(value));
        cut |= labels.len() < before;
        if described {
            let series =
                Series { value: Sample::Number(1.0), time: 0, exemplars: Vec::new(), updated: self.now };
            let head = Head { name: "target_info".into(), kind: Kind::Info, help: "Target metadata".into() };
            cut |= self.registry.put(&head, labels, series, &self.room).is_err();
        }
        self.tally.target_info += u64::from(cut);
    }

    /// `job` and `instance` of a resource.
    fn identity(&self, resource: Resource<'_>) -> Result<Labels, Refusal> {
        let (mut name, mut namespace, mut instance) = ("", "", "");
        for (key, value) in resource.attributes().iter() {
            match (key, value) {
                ("service.name", AnyValue::Str(text)) => name = text,
                ("service.namespace", AnyValue::Str(text)) => namespace = text,
                ("service.instance.id", AnyValue::Str(text)) => instance = text,
                _ => {}
            }
        }
        if ![name, namespace, instance].iter().all(|value| self.limits.takes_value(value)) {
            return Err(Refusal::Value);
        }
        let job = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") };
        let labels = [("job", job), ("instance", instance.to_owned())];
        let labels = labels.into_iter().filter(|(_, value)| !value.is_empty());
        let labels: Labels =
            labels.map(|(key, value)| (key.to_owned(), clean(&value).into_owned())).collect();
        self.check(&labels)?;
        Ok(labels)
    }
}

/// How many points are deltas: all of a metric's, or none.
fn delta_points(data: Data<'_>) -> Option<u64> {
    let temporality = match data {
        Data::Sum(sum) => sum.aggregation_temporality(),
        Data::Histogram(histogram) => histogram.aggregation_temporality(),
        Data::ExponentialHistogram(histogram) => histogram.aggregation_temporality(),
        Data::Gauge(_) | Data::Summary(_) => return None,
    };
    (temporality == DELTA).then(|| points(data))
}

/// How many points a metric has.
fn points(data: Data<'_>) -> u64 {
    let points = match data {
        Data::Gauge(data) => data.data_points().count(),
        Data::Sum(data) => data.data_points().count(),
        Data::Histogram(data) => data.data_points().count(),
        Data::ExponentialHistogram(data) => data.data_points().count(),
        Data::Summary(data) => data.data_points().count(),
    };
    points as u64
}

#[cfg(test)]
mod tests;
