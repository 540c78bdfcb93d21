//! Connectors, one file each: processors whose emitter leads into other pipelines. `events` turns spans and logs into domain
//! events, `change_metrics` turns domain events into metrics. [`ALL`] is the table that the agent builds them from.

mod change_metrics;
mod events;

use throughline_component::Factory;

/// All connectors, sorted by name.
pub const ALL: &[Factory] = &[change_metrics::FACTORY, events::FACTORY];
