//! What `validate` finds wrong with the machine, while the file is right.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{Access, access};

use crate::ConfigError;

/// Whether we may write to a file or folder or, where there is none, make one: into its nearest folder that is there.
///
/// # Errors
/// The kernel's: no permission, a file system that is read only.
pub fn can_write(path: &Path) -> io::Result<()> {
    let absolute = std::path::absolute(path)?;
    let there = absolute.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    access(there, Access::WRITE_OK).map_err(io::Error::from)?;
    if there.is_dir() {
        access(there, Access::EXEC_OK).map_err(io::Error::from)?;
    }
    match there == absolute || there.is_dir() {
        true => Ok(()),
        false => Err(io::ErrorKind::NotADirectory.into()),
    }
}

/// A service that only `validate` offers: components are built without being started, so what this machine lacks is noted
/// instead of ending the build, and looked for where a build alone would not notice.
#[derive(Debug, Default)]
pub struct MachineCheck {
    found: Arc<Mutex<Vec<ConfigError>>>,
    /// Where the options stand that are looked at, seen from the component.
    at: String,
}

impl MachineCheck {
    /// Notes something.
    pub fn note(&self, problem: ConfigError) {
        let problem = problem.within(&self.at);
        self.found.lock().unwrap_or_else(PoisonError::into_inner).push(problem);
    }

    /// The same check for a block of options: what is noted there stands under its path.
    #[must_use]
    pub fn within(&self, path: &str) -> Self {
        let at = if self.at.is_empty() { path.to_owned() } else { format!("{}::{path}", self.at) };
        Self { found: Arc::clone(&self.found), at }
    }

    /// What was noted since the last call.
    pub fn take(&self) -> Vec<ConfigError> {
        std::mem::take(&mut self.found.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_may_write_to_what_is_there_and_into_the_nearest_folder_and_below_no_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        std::fs::write(&file, "").expect("a file");
        assert!(can_write(folder.path()).is_ok());
        assert!(can_write(&file).is_ok());
        assert!(can_write(&folder.path().join("not/there/yet")).is_ok());
        let error = can_write(&file.join("below")).expect_err("a file is no folder");
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
    }
}
