//! Processors, one file each.

mod batch;
mod change;
mod memory_limiter;
mod secrets;

use throughline_component::Factory;

/// All processors, sorted by name.
pub const ALL: &[Factory] = &[batch::FACTORY, change::FACTORY, memory_limiter::FACTORY, secrets::FACTORY];
