//! Receivers, one file each.

mod otlp;

use throughline_component::Factory;

/// All receivers, sorted by name.
pub const ALL: &[Factory] = &[otlp::FACTORY];
