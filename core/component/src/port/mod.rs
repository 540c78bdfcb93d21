//! Ports: time, randomness, memory and disk come from outside, so that tests can turn them.

mod budget;
mod clock;
mod disk;
mod mask;
mod random;
mod store;

pub use budget::{Account, Budget, Charge};
pub use clock::{Clock, SystemClock};
pub use disk::{Disk, DiskFile, SyncSite, SystemDisk};
pub use mask::Mask;
pub use random::{Random, SystemRandom};
pub use store::{Journal, Journals, NoopJournals, Opened, StoreError};
