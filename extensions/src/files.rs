//! Credentials in files, which whoever issues them replaces while we run.

use std::path::Path;
use std::time::Duration;

use throughline_component::ConfigError;

/// How old what was read from a file may be. Files of credentials are small, and in the page cache.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);

/// The text of the file that stands under `key`.
pub(crate) fn read(path: &Path, key: &str) -> Result<String, ConfigError> {
    std::fs::read_to_string(path)
        .map_err(|error| ConfigError::here(key, format!("cannot read {}: {error}", path.display())))
}
