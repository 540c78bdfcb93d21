//! Receivers, one file each: they turn what arrives into chunks of OTLP, await the settlement, and answer in their
//! protocol's words. `domain_event` is what they share. [`ALL`] is the table that the agent builds them from.

mod domain_event;
mod github;
mod internal;
mod otlp;

use throughline_component::Factory;

/// All receivers, sorted by name.
pub const ALL: &[Factory] = &[github::FACTORY, internal::FACTORY, otlp::FACTORY];
