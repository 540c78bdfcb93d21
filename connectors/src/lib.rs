//! Connectors, one file each.

mod change_metrics;
mod events;

use throughline_component::Factory;

/// All connectors, sorted by name.
pub const ALL: &[Factory] = &[change_metrics::FACTORY, events::FACTORY];
