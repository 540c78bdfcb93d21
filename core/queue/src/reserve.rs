//! Room that is kept free for cursors and journals, so that a disk that records have filled can still be told what may go.

use std::io;
use std::path::{Path, PathBuf};

use throughline_component::port::Disk;

use crate::settings::Settings;

/// The file's name.
pub(crate) const NAME: &str = "RESERVE";

/// How long to wait between two tries to take the room back, in nanoseconds.
const PAUSE: u64 = 1_000_000_000;
/// A file that is written and removed at once, to find out whether there is room.
pub(crate) const PROBE: &str = "RESERVE.probe";
const BLOCK: usize = 64 << 10;

/// A file whose only use is that it can be removed.
pub(crate) struct Reserve {
    path: PathBuf,
    bytes: u64,
    held: bool,
    next_try: u64,
}

impl Reserve {
    /// Looks whether the file is there.
    pub(crate) fn open(disk: &dyn Disk, settings: &Settings) -> Self {
        let path = settings.directory.join(NAME);
        let bytes = settings.reserve_size();
        // From an end that came at the wrong moment.
        drop(disk.remove(&settings.directory.join(PROBE)));
        let held = disk.open(&path).and_then(|file| file.size()).is_ok_and(|size| size == bytes);
        Self { path, bytes, held, next_try: 0 }
    }

    /// Whether the room is not there.
    pub(crate) fn is_short(&self) -> bool {
        self.bytes > 0 && !self.held
    }

    /// Gives the room to somebody who needs it more. Says whether there was any.
    pub(crate) fn give_up(&mut self, disk: &dyn Disk) -> bool {
        let had = std::mem::take(&mut self.held);
        had && disk.remove(&self.path).is_ok()
    }

    /// Takes the room back, if it is missing and was not tried for just now.
    pub(crate) fn take(&mut self, disk: &dyn Disk, now: u64) -> io::Result<()> {
        if !self.is_short() || now < self.next_try {
            return Ok(());
        }
        self.next_try = now.saturating_add(PAUSE);
        drop(disk.remove(&self.path));
        let taken = write(disk, &self.path, self.bytes);
        self.held = taken.is_ok();
        if taken.is_err() {
            drop(disk.remove(&self.path));
        }
        taken
    }

    /// Whether the disk takes so many bytes beside the reserve.
    pub(crate) fn try_room(&self, disk: &dyn Disk, bytes: u64) -> io::Result<()> {
        let path = self.path.with_file_name(PROBE);
        let taken = write(disk, &path, bytes);
        drop(disk.remove(&path));
        taken
    }
}

fn write(disk: &dyn Disk, path: &Path, bytes: u64) -> io::Result<()> {
    let file = disk.create(path)?;
    // Some file systems keep no room for zeros, or for what is like what stands before it.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut block = Vec::with_capacity(BLOCK);
    let mut left = bytes;
    while left > 0 {
        block.clear();
        while block.len() < BLOCK {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            block.extend_from_slice(&state.to_le_bytes());
        }
        let some = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
        file.append(&[&block[..some]])?;
        left -= some as u64;
    }
    Ok(())
}
