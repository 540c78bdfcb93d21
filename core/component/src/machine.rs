//! What `validate` finds wrong with the machine, while the file is right.

use std::sync::{Mutex, PoisonError};

use crate::ConfigError;

/// A service that only `validate` offers: components are built without being started, so what this machine lacks is noted
/// instead of ending the build, and looked for where a build alone would not notice.
#[derive(Debug, Default)]
pub struct MachineCheck {
    found: Mutex<Vec<ConfigError>>,
}

impl MachineCheck {
    /// Notes something.
    pub fn note(&self, problem: ConfigError) {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).push(problem);
    }

    /// What was noted since the last call.
    pub fn take(&self) -> Vec<ConfigError> {
        std::mem::take(&mut self.found.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
