//! What a correct document says.

use std::collections::BTreeMap;

use crate::error::Location;
use crate::id::{Id, PipelineId};
use crate::kind::{Kind, Signal};
use crate::node::Node;
use crate::service::Service;

/// A checked configuration: every name resolves, every value fits its component's schema.
#[derive(Debug, Clone)]
pub struct Settings {
    /// All components that are defined, used or not.
    pub components: BTreeMap<(Kind, Id), Component>,
    /// The extensions to start, in this order.
    pub extensions: Vec<Located<Id>>,
    /// The pipelines, in the order in which they are written.
    pub pipelines: Vec<Pipeline>,
    /// The agent's own settings.
    pub service: Service,
}

/// One component as it is configured.
#[derive(Debug, Clone)]
pub struct Component {
    /// What it is.
    pub kind: Kind,
    /// The author's name for it.
    pub id: Id,
    /// Its type, in today's spelling.
    pub type_name: &'static str,
    /// Its settings, normalized by its schema.
    pub node: Node,
    /// Where its id stands.
    pub at: Location,
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub at: Location,
}

/// One pipeline. What is listed among receivers and exporters may be a connector.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Its id.
    pub id: PipelineId,
    /// What flows through it.
    pub signal: Signal,
    /// Where it comes from.
    pub receivers: Vec<Located<Id>>,
    /// What it passes, in this order.
    pub processors: Vec<Located<Id>>,
    /// Where it goes.
    pub exporters: Vec<Located<Id>>,
    /// Where the pipeline's id stands.
    pub at: Location,
}
