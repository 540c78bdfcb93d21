//! All that a graph is started from.

use std::collections::BTreeSet;
use std::sync::Arc;

use throughline_component::port::{Clock, Random};
use throughline_component::{
    Built, ComponentId, ConfigError, DynExtension, Health, Kind, Services, Warnings,
};
use throughline_net::Listeners;

use crate::Ledger;
use crate::plan::Plan;

/// Makes a component anew, through its factory, from its settings.
pub type Make = Arc<dyn Fn(Kind, &ComponentId) -> Result<Built, ConfigError> + Send + Sync>;

/// All that a graph is started from.
pub struct Setup {
    /// What to run.
    pub plan: Plan,
    /// How to make its components.
    pub make: Make,
    /// What extensions offer; storages are found here.
    pub services: Services,
    /// The extensions in service, in the order of the configuration; their offers are known to `make` already.
    pub extensions: Vec<(ComponentId, Arc<dyn DynExtension>)>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// The accounts; they outlive a reload.
    pub ledger: Arc<Ledger>,
    /// Readiness; it outlives a reload.
    pub health: Arc<Health>,
    /// What is said of losses; it outlives a reload.
    pub warnings: Arc<Warnings>,
    /// The listeners of this configuration, which `make` gives to its components. They serve once all stands.
    pub listeners: Arc<Listeners>,
    /// What runs on of the graph in service, see [`Graph::reusable`](crate::Graph::reusable).
    pub reused: Reused,
}

/// The components that run on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reused {
    pub(crate) receivers: BTreeSet<ComponentId>,
    pub(crate) exporters: BTreeSet<ComponentId>,
    pub(crate) extensions: BTreeSet<ComponentId>,
}

impl Reused {
    /// All of them, of whatever kind.
    pub fn ids(&self) -> BTreeSet<ComponentId> {
        self.receivers.iter().chain(&self.exporters).chain(&self.extensions).cloned().collect()
    }
}
