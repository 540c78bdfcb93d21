//! Extensions, one file each.

mod basicauth;
mod bearertokenauth;
mod file_storage;
mod health_check;

use throughline_component::Factory;

/// All extensions, sorted by name.
pub const ALL: &[Factory] =
    &[basicauth::FACTORY, bearertokenauth::FACTORY, file_storage::FACTORY, health_check::FACTORY];
