//! `cargo xtask docs`: the reference pages and `coming-from-the-collector.md`, from the schemas that also check the configuration.

use anyhow::Result;

use crate::shell::{cargo, root, run};

/// Writes `docs/reference/`, from nothing, so that the page of a removed component goes too.
pub(crate) fn docs() -> Result<()> {
    let folder = root().join("docs/reference");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    run(cargo(&["run", "--locked", "-p", "throughline", "--", "reference", &folder.to_string_lossy()]))
}
