//! A file of a stream.

use std::path::PathBuf;

/// The part of a file that was committed.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    pub(crate) salt: u32,
    pub(crate) end: u64,
    pub(crate) last: u64,
    pub(crate) counts: Counts,
    pub(crate) active: bool,
    /// Up to where it is known to have been on the disk, so that its loss would be damage.
    pub(crate) sure: Option<u64>,
    /// Its file was found to be gone.
    pub(crate) missed: bool,
}

/// Records and items by signal.
pub(crate) type Counts = [(u64, u64); 3];
