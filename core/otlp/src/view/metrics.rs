//! Metrics, their five kinds of data, points and exemplars.

use super::View;
use super::message::view;
use crate::wire::{Fields, Payload};

view! {
    /// A metric.
    Metric {
        str name = 1;
        str description = 2;
        str unit = 3;
        attributes metadata = 12;
    }
}

/// The data of a metric.
#[derive(Clone, Copy, Debug)]
pub enum Data<'a> {
    /// Points that stand for themselves.
    Gauge(Gauge<'a>),
    /// Points that add up.
    Sum(Sum<'a>),
    /// Histograms with explicit buckets.
    Histogram(Histogram<'a>),
    /// Histograms with exponential buckets.
    ExponentialHistogram(ExponentialHistogram<'a>),
    /// Summaries.
    Summary(Summary<'a>),
}

impl<'a> Metric<'a> {
    /// The field `data`; `None` if there is none.
    #[must_use]
    pub fn data(self) -> Option<Data<'a>> {
        Fields::new(self.bytes).find_map(|field| {
            let bytes = field.len_bytes()?;
            Some(match field.number {
                5 => Data::Gauge(Gauge::over(bytes)),
                7 => Data::Sum(Sum::over(bytes)),
                9 => Data::Histogram(Histogram::over(bytes)),
                10 => Data::ExponentialHistogram(ExponentialHistogram::over(bytes)),
                11 => Data::Summary(Summary::over(bytes)),
                _ => return None,
            })
        })
    }
}

view! {
    /// Points that stand for themselves.
    Gauge {
        messages data_points = 1 as NumberDataPoint;
    }
}

view! {
    /// Points that add up.
    Sum {
        messages data_points = 1 as NumberDataPoint;
        /// 1 is delta, 2 is cumulative.
        i32 aggregation_temporality = 2;
        bool is_monotonic = 3;
    }
}

view! {
    /// Histograms with explicit buckets.
    Histogram {
        messages data_points = 1 as HistogramDataPoint;
        /// 1 is delta, 2 is cumulative.
        i32 aggregation_temporality = 2;
    }
}

view! {
    /// Histograms with exponential buckets.
    ExponentialHistogram {
        messages data_points = 1 as ExponentialHistogramDataPoint;
        /// 1 is delta, 2 is cumulative.
        i32 aggregation_temporality = 2;
    }
}

view! {
    /// Summaries.
    Summary {
        messages data_points = 1 as SummaryDataPoint;
    }
}

/// The number in a point or an exemplar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// `as_double`.
    Double(f64),
    /// `as_int`.
    Int(i64),
}

impl Default for Number {
    fn default() -> Self {
        Self::Int(0)
    }
}

fn number(bytes: &[u8], as_double: u32, as_int: u32) -> Option<Number> {
    Fields::new(bytes).find_map(|field| match field.payload {
        Payload::Fixed64(bits) if field.number == as_double => Some(Number::Double(f64::from_bits(bits))),
        Payload::Fixed64(bits) if field.number == as_int => Some(Number::Int(bits as i64)),
        _ => None,
    })
}

view! {
    /// One number.
    NumberDataPoint {
        u64 start_time_unix_nano = 2;
        u64 time_unix_nano = 3;
        messages exemplars = 5 as Exemplar;
        attributes attributes = 7;
        /// Bit 0: no value was recorded.
        u32 flags = 8;
    }
}

impl NumberDataPoint<'_> {
    /// The field `value`; `None` if there is none.
    #[must_use]
    pub fn value(self) -> Option<Number> {
        number(self.bytes, 4, 6)
    }
}

view! {
    /// One histogram with explicit buckets.
    HistogramDataPoint {
        u64 start_time_unix_nano = 2;
        u64 time_unix_nano = 3;
        u64 count = 4;
        optional_f64 sum = 5;
        fixed64s bucket_counts = 6;
        doubles explicit_bounds = 7;
        messages exemplars = 8 as Exemplar;
        attributes attributes = 9;
        /// Bit 0: no value was recorded.
        u32 flags = 10;
        optional_f64 min = 11;
        optional_f64 max = 12;
    }
}

view! {
    /// One histogram with exponential buckets.
    ExponentialHistogramDataPoint {
        attributes attributes = 1;
        u64 start_time_unix_nano = 2;
        u64 time_unix_nano = 3;
        u64 count = 4;
        optional_f64 sum = 5;
        sint32 scale = 6;
        u64 zero_count = 7;
        message positive = 8 as Buckets;
        message negative = 9 as Buckets;
        /// Bit 0: no value was recorded.
        u32 flags = 10;
        messages exemplars = 11 as Exemplar;
        optional_f64 min = 12;
        optional_f64 max = 13;
        f64 zero_threshold = 14;
    }
}

view! {
    /// A run of exponential buckets.
    Buckets {
        sint32 offset = 1;
        varints bucket_counts = 2;
    }
}

view! {
    /// One summary.
    SummaryDataPoint {
        u64 start_time_unix_nano = 2;
        u64 time_unix_nano = 3;
        u64 count = 4;
        f64 sum = 5;
        messages quantile_values = 6 as ValueAtQuantile;
        attributes attributes = 7;
        /// Bit 0: no value was recorded.
        u32 flags = 8;
    }
}

view! {
    /// One quantile of a summary.
    ValueAtQuantile {
        f64 quantile = 1;
        f64 value = 2;
    }
}

view! {
    /// A sample that a point was made from.
    Exemplar {
        u64 time_unix_nano = 2;
        bytes span_id = 4;
        bytes trace_id = 5;
        attributes filtered_attributes = 7;
    }
}

impl Exemplar<'_> {
    /// The field `value`; `None` if there is none.
    #[must_use]
    pub fn value(self) -> Option<Number> {
        number(self.bytes, 3, 6)
    }
}
