//! Processors, one file each: `change` and `secrets` edit records in a walk they share, `batch` and `memory_limiter` see
//! whole batches. The domain they are thin skins of is in `core/`. [`ALL`] is the table that the agent builds them from.

mod batch;
mod change;
mod memory_limiter;
mod secrets;

use throughline_component::Factory;

/// All processors, sorted by name.
pub const ALL: &[Factory] = &[batch::FACTORY, change::FACTORY, memory_limiter::FACTORY, secrets::FACTORY];
