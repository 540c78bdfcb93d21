//! The tables of components, and what the configuration is told of them.

use throughline_component::{Factory, Kind};
use throughline_config::{Catalog, ComponentType};
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
        ComponentType {
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use throughline_component::port::{SystemClock, SystemRandom};
    use throughline_component::{Build, ComponentId, Services};

    fn cx(factory: &Factory) -> Build {
        Build {
            id: ComponentId::new(factory.name),
            clock: std::sync::Arc::new(SystemClock::default()),
            random: std::sync::Arc::new(SystemRandom::default()),
            services: Services::default(),
        }
    }

    #[test]
    fn names_and_aliases_are_unique_and_sorted_within_their_kind() {
        for kind in Kind::ALL {
            let of_kind: Vec<_> = factories().filter(|factory| factory.kind == kind).collect();
            assert!(of_kind.is_sorted_by_key(|factory| factory.name), "{kind}");
            let mut names: Vec<_> = of_kind.iter().flat_map(|f| f.aliases.iter().chain([&f.name])).collect();
            names.sort_unstable();
            assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{kind}: {names:?}");
        }
    }

    #[test]
    fn every_component_describes_itself_and_each_of_its_options() {
        for factory in factories() {
            let schema = factory.schema();
            let schema = schema.as_object().expect("settings are a map");
            assert!(schema.contains_key("description"), "{} has no description", factory.name);
            let options = schema.get("properties").and_then(Value::as_object);
            for (option, schema) in options.into_iter().flatten() {
                let described = schema.get("description").is_some() || schema.get("$ref").is_some();
                assert!(described, "{}: option `{option}` has no description", factory.name);
            }
        }
    }

    #[test]
    fn bad_settings_of_every_component_are_an_error_and_no_panic() {
        for factory in factories() {
            // Nothing is offered here, so even right settings may be refused: they must be refused in words.
            for settings in [json!({}), json!(null), json!([]), json!("x"), json!({ "no such option": 1 })] {
                if let Err(error) = factory.build(settings, &cx(factory)) {
                    assert!(!error.message.is_empty(), "{}", factory.name);
                }
            }
        }
    }
}
