//! Receivers, one file each.

mod domain_event;
mod github;
mod internal;
mod otlp;

use throughline_component::Factory;

/// All receivers, sorted by name.
pub const ALL: &[Factory] = &[github::FACTORY, internal::FACTORY, otlp::FACTORY];
