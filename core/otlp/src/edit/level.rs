//! The levels at which a request can be edited.

use std::ops::BitOr;

use crate::Signal;
use crate::schema::{self, Message};

/// A level of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// A resource.
    Resource,
    /// An instrumentation scope.
    Scope,
    /// A span.
    Span,
    /// A log record.
    Log,
    /// A metric with all its points.
    Metric,
    /// An event of a span.
    Event,
    /// A link of a span.
    Link,
    /// A data point of a metric.
    Point,
}

impl Level {
    /// The level of a signal's records.
    #[must_use]
    pub const fn of_records(signal: Signal) -> Self {
        match signal {
            Signal::Traces => Self::Span,
            Signal::Metrics => Self::Metric,
            Signal::Logs => Self::Log,
        }
    }

    /// The message type at this level; of data points, which have one for each kind of metric, that of gauges and sums.
    #[must_use]
    pub fn message(self) -> &'static Message {
        match self {
            Self::Resource => &schema::RESOURCE,
            Self::Scope => &schema::INSTRUMENTATION_SCOPE,
            Self::Span => &schema::SPAN,
            Self::Log => &schema::LOG_RECORD,
            Self::Metric => &schema::METRIC,
            Self::Event => &schema::SPAN_EVENT,
            Self::Link => &schema::SPAN_LINK,
            Self::Point => &schema::NUMBER_DATA_POINT,
        }
    }

    /// The number of the field with the attributes, in a message of this type; a metric's attributes are those of its points.
    pub(super) fn attributes(self, message: &Message) -> Option<u32> {
        match self {
            Self::Resource => Some(1),
            Self::Scope | Self::Event => Some(3),
            Self::Span => Some(9),
            Self::Log => Some(6),
            Self::Metric => None,
            Self::Link => Some(4),
            Self::Point => message.field_named("attributes").map(|field| field.number),
        }
    }

    /// The level of the records that records of this level are part of.
    #[must_use]
    pub const fn parent(self) -> Option<Self> {
        match self {
            Self::Event | Self::Link => Some(Self::Span),
            Self::Point => Some(Self::Metric),
            _ => None,
        }
    }
}

/// A set of levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Levels(u8);

impl Levels {
    /// No level.
    pub const NONE: Self = Self(0);
    /// Resources.
    pub const RESOURCE: Self = Self(1);
    /// Instrumentation scopes.
    pub const SCOPE: Self = Self(2);
    /// Spans.
    pub const SPAN: Self = Self(4);
    /// Log records.
    pub const LOG: Self = Self(8);
    /// Metrics.
    pub const METRIC: Self = Self(16);
    /// Records of any signal.
    pub const RECORDS: Self = Self(4 | 8 | 16);
    /// Events of spans.
    pub const EVENT: Self = Self(32);
    /// Links of spans.
    pub const LINK: Self = Self(64);
    /// Data points of metrics.
    pub const POINT: Self = Self(128);
    /// What records consist of.
    pub const NESTED: Self = Self(32 | 64 | 128);
    /// Resources, scopes and records. Who edits a record can edit what it consists of too.
    pub const ALL: Self = Self(31);

    /// Whether the set has this level.
    #[must_use]
    pub const fn contains(self, level: Level) -> bool {
        self.0 & 1 << level as u8 != 0
    }

    /// The levels of what records of these levels consist of.
    #[must_use]
    pub const fn nested(self) -> Self {
        let of_spans = if self.contains(Level::Span) { Self::EVENT.0 | Self::LINK.0 } else { 0 };
        let of_metrics = if self.contains(Level::Metric) { Self::POINT.0 } else { 0 };
        Self(of_spans | of_metrics)
    }

    /// Whether it is a single level.
    #[must_use]
    pub const fn is_one(self) -> bool {
        self.0.is_power_of_two()
    }

    /// Those that are in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether the sets have a level in common.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Levels {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl From<Level> for Levels {
    fn from(level: Level) -> Self {
        Self(1 << level as u8)
    }
}
