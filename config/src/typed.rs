//! From a located tree to a component's own type.

use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

use crate::error::{ConfigError, Error};
use crate::node::{Node, Value};
use crate::settings::Component;

impl Node {
    /// Deserializes what is written here. A mistake is placed at the deepest value its path leads to.
    ///
    /// # Errors
    /// When the value is not a `T`; after a schema check that is what serde alone demands.
    pub fn typed<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.typed_at("")
    }

    fn typed_at<T: DeserializeOwned>(&self, base: &str) -> Result<T, Error> {
        serde_path_to_error::deserialize(self.to_json()).map_err(|error| {
            let path = steps(error.path());
            let node = self.deepest(path.iter().map(String::as_str));
            // Serde quotes the value; one that came out of `${…}` may be a secret.
            let message = if holds_expanded(node) {
                "the value is not what this option takes (it is not shown, as it comes from `${…}`)"
                    .to_owned()
            } else {
                error.inner().to_string()
            };
            Error::new(&node.at, join(base, &path), message)
        })
    }
}

impl Component {
    /// The component's settings as its own type.
    ///
    /// # Errors
    /// As [`Node::typed`], with the whole key path.
    pub fn typed<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.node.typed_at(&self.path())
    }

    /// Gives a place to what the component itself finds wrong with its settings: that of the option, or of the
    /// deepest block on the way to it.
    pub fn locate(&self, error: &ConfigError) -> Error {
        let node = self.node.deepest(error.path.iter().map(String::as_str));
        let at = if error.path.is_empty() { &self.at } else { &node.at };
        Error::new(at, join(&self.path(), &error.path), error.message.clone())
    }

    fn path(&self) -> String {
        format!("{}::{}", self.kind.section(), self.id)
    }
}

fn steps(path: &Path) -> Vec<String> {
    let steps = path.iter().filter_map(|segment| match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { .. } | Segment::Unknown => None,
    });
    steps.collect()
}

fn join(base: &str, path: &[String]) -> String {
    let mut text = base.to_owned();
    for step in path {
        if step.bytes().all(|byte| byte.is_ascii_digit()) {
            text.push_str(&format!("[{step}]"));
            continue;
        }
        if !text.is_empty() {
            text.push_str("::");
        }
        text.push_str(step);
    }
    text
}

fn holds_expanded(node: &Node) -> bool {
    node.is_expanded()
        || match &node.value {
            Value::Seq(items) => items.iter().any(holds_expanded),
            Value::Map(entries) => entries.iter().any(|entry| holds_expanded(&entry.value)),
            _ => false,
        }
}
