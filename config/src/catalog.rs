//! What the agent tells this crate about its components.

use schemars::Schema;

use crate::collector_components::is_in_collector;
use crate::kind::{Kind, Signal};
use crate::nearest::did_you_mean;

/// One type of component that the agent has.
#[derive(Debug, Clone)]
pub struct ComponentType {
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
    known: Vec<ComponentType>,
}

impl Catalog {
    /// A catalog of these.
    pub fn new(known: Vec<ComponentType>) -> Self {
        Self { known }
    }

    /// All of them, in the order given.
    pub fn iter(&self) -> std::slice::Iter<'_, ComponentType> {
        self.known.iter()
    }

    /// The component of that kind, by its name or a former one.
    pub fn find(&self, kind: Kind, type_name: &str) -> Option<&ComponentType> {
        self.of(kind).find(|known| known.type_name == type_name || known.aliases.contains(&type_name))
    }

    fn of(&self, kind: Kind) -> impl Iterator<Item = &ComponentType> {
        self.known.iter().filter(move |known| known.kind == kind)
    }

    /// Why there is no such component, in words.
    pub(crate) fn explain_unknown(&self, kind: Kind, type_name: &str) -> String {
        if is_in_collector(kind, type_name) {
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
