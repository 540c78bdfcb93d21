//! What a reload need not build anew: components whose settings, and the files that these name, are as they were.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::Value;
use throughline_component::{ComponentId, DynExtension, Kind, Services};
use throughline_config::Component;

/// A component's settings as they were read, and the files that they name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fingerprint {
    settings: Value,
    files: Vec<(String, u64, Option<SystemTime>)>,
}

impl Fingerprint {
    pub(crate) fn of(component: &Component) -> Self {
        let settings = component.typed().unwrap_or(Value::Null);
        let mut files = Vec::new();
        stamps(&settings, &mut files);
        Self { settings, files }
    }
}

/// Certificates, passwords and the like are read when a component is built: another file is another component. What a component
/// writes to (a regular file that grows) is none of these, and is left out.
fn stamps(value: &Value, into: &mut Vec<(String, u64, Option<SystemTime>)>) {
    match value {
        Value::String(text) => stamp("", text, into),
        Value::Array(list) => list.iter().for_each(|value| stamps(value, into)),
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) => stamp(key, text, into),
                    other => stamps(other, into),
                }
            }
        }
        _ => {}
    }
}

fn stamp(key: &str, text: &str, into: &mut Vec<(String, u64, Option<SystemTime>)>) {
    if key == "path" || text.is_empty() || text.len() > 4096 {
        return;
    }
    if let Ok(file) = std::fs::metadata(text)
        && file.is_file()
    {
        into.push((text.to_owned(), file.len(), file.modified().ok()));
    }
}

/// What a configuration in service was made of, for the next to be compared with.
#[derive(Clone)]
pub(crate) struct Previous {
    pub(crate) fingerprints: BTreeMap<(Kind, ComponentId), Fingerprint>,
    pub(crate) masks: bool,
    /// In the order of the configuration.
    pub(crate) extensions: Vec<(ComponentId, Arc<dyn DynExtension>)>,
    pub(crate) offers: Services,
}

impl Previous {
    /// The components of the next configuration that are as they were. What extensions offer is in all others, so that if one of
    /// them is not, nothing is.
    pub(crate) fn unchanged(
        &self,
        fingerprints: &BTreeMap<(Kind, ComponentId), Fingerprint>,
        masks: bool,
        extensions: &[ComponentId],
    ) -> BTreeSet<(Kind, ComponentId)> {
        let same = |key: &(Kind, ComponentId)| {
            fingerprints.get(key).is_some_and(|print| self.fingerprints.get(key) == Some(print))
        };
        let names = self.extensions.iter().map(|(id, _)| id);
        let all = extensions.iter().all(|id| same(&(Kind::Extension, id.clone())));
        if !all || !names.eq(extensions) || masks != self.masks {
            return BTreeSet::new();
        }
        fingerprints.keys().filter(|key| same(key)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn files_that_settings_name_are_looked_at_and_those_that_are_written_are_not() {
        let folder = tempfile::tempdir().expect("there is a temporary folder");
        let file = |name: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, "x").expect("it can be written");
            path.display().to_string()
        };
        let settings = json!({ "tls": { "ca_file": file("ca.pem") }, "path": file("out.jsonl"), "name": "no file", "list": [file("a")] });
        let mut found = Vec::new();
        stamps(&settings, &mut found);
        let names: Vec<_> =
            found.iter().map(|(name, ..)| name.rsplit('/').next().unwrap_or_default()).collect();
        assert_eq!(names, ["a", "ca.pem"]);
    }
}
