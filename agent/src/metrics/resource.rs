//! The resource that the agent is.

use std::collections::BTreeMap;

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
