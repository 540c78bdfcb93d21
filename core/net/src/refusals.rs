//! Counting what is refused before a pipeline sees it.

use std::sync::Arc;

use throughline_component::{ComponentId, Meter};

/// Counts the requests that one component's address refused, by reason: bad input leaves a trace in self-telemetry even
/// where nothing could be read of it.
#[derive(Clone, Debug)]
pub(crate) struct Refusals {
    meter: Arc<Meter>,
    owner: ComponentId,
}

impl Refusals {
    pub(crate) fn new(meter: &Arc<Meter>, owner: &ComponentId) -> Self {
        Self { meter: Arc::clone(meter), owner: owner.clone() }
    }

    /// The same for another component.
    pub(crate) fn of(&self, owner: &ComponentId) -> Self {
        Self::new(&self.meter, owner)
    }

    /// Counts one. Reasons are few, and never what a sender wrote.
    pub(crate) fn count(&self, reason: &'static str) {
        let label = Some(("reason", reason));
        self.meter.counter("throughline_server_refused_requests", &self.owner, label).add(1);
    }
}
