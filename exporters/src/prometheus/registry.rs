//! The newest value of every series.

use std::collections::BTreeMap;

/// Label names and values, sorted by name, escaped for neither format yet.
pub(super) type Labels = Vec<(String, String)>;

/// Sorted labels. The values of names that are equal are joined, as the specification asks. A name that is the page's `own`,
/// or that of the metric's name, is changed, since a page with a label given twice is refused as a whole.
pub(super) fn labels(pairs: impl Iterator<Item = (String, String)>, own: Option<&str>) -> Labels {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (key, value) in pairs {
        let taken = own == Some(key.as_str()) || key == "__name__";
        let key = if taken { format!("exported_{key}") } else { key };
        all.entry(key).or_default().push(value);
    }
    all.into_iter()
        .map(|(key, values)| (key, values.join(";")))
        .filter(|(key, value)| !key.is_empty() && !value.is_empty())
        .collect()
}

/// OpenMetrics allows an exemplar's labels 128 characters together.
const EXEMPLAR_ROOM: usize = 128;

/// An exemplar's labels, in the order given. What does not fit is left out, and so is a name that was there before.
pub(super) fn exemplar_labels(pairs: impl Iterator<Item = (String, String)>) -> Labels {
    let mut room = EXEMPLAR_ROOM;
    let mut labels = Labels::new();
    for (key, value) in pairs {
        let size = key.chars().count() + value.chars().count();
        if !key.is_empty() && size <= room && labels.iter().all(|(known, _)| *known != key) {
            room -= size;
            labels.push((key, value));
        }
    }
    labels
}

/// All series by family.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Registry {
    pub(super) families: BTreeMap<String, Family>,
    /// How many series there are in all families.
    pub(super) series: usize,
}

/// Series of one name. The first metric of a name decides its type and help; others of another type are refused.
#[derive(Debug, PartialEq)]
pub(super) struct Family {
    pub(super) kind: Kind,
    pub(super) help: String,
    pub(super) series: BTreeMap<Labels, Series>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
    /// A gauge whose value is how long ago its points say that they began.
    Age,
    /// The constant 1 whose labels describe a resource.
    Info,
}

impl Kind {
    /// The label that the page itself gives to samples of the kind.
    pub(super) fn own_label(self) -> Option<&'static str> {
        match self {
            Self::Histogram => Some("le"),
            Self::Summary => Some("quantile"),
            Self::Counter | Self::Gauge | Self::Age | Self::Info => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    pub(super) value: Sample,
    /// When the sample was taken, Unix nanoseconds; zero if the source does not say.
    pub(super) time: u64,
    pub(super) exemplars: Vec<Exemplar>,
    /// When the series last got a value, monotonic nanoseconds; negative if an earlier process took it.
    pub(super) updated: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Sample {
    Number(f64),
    /// Since when, in Unix nanoseconds.
    Since(u64),
    Histogram {
        /// Upper bounds and *cumulative* counts; the last bound is infinite.
        buckets: Vec<(f64, u64)>,
        sum: Option<f64>,
        count: u64,
    },
    Summary {
        quantiles: Vec<(f64, f64)>,
        sum: f64,
        count: u64,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Exemplar {
    pub(super) labels: Labels,
    pub(super) value: f64,
    pub(super) time: u64,
}

/// Why a series did not take a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Type,
    Full,
}

impl Registry {
    /// Puts a value in its series, unless a newer one is there.
    pub(super) fn put(
        &mut self,
        name: &str,
        kind: Kind,
        help: &str,
        labels: Labels,
        series: Series,
        max_series: usize,
    ) -> Result<(), Refused> {
        let family = match self.families.get_mut(name) {
            Some(family) => family,
            None => {
                let family = Family { kind, help: help.to_owned(), series: BTreeMap::new() };
                self.families.entry(name.to_owned()).or_insert(family)
            }
        };
        if family.kind != kind {
            return Err(Refused::Type);
        }
        match family.series.get_mut(&labels) {
            Some(known) if known.time > series.time => known.updated = series.updated,
            Some(known) => *known = series,
            None if self.series >= max_series => return Err(Refused::Full),
            None => {
                family.series.insert(labels, series);
                self.series += 1;
            }
        }
        Ok(())
    }

    /// Takes a series out: its source says that there is no value any more.
    pub(super) fn remove(&mut self, name: &str, labels: &Labels) {
        if let Some(family) = self.families.get_mut(name)
            && family.series.remove(labels).is_some()
        {
            self.series -= 1;
        }
    }

    /// Takes out the series that got no value since `before` (monotonic nanoseconds), and families left empty.
    pub(super) fn expire(&mut self, before: i64) {
        let mut gone = 0;
        self.families.retain(|_, family| {
            let count = family.series.len();
            family.series.retain(|_, series| series.updated >= before);
            gone += count - family.series.len();
            !family.series.is_empty()
        });
        self.series -= gone;
    }
}
