//! The tables of components, and what the configuration is told of them.

use throughline_component::{Factory, Kind};
use throughline_config::{Catalog, Known};
use throughline_otlp::Signal;

/// The type of the step that masks secrets.
pub(crate) const MASKING: &str = "secrets";

/// All factories of this binary.
pub(crate) fn factories() -> impl Iterator<Item = &'static Factory> {
    [
        throughline_receivers::ALL,
        throughline_processors::ALL,
        throughline_connectors::ALL,
        throughline_exporters::ALL,
        throughline_extensions::ALL,
    ]
    .into_iter()
    .flatten()
}

/// The factory of a type; aliases have been resolved by the configuration.
pub(crate) fn factory(kind: Kind, type_name: &str) -> Option<&'static Factory> {
    factories().find(|factory| factory.kind == kind && factory.name == type_name)
}

/// What the configuration is checked against.
pub(crate) fn catalog() -> Catalog {
    let known = factories().map(|factory| {
        let (consumes, produces) = match factory.kind {
            Kind::Receiver => (&[][..], factory.signals),
            Kind::Processor => (factory.signals, factory.signals),
            Kind::Connector => (factory.signals, factory.emits),
            Kind::Exporter => (factory.signals, &[][..]),
            Kind::Extension => (&[][..], &[][..]),
        };
        Known {
            kind: factory.kind,
            type_name: factory.name,
            aliases: factory.aliases,
            schema: factory.schema(),
            consumes: signals(consumes),
            produces: signals(produces),
        }
    });
    Catalog::new(known.collect())
}

/// `config` stands beside `otlp` on the ladder and has its own word for signals.
fn signals(list: &[Signal]) -> &'static [throughline_config::Signal] {
    use throughline_config::Signal::{Logs, Metrics, Traces};
    let has = |signal| list.contains(&signal);
    match (has(Signal::Traces), has(Signal::Metrics), has(Signal::Logs)) {
        (false, false, false) => &[],
        (true, false, false) => &[Traces],
        (false, true, false) => &[Metrics],
        (false, false, true) => &[Logs],
        (true, true, false) => &[Traces, Metrics],
        (true, false, true) => &[Traces, Logs],
        (false, true, true) => &[Metrics, Logs],
        (true, true, true) => &[Traces, Metrics, Logs],
    }
}
