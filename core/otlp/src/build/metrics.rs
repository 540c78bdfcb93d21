//! Metrics: gauges, sums and histograms with exemplars.

use super::{Attribute, put_attributes, put_number, put_text};
use crate::view::Number;
use crate::wire::{self, WireType};

/// What the points of a sum or a histogram count from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temporality {
    /// The last report.
    Delta = 1,
    /// A fixed start.
    Cumulative = 2,
}

/// A metric whose data is still to be written.
#[derive(Debug)]
pub struct MetricBuilder<'a> {
    out: &'a mut Vec<u8>,
    name: &'a str,
    description: &'a str,
    unit: &'a str,
    metadata: &'a [Attribute<'a>],
}

impl<'a> MetricBuilder<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>, name: &'a str) -> Self {
        Self { out, name, description: "", unit: "", metadata: &[] }
    }

    /// Sets the description.
    #[must_use]
    pub fn description(mut self, description: &'a str) -> Self {
        self.description = description;
        self
    }

    /// Sets the unit, in UCUM.
    #[must_use]
    pub fn unit(mut self, unit: &'a str) -> Self {
        self.unit = unit;
        self
    }

    /// Sets what there is to know about the metric itself.
    #[must_use]
    pub fn metadata(mut self, metadata: &'a [Attribute<'a>]) -> Self {
        self.metadata = metadata;
        self
    }

    /// Writes the metric as a gauge.
    pub fn gauge(self, points: &[NumberPoint<'_>]) {
        self.write(5, |out| points.iter().for_each(|point| point.put(out)));
    }

    /// Writes the metric as a sum.
    pub fn sum(self, temporality: Temporality, monotonic: bool, points: &[NumberPoint<'_>]) {
        self.write(7, |out| {
            points.iter().for_each(|point| point.put(out));
            wire::put_varint_field(out, 2, temporality as u64);
            wire::put_varint_field(out, 3, u64::from(monotonic));
        });
    }

    /// Writes the metric as a histogram with explicit buckets.
    pub fn histogram(self, temporality: Temporality, points: &[HistogramPoint<'_>]) {
        self.write(9, |out| {
            points.iter().for_each(|point| point.put(out));
            wire::put_varint_field(out, 2, temporality as u64);
        });
    }

    fn write(self, number: u32, data: impl FnOnce(&mut Vec<u8>)) {
        wire::put_message(self.out, 2, |out| {
            put_text(out, 1, self.name);
            put_text(out, 2, self.description);
            put_text(out, 3, self.unit);
            wire::put_message(out, number, data);
            put_attributes(out, 12, self.metadata);
        });
    }
}

/// A point of a gauge or a sum, to write.
#[derive(Clone, Copy, Debug, Default)]
pub struct NumberPoint<'a> {
    /// Since when, in nanoseconds since 1970; 0 if unknown.
    pub start_time_unix_nano: u64,
    /// When, in nanoseconds since 1970.
    pub time_unix_nano: u64,
    /// How much.
    pub value: Number,
    /// Of what.
    pub attributes: &'a [Attribute<'a>],
    /// Samples.
    pub exemplars: &'a [Exemplar<'a>],
    /// Bit 0: no value was recorded, the series has ended.
    pub flags: u32,
}

impl NumberPoint<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        wire::put_message(out, 1, |out| {
            wire::put_fixed64(out, 2, self.start_time_unix_nano);
            wire::put_fixed64(out, 3, self.time_unix_nano);
            put_number(out, 4, 6, self.value);
            put_attributes(out, 7, self.attributes);
            self.exemplars.iter().for_each(|exemplar| exemplar.put(out, 5));
            if self.flags != 0 {
                wire::put_varint_field(out, 8, u64::from(self.flags));
            }
        });
    }
}

/// A point of a histogram, to write.
#[derive(Clone, Copy, Debug, Default)]
pub struct HistogramPoint<'a> {
    /// Since when, in nanoseconds since 1970; 0 if unknown.
    pub start_time_unix_nano: u64,
    /// When, in nanoseconds since 1970.
    pub time_unix_nano: u64,
    /// The sum of all values.
    pub sum: Option<f64>,
    /// How many values fell into each bucket: one more than there are bounds.
    pub bucket_counts: &'a [u64],
    /// The upper bounds of all buckets but the last, ascending.
    pub explicit_bounds: &'a [f64],
    /// Of what.
    pub attributes: &'a [Attribute<'a>],
    /// Samples.
    pub exemplars: &'a [Exemplar<'a>],
}

impl HistogramPoint<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        wire::put_message(out, 1, |out| {
            wire::put_fixed64(out, 2, self.start_time_unix_nano);
            wire::put_fixed64(out, 3, self.time_unix_nano);
            wire::put_fixed64(out, 4, self.bucket_counts.iter().fold(0, |sum, n| sum.saturating_add(*n)));
            if let Some(sum) = self.sum {
                wire::put_fixed64(out, 5, sum.to_bits());
            }
            put_packed(out, 6, self.bucket_counts.iter().copied());
            put_packed(out, 7, self.explicit_bounds.iter().map(|bound| bound.to_bits()));
            put_attributes(out, 9, self.attributes);
            self.exemplars.iter().for_each(|exemplar| exemplar.put(out, 8));
        });
    }
}

/// A sample that a point was made from, to write.
#[derive(Clone, Copy, Debug, Default)]
pub struct Exemplar<'a> {
    /// When, in nanoseconds since 1970.
    pub time_unix_nano: u64,
    /// How much.
    pub value: Number,
    /// The trace it was seen in; empty for none.
    pub trace_id: &'a [u8],
    /// The span it was seen in; empty for none.
    pub span_id: &'a [u8],
    /// Attributes that the point does not have.
    pub filtered_attributes: &'a [Attribute<'a>],
}

impl Exemplar<'_> {
    fn put(&self, out: &mut Vec<u8>, number: u32) {
        wire::put_message(out, number, |out| {
            wire::put_fixed64(out, 2, self.time_unix_nano);
            put_number(out, 3, 6, self.value);
            for (number, id) in [(4, self.span_id), (5, self.trace_id)] {
                if !id.is_empty() {
                    wire::put_len(out, number, id);
                }
            }
            put_attributes(out, 7, self.filtered_attributes);
        });
    }
}

fn put_packed(out: &mut Vec<u8>, number: u32, values: impl ExactSizeIterator<Item = u64>) {
    if values.len() == 0 {
        return;
    }
    wire::put_tag(out, number, WireType::Len);
    wire::put_varint(out, values.len() as u64 * 8);
    values.for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
}
