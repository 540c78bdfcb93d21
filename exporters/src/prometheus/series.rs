//! One series: its labels, its newest value, its exemplars.

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
    let joined = all.into_iter().map(|(key, values)| (key, values.join(";")));
    let mut labels: Labels = joined.filter(|(key, value)| !key.is_empty() && !value.is_empty()).collect();
    // They stay for long.
    labels.shrink_to_fit();
    labels
}

/// OpenMetrics allows an exemplar's labels 128 characters together.
pub(super) const EXEMPLAR_ROOM: usize = 128;

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

/// The bucket that a value lies in; none for one that is no number.
pub(super) fn bucket_of(buckets: &[(f64, u64)], value: f64) -> Option<usize> {
    let at = buckets.partition_point(|(bound, _)| *bound < value);
    (at < buckets.len() && !value.is_nan()).then_some(at)
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
