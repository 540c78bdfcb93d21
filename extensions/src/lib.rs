//! Extensions, one file each.

mod file_storage;

use throughline_component::Factory;

/// All extensions, sorted by name.
pub const ALL: &[Factory] = &[file_storage::FACTORY];
