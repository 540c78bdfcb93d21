//! What the registry did not take, and why.

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
    /// A histogram whose counts do not fit its bounds, a quantile that is none, a monotonic sum below zero.
    Inconsistent,
    /// The series take as much memory as they may.
    Bytes,
    /// The page is as large as it may be.
    PageBytes,
    /// A series has more labels than it may.
    Labels,
    /// The name of the metric or of a label is too long.
    Name,
    /// The value of a label is too long.
    Value,
    /// A histogram has more buckets than it may, or a summary more quantiles.
    Buckets,
}

impl Refusal {
    pub(super) const ALL: [Self; 11] = [
        Self::Delta,
        Self::Type,
        Self::Series,
        Self::Empty,
        Self::Inconsistent,
        Self::Bytes,
        Self::PageBytes,
        Self::Labels,
        Self::Name,
        Self::Value,
        Self::Buckets,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Delta => "delta",
            Self::Type => "type_conflict",
            Self::Series => "max_series",
            Self::Empty => "empty",
            Self::Inconsistent => "inconsistent",
            Self::Bytes => "max_bytes",
            Self::PageBytes => "max_page_bytes",
            Self::Labels => "max_labels",
            Self::Name => "max_name_bytes",
            Self::Value => "max_label_value_bytes",
            Self::Buckets => "max_buckets",
        }
    }

    pub(super) fn explain(self) -> &'static str {
        match self {
            Self::Delta => "prometheus: delta points are not accumulated yet; send cumulative ones",
            Self::Type => "prometheus: another metric of the same name has another type",
            Self::Series => "prometheus: max_series is reached",
            Self::Empty => "prometheus: a metric without a name or data, or a point without a value",
            Self::Inconsistent => {
                "prometheus: bucket counts that do not fit their bounds, a quantile beyond 0 to 1, or a counter below zero"
            }
            Self::Bytes => "prometheus: max_bytes is reached",
            Self::PageBytes => "prometheus: max_page_bytes is reached",
            Self::Labels => "prometheus: a series with more labels than max_labels",
            Self::Name => "prometheus: a name longer than max_name_bytes",
            Self::Value => "prometheus: a label value longer than max_label_value_bytes",
            Self::Buckets => "prometheus: more buckets or quantiles than max_buckets",
        }
    }
}

/// What was not taken of a request.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Points by reason.
    pub(super) refused: Vec<(Refusal, u64)>,
    /// Descriptions of resources that lack labels or are left out, for want of room.
    pub(super) target_info: u64,
}

impl Tally {
    pub(super) fn refuse(&mut self, refusal: Refusal, points: u64) {
        match self.refused.iter_mut().find(|(known, _)| *known == refusal) {
            Some((_, count)) => *count += points,
            None => self.refused.push((refusal, points)),
        }
    }
}
