//! Extensions, one file each: what stands beside the pipelines and offers them something (storage, authenticators), or
//! tells the outside how the agent is. [`ALL`] is the table that the agent builds them from.

mod basicauth;
mod bearertokenauth;
mod file_storage;
mod files;
mod health_check;
mod without_meaning;

use throughline_component::Factory;

/// All extensions, sorted by name.
pub const ALL: &[Factory] = &[
    basicauth::FACTORY,
    bearertokenauth::FACTORY,
    file_storage::FACTORY,
    health_check::FACTORY,
    without_meaning::MEMORY_BALLAST,
    without_meaning::PPROF,
    without_meaning::ZPAGES,
];
