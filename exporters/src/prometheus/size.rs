//! What series take: memory in the registry, and room on a page.

use std::ops::{Add, AddAssign, SubAssign};

use super::escape::Of;
use super::series::{Exemplar, Labels, Sample, Series};

/// What a part of the registry takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    /// Bytes of memory, what the allocator and the trees add included.
    pub(super) bytes: usize,
    /// The most bytes that it takes on any page, in the longest of the formats and schemes.
    pub(super) page: usize,
}

/// A text of its own: where it is, and the least that an allocation takes.
const TEXT: usize = size_of::<String>() + 16;
/// A family or a series without its texts. The nodes of a tree are not all full.
const FAMILY: usize = 256;
const SERIES: usize = (size_of::<Labels>() + size_of::<Series>()) * 3 / 2 + 32;
/// A line without its names and labels: suffix, the page's own label, value, time, an escaped `__name__`.
const LINE: usize = 144;
/// An exemplar on the page: its labels have 128 characters, of four bytes at most, between as many quotes and commas.
const EXEMPLAR: usize = 1_400;

impl Size {
    pub(super) fn of_family(name: &str, help: &str) -> Self {
        Self {
            bytes: FAMILY + 2 * TEXT + name.len() + help.len(),
            page: 2 * (longest(name, Of::Metric) + 24) + 2 * help.len(),
        }
    }

    pub(super) fn of_series(name: &str, labels: &Labels, series: &Series) -> Self {
        let texts: usize = labels.iter().map(|(key, value)| 2 * TEXT + key.len() + value.len()).sum();
        Self {
            bytes: SERIES + texts + weight(series),
            page: lines(series) * line(name, labels) + series.exemplars.len() * EXEMPLAR,
        }
    }

    /// What is taken once a series has another value. Its labels are looked at only if it has more or fewer lines.
    pub(super) fn exchanged(self, name: &str, labels: &Labels, before: &Series, after: &Series) -> Self {
        let mut page = self.page + after.exemplars.len() * EXEMPLAR;
        page = page.saturating_sub(before.exemplars.len() * EXEMPLAR);
        let (less, more) = (lines(before), lines(after));
        if less != more {
            let line = line(name, labels);
            page = (page + more * line).saturating_sub(less * line);
        }
        Self { bytes: (self.bytes + weight(after)).saturating_sub(weight(before)), page }
    }
}

/// What a value and its exemplars take outside of the series itself.
fn weight(series: &Series) -> usize {
    let lists = match &series.value {
        Sample::Number(_) | Sample::Since(_) => 0,
        Sample::Histogram { buckets, .. } => buckets.len(),
        Sample::Summary { quantiles, .. } => quantiles.len(),
    };
    let exemplar = |exemplar: &Exemplar| {
        let texts = exemplar.labels.iter().map(|(key, value)| 2 * TEXT + key.len() + value.len());
        size_of::<Exemplar>() + 16 + texts.sum::<usize>()
    };
    lists * size_of::<(f64, u64)>() + series.exemplars.iter().map(exemplar).sum::<usize>()
}

fn lines(series: &Series) -> usize {
    match &series.value {
        Sample::Number(_) | Sample::Since(_) => 1,
        Sample::Histogram { buckets, .. } => buckets.len() + 2,
        Sample::Summary { quantiles, .. } => quantiles.len() + 2,
    }
}

/// The longest line of a series.
fn line(name: &str, labels: &Labels) -> usize {
    let label = |(key, value): &(String, String)| {
        let escapes = value.bytes().filter(|byte| matches!(byte, b'\\' | b'\n' | b'"')).count();
        longest(key, Of::Label) + 4 + value.len() + escapes
    };
    LINE + longest(name, Of::Metric) + labels.iter().map(label).sum::<usize>()
}

/// How long a name can become in any scheme.
fn longest(name: &str, of: Of) -> usize {
    if of.is_plain(name) {
        return name.len();
    }
    let one = |c: char| match c {
        '_' => 2,
        // A digit in front is written by its number.
        c if c.is_ascii_alphabetic() => 1,
        c if c.is_ascii_digit() => 4,
        c if c.is_ascii() => 5,
        _ => 8,
    };
    "U__\"\"".len() + name.chars().map(one).sum::<usize>()
}

impl Add for Size {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, page: self.page + other.page }
    }
}

impl AddAssign for Size {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Size {
    fn sub_assign(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_sub(other.bytes);
        self.page = self.page.saturating_sub(other.page);
    }
}
