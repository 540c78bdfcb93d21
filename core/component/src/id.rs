//! Component ids: `type` or `type/name`.

use std::fmt;
use std::sync::Arc;

/// The id of one configured component, as the configuration spells it: `otlp` or `otlp/internal`.
///
/// Cheap to clone. The rules for its characters are checked by the configuration, not here.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ComponentId(Arc<str>);

impl ComponentId {
    /// Wraps an id that the configuration has checked.
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the slash: the component's type.
    pub fn type_name(&self) -> &str {
        self.0.split_once('/').map_or(&*self.0, |(kind, _)| kind)
    }
}

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_type_and_perhaps_a_name() {
        let types = ["otlp", "otlp/internal", "otlp/a/b"].map(|id| {
            let id = ComponentId::new(id);
            (id.as_str().to_owned(), id.type_name().to_owned(), id.to_string())
        });
        let expected = ["otlp", "otlp/internal", "otlp/a/b"].map(|id| (id.into(), "otlp".into(), id.into()));
        assert_eq!(types, expected);
    }
}
