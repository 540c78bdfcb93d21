//! The disk: the little of a file system that a log needs, every sync with a name.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Which promise a sync keeps. A test can leave out all syncs of one site, and must then see data lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SyncSite(pub &'static str);

/// A file system. Calls block; they belong on a thread of their own.
///
/// What is written survives the end of the process. It survives the end of the machine's power only once
/// [`DiskFile::sync_data`] has answered for the file and [`Disk::sync_dir`] for the directory that names it.
pub trait Disk: Send + Sync {
    /// Whether there is a directory at `path`.
    fn is_dir(&self, path: &Path) -> bool;
    /// Creates one directory; its parent must exist.
    ///
    /// # Errors
    /// What the file system answers.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// The names of the files in a directory, in no order.
    ///
    /// # Errors
    /// What the file system answers.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;
    /// Creates a file that must not exist yet, for appending.
    ///
    /// # Errors
    /// What the file system answers.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file that exists, for reading and appending.
    ///
    /// # Errors
    /// What the file system answers.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Removes a file.
    ///
    /// # Errors
    /// What the file system answers.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes what was created in and removed from a directory last.
    ///
    /// # Errors
    /// What the file system answers. After an error, entries made since the last success may be lost for good.
    fn sync_dir(&self, directory: &Path, site: SyncSite) -> io::Result<()>;
    /// Takes the lock file at `path` for this process, until the answer is dropped.
    ///
    /// # Errors
    /// `WouldBlock` if another process has it; else what the file system answers.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>>;
}

/// An open file.
pub trait DiskFile: Send + Sync {
    /// Its length in bytes.
    ///
    /// # Errors
    /// What the file system answers.
    fn size(&self) -> io::Result<u64>;
    /// Reads into all of `buffer`, or up to the file's end; says how many bytes that were.
    ///
    /// # Errors
    /// What the file system answers.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Appends all parts, one after the other. After an error any part of them may be there.
    ///
    /// # Errors
    /// What the file system answers.
    fn append(&self, parts: &[&[u8]]) -> io::Result<()>;
    /// Cuts the file.
    ///
    /// # Errors
    /// What the file system answers.
    fn truncate(&self, size: u64) -> io::Result<()>;
    /// Makes the bytes last, and the size that is needed to read them.
    ///
    /// # Errors
    /// What the file system answers. After an error, bytes written since the last success may be lost for good even
    /// if a later call succeeds: the caller must write them again, elsewhere.
    fn sync_data(&self, site: SyncSite) -> io::Result<()>;
}

/// The machine's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn is_dir(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let names =
            std::fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.file_name().into_string()));
        // A name that is not UTF-8 is none of ours.
        names.filter_map(|name| name.map(Result::ok).transpose()).collect()
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().read(true).append(true).create_new(true).open(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().read(true).append(true).open(path)?))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_dir(&self, directory: &Path, _: SyncSite) -> io::Result<()> {
        File::open(directory)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        file.try_lock()?;
        Ok(Box::new(file))
    }
}

impl DiskFile for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match FileExt::read_at(self, &mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn append(&self, parts: &[&[u8]]) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut left = &mut slices[..];
        // Empty parts in front would make an empty write look like a full disk.
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match (&mut &*self).write_vectored(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut left, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.set_len(size)
    }

    fn sync_data(&self, _: SyncSite) -> io::Result<()> {
        File::sync_data(self)
    }
}
