//! Kinds of components, and signals.

use std::fmt;

/// What a component is, and with it the section it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Takes telemetry in.
    Receiver,
    /// Changes it on its way.
    Processor,
    /// Gives it out.
    Exporter,
    /// An exporter of one pipeline that is a receiver of another.
    Connector,
    /// Serves the others.
    Extension,
}

impl Kind {
    /// All kinds, in the order of the sections.
    pub const ALL: [Self; 5] =
        [Self::Receiver, Self::Processor, Self::Exporter, Self::Connector, Self::Extension];

    /// The section of the configuration, `receivers`.
    pub fn section(self) -> &'static str {
        match self {
            Self::Receiver => "receivers",
            Self::Processor => "processors",
            Self::Exporter => "exporters",
            Self::Connector => "connectors",
            Self::Extension => "extensions",
        }
    }

    /// The word for one, `receiver`.
    pub fn as_str(self) -> &'static str {
        self.section().trim_end_matches('s')
    }

    /// The word for one with its article, `an exporter`.
    pub(crate) fn with_article(self) -> String {
        let article = if matches!(self, Self::Exporter | Self::Extension) { "an" } else { "a" };
        format!("{article} {self}")
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What flows through a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Metric points.
    Metrics,
    /// Log records.
    Logs,
}

impl Signal {
    /// All signals.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    /// The word in a pipeline's id.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
