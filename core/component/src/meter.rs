//! What components themselves have to count and measure.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::ComponentId;

/// A counter. Cheap to clone; to be had once, when a component is built, and bumped once a chunk.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Counts `items` more.
    pub fn add(&self, items: u64) {
        if items > 0 {
            self.0.fetch_add(items, Ordering::Relaxed);
        }
    }

    /// The count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A distribution over fixed buckets. Cheap to clone; to be had once, when a component is built.
#[derive(Clone, Debug, Default)]
pub struct Histogram(Arc<Distribution>);

#[derive(Debug, Default)]
struct Distribution {
    /// The upper bounds, ascending; what is above them all has a bucket of its own.
    bounds: Vec<u64>,
    buckets: Vec<AtomicU64>,
    sum: AtomicU64,
}

impl Histogram {
    fn over(bounds: &[u64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Distribution { bounds: bounds.to_vec(), buckets, sum: AtomicU64::new(0) }))
    }

    /// Takes down one value. It belongs to the first bucket whose bound is not less.
    pub fn record(&self, value: u64) {
        let Distribution { bounds, buckets, sum } = &*self.0;
        if let Some(bucket) = buckets.get(bounds.partition_point(|bound| *bound < value)) {
            bucket.fetch_add(1, Ordering::Relaxed);
            sum.fetch_add(value, Ordering::Relaxed);
        }
    }

    fn read(&self) -> Value {
        let mut count = 0;
        let cumulative = self.0.buckets.iter().map(|bucket| {
            count += bucket.load(Ordering::Relaxed);
            count
        });
        let counts: Vec<u64> = cumulative.collect();
        let buckets = self.0.bounds.iter().copied().zip(counts).collect();
        Value::Distribution { buckets, count, sum: self.0.sum.load(Ordering::Relaxed) }
    }
}

/// One series of the page, as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The name of its family.
    pub name: String,
    /// Its labels in the text format, without braces.
    pub labels: String,
    /// Its value.
    pub value: Value,
}

/// The value of a series.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A counter's.
    Count(u64),
    /// A gauge's.
    Gauge(f64),
    /// A histogram's.
    Distribution {
        /// Upper bounds, and how many values are not above them.
        buckets: Vec<(u64, u64)>,
        /// How many values there are.
        count: u64,
        /// What they add up to.
        sum: u64,
    },
}

#[derive(Debug)]
enum Instrument {
    Counter(Counter),
    Histogram(Histogram),
}

type Key = (String, String);

/// What is measured when somebody looks.
type Source = Box<dyn Fn(&mut Readings<'_>) + Send + Sync>;

/// Takes in what a component measures when somebody looks.
#[derive(Debug)]
pub struct Readings<'a> {
    component: &'a ComponentId,
    readings: Vec<Reading>,
}

impl Readings<'_> {
    /// A counter's value, named as in [`Meter::counter`].
    pub fn counter(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        self.add(name, labels, Value::Count(value));
    }

    /// A gauge's value.
    pub fn gauge(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.add(name, labels, Value::Gauge(value));
    }

    fn add(&mut self, name: &str, more: &[(&str, &str)], value: Value) {
        let mut labels = format!("{}=\"{}\"", owner(name), self.component);
        more.iter().for_each(|label| put(&mut labels, *label));
        self.readings.push(Reading { name: name.to_owned(), labels, value });
    }
}

/// The instruments of all components. A service of the graph: self-telemetry shows them. They outlive a reload.
#[derive(Default)]
pub struct Meter {
    instruments: Mutex<BTreeMap<Key, Instrument>>,
    sources: Mutex<BTreeMap<ComponentId, Source>>,
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meter")
    }
}

impl Meter {
    /// A counter of a component: `throughline_…`, or `otelcol_processor_…` where the Collector has one. `label` is one
    /// more label, its values few: `("event", "push")`. A name is either a counter's or a histogram's, never both.
    pub fn counter(&self, name: &str, component: &ComponentId, label: Option<(&str, &str)>) -> Counter {
        let mut labels = format!("{}=\"{component}\"", owner(name));
        label.into_iter().for_each(|label| put(&mut labels, label));
        let fresh = || Instrument::Counter(Counter::default());
        match self.instrument(name, labels, fresh) {
            Instrument::Counter(counter) => counter,
            Instrument::Histogram(_) => Counter::default(),
        }
    }

    /// A histogram of a component, named as a counter is, over buckets with these upper bounds, ascending.
    pub fn histogram(&self, name: &str, component: &ComponentId, bounds: &[u64]) -> Histogram {
        let labels = format!("{}=\"{component}\"", owner(name));
        match self.instrument(name, labels, || Instrument::Histogram(Histogram::over(bounds))) {
            Instrument::Histogram(histogram) => histogram,
            Instrument::Counter(_) => Histogram::default(),
        }
    }

    /// What a component measures when somebody looks; it takes the place of what it said before. It must not block.
    pub fn source(
        &self,
        component: &ComponentId,
        source: impl Fn(&mut Readings<'_>) + Send + Sync + 'static,
    ) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.insert(component.clone(), Box::new(source));
    }

    /// All series, sorted by name within what is counted, and what is measured now.
    pub fn read(&self) -> Vec<Reading> {
        let instruments = self.instruments.lock().unwrap_or_else(PoisonError::into_inner);
        let reading = |((name, labels), instrument): (&Key, &Instrument)| Reading {
            name: name.clone(),
            labels: labels.clone(),
            value: match instrument {
                Instrument::Counter(counter) => Value::Count(counter.get()),
                Instrument::Histogram(histogram) => histogram.read(),
            },
        };
        let mut readings: Vec<Reading> = instruments.iter().map(reading).collect();
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        for (component, source) in &*sources {
            let mut measured = Readings { component, readings: Vec::new() };
            source(&mut measured);
            readings.append(&mut measured.readings);
        }
        readings
    }

    fn instrument(&self, name: &str, labels: String, fresh: impl FnOnce() -> Instrument) -> Instrument {
        let mut instruments = self.instruments.lock().unwrap_or_else(PoisonError::into_inner);
        match instruments.entry((name.to_owned(), labels)).or_insert_with(fresh) {
            Instrument::Counter(counter) => Instrument::Counter(counter.clone()),
            Instrument::Histogram(histogram) => Instrument::Histogram(histogram.clone()),
        }
    }
}

/// Adds one more label.
fn put(labels: &mut String, (key, value): (&str, &str)) {
    let value = value.replace(['\\', '"', '\n'], "_");
    labels.push_str(&format!(",{key}=\"{value}\""));
}

/// The label that names the component: the Collector's metrics of a processor have `processor`, ours `component`.
fn owner(name: &str) -> &'static str {
    if name.starts_with("otelcol_processor_") { "processor" } else { "component" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_a_value_in_every_bucket_whose_bound_is_not_less() {
        let meter = Meter::default();
        let sizes = meter.histogram("otelcol_processor_sizes", &ComponentId::new("batch"), &[10, 20]);
        [0, 10, 11, 20, 21].into_iter().for_each(|size| sizes.record(size));
        let [reading] = &meter.read()[..] else { panic!("one series") };
        assert_eq!(reading.labels, "processor=\"batch\"");
        let buckets = vec![(10, 2), (20, 4)];
        assert_eq!(reading.value, Value::Distribution { buckets, count: 5, sum: 62 });
    }

    #[test]
    fn what_is_measured_is_measured_when_somebody_looks() {
        let (meter, id) = (Meter::default(), ComponentId::new("file_storage"));
        let count = Counter::default();
        let counted = count.clone();
        meter.source(&id, |_| panic!("it is not asked any more"));
        meter.source(&id, move |readings| {
            readings.counter("throughline_storage_groups", &[("stream", "a\"b")], counted.get());
            readings.gauge("throughline_storage_fill_ratio", &[], 0.5);
        });
        count.add(2);
        let [groups, fill] = &meter.read()[..] else { panic!("two series") };
        assert_eq!(
            (&*groups.labels, &groups.value),
            ("component=\"file_storage\",stream=\"a_b\"", &Value::Count(2))
        );
        assert_eq!((&*fill.labels, &fill.value), ("component=\"file_storage\"", &Value::Gauge(0.5)));
    }

    #[test]
    fn whoever_asks_twice_gets_the_same_instrument() {
        let (meter, id) = (Meter::default(), ComponentId::new("github"));
        let count = || meter.counter("throughline_deliveries", &id, Some(("result", "a\"b")));
        count().add(2);
        count().add(3);
        let labels = "component=\"github\",result=\"a_b\"".to_owned();
        let name = "throughline_deliveries".to_owned();
        assert_eq!(meter.read(), [Reading { name, labels, value: Value::Count(5) }]);
    }
}
