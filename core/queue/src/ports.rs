//! What a log needs of the outside world.

use std::sync::Arc;

use throughline_component::port::{Clock, Disk, Random};

/// The ports of a log.
#[derive(Clone)]
pub struct Ports {
    /// Where it lies.
    pub disk: Arc<dyn Disk>,
    /// For the age of orphans.
    pub clock: Arc<dyn Clock>,
    /// For the salts of files.
    pub random: Arc<dyn Random>,
}

impl Ports {
    pub(crate) fn salt(&self) -> u32 {
        u32::try_from(self.random.bits() >> 32).unwrap_or_default()
    }
}
