//! One merged, expanded configuration.

use crate::catalog::Catalog;
use crate::error::{Errors, Warning};
use crate::node::Node;
use crate::settings::Settings;

/// What the inputs say together, before anyone asked whether it makes sense. See [`load`](crate::load).
#[derive(Debug, Clone)]
pub struct Document {
    root: Node,
    warnings: Vec<Warning>,
}

/// The verdict on a document.
#[derive(Debug, Clone)]
pub struct Checked {
    /// What works but is probably not meant: unset variables, former names, unused components.
    pub warnings: Vec<Warning>,
    /// All that is wrong, sorted by place.
    pub errors: Errors,
    /// What the document says; none if anything is wrong.
    pub settings: Option<Settings>,
    /// Where something is wrong: the parts that are right by themselves, so that what their builders refuse is told at
    /// once too. None if an extension is among the wrong, for the others may need it.
    pub sound: Option<Settings>,
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
        let (mut checked, mut warnings) = (crate::check::check(&self.root, catalog), self.warnings.clone());
        warnings.append(&mut checked.warnings);
        warnings.sort();
        warnings.dedup();
        Checked { warnings, ..checked }
    }
}
