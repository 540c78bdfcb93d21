//! The resource that the agent is.

use std::collections::BTreeMap;

use throughline_component::port::Random;

/// Attributes of the agent itself: those of the Collector's, and what `service::telemetry::resource` adds or takes away.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resource(BTreeMap<String, String>);

impl Resource {
    /// The agent's resource as the configuration has it.
    pub(crate) fn new(configured: &BTreeMap<String, Option<String>>, instance: &str) -> Self {
        let own = [
            ("service.name", "throughline"),
            ("service.version", env!("CARGO_PKG_VERSION")),
            ("service.instance.id", instance),
        ];
        let mut resource = Self::of(own);
        for (name, value) in configured {
            match value {
                Some(value) => drop(resource.0.insert(name.clone(), value.clone())),
                None => drop(resource.0.remove(name)),
            }
        }
        resource
    }

    pub(super) fn of<const N: usize>(attributes: [(&str, &str); N]) -> Self {
        Self(attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
    }

    /// Its attributes, by name.
    pub(super) fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// A new id for this process: a UUID of version 4.
pub(crate) fn instance(random: &dyn Random) -> String {
    let (high, low) = (random.bits(), random.bits());
    let (high, low) = (high & !0xf000 | 0x4000, low & !(0b11 << 62) | (0b10 << 62));
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_adds_to_the_resource_and_null_takes_away() {
        let configured = [("service.name".to_owned(), None), ("cluster".to_owned(), Some("eu-1".to_owned()))];
        let resource = Resource::new(&configured.into(), "id");
        let names: Vec<_> = resource.attributes().map(|(name, _)| name).collect();
        assert_eq!(names, ["cluster", "service.instance.id", "service.version"]);
    }
}
