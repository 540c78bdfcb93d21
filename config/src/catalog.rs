//! What the agent tells this crate about its components.

use std::fmt;

use schemars::Schema;

use crate::nearest::did_you_mean;

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

/// One type of component that the agent has.
#[derive(Debug, Clone)]
pub struct Known {
    /// What it is.
    pub kind: Kind,
    /// Its name today.
    pub type_name: &'static str,
    /// Names it had; they work, with a warning.
    pub aliases: &'static [&'static str],
    /// The schema of its settings, as `schemars` derives it, with our extensions (`docs/adr/0001-located-yaml.md`).
    pub schema: Schema,
    /// The signals it takes from a pipeline: all but receivers and extensions.
    pub consumes: &'static [Signal],
    /// The signals it gives to a pipeline: all but exporters and extensions.
    pub produces: &'static [Signal],
}

/// All components that the agent has.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    known: Vec<Known>,
}

impl Catalog {
    /// A catalog of these.
    pub fn new(known: Vec<Known>) -> Self {
        Self { known }
    }

    /// All of them, in the order given.
    pub fn iter(&self) -> std::slice::Iter<'_, Known> {
        self.known.iter()
    }

    /// The component of that kind, by its name or a former one.
    pub fn find(&self, kind: Kind, type_name: &str) -> Option<&Known> {
        self.of(kind).find(|known| known.type_name == type_name || known.aliases.contains(&type_name))
    }

    fn of(&self, kind: Kind) -> impl Iterator<Item = &Known> {
        self.known.iter().filter(move |known| known.kind == kind)
    }

    /// Why there is no such component, in words.
    pub(crate) fn explain_unknown(&self, kind: Kind, type_name: &str) -> String {
        if crate::lacking::is_collectors(kind, type_name) {
            return format!("`{type_name}` is a Collector {kind} that Throughline does not have yet");
        }
        if let Some(other) = Kind::ALL.into_iter().find(|other| self.find(*other, type_name).is_some()) {
            return format!(
                "unknown {kind} `{type_name}`; it is {}, put it under `{}`",
                other.with_article(),
                other.section()
            );
        }
        let names = self.of(kind).map(|known| known.type_name);
        format!("unknown {kind} `{type_name}`{}", did_you_mean(type_name, names))
    }
}
