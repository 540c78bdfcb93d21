//! One merged, expanded configuration.

use crate::catalog::Catalog;
use crate::check::{Checked, check};
use crate::error::Warning;
use crate::node::Node;

/// What the inputs say together, before anyone asked whether it makes sense. See [`load`](crate::load).
#[derive(Debug, Clone)]
pub struct Document {
    root: Node,
    warnings: Vec<Warning>,
}

impl Document {
    pub(crate) fn new(root: Node, warnings: Vec<Warning>) -> Self {
        Self { root, warnings }
    }

    /// The merged tree.
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// Holds the document against the components there are.
    pub fn check(&self, catalog: &Catalog) -> Checked {
        let (mut checked, mut warnings) = (check(&self.root, catalog), self.warnings.clone());
        warnings.append(&mut checked.warnings);
        warnings.sort();
        warnings.dedup();
        Checked { warnings, ..checked }
    }
}
