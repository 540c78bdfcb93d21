//! The disk: the little of a file system that a log needs, every sync with a name.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

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
    /// Opens a file to write over what is there, and creates it where it is missing.
    ///
    /// # Errors
    /// What the file system answers.
    fn open_in_place(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
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
    /// Takes a directory for this process, until the answer is dropped. It is the directory itself that is locked, so that
    /// no file that somebody removes lets a second process in.
    ///
    /// # Errors
    /// `WouldBlock` if another process has it; else what the file system answers.
    fn lock(&self, directory: &Path) -> io::Result<Box<dyn Send + Sync>>;
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
    /// Writes over what stands at an offset, in a file opened with [`Disk::open_in_place`]. What was there before may be
    /// there still, or be torn, after an error or a loss of power. It needs no new room on the disk, but where the file
    /// grows.
    ///
    /// # Errors
    /// What the file system answers.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
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

/// An open file of the machine; its errors name it.
struct SystemFile {
    file: File,
    path: PathBuf,
    in_place: bool,
}

impl Disk for SystemDisk {
    fn is_dir(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir(path).map_err(|error| named(path, error))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let entries = std::fs::read_dir(directory).map_err(|error| named(directory, error))?;
        let names = entries.map(|entry| entry.map(|entry| entry.file_name().into_string()));
        // A name that is not UTF-8 is none of ours.
        names.filter_map(|name| name.map(Result::ok).transpose()).collect()
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        open(path, false, OpenOptions::new().read(true).append(true).create_new(true))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        open(path, false, OpenOptions::new().read(true).append(true))
    }

    fn open_in_place(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        open(path, true, OpenOptions::new().read(true).write(true).create(true).truncate(false))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path).map_err(|error| named(path, error))
    }

    fn sync_dir(&self, directory: &Path, _: SyncSite) -> io::Result<()> {
        File::open(directory).and_then(|file| file.sync_all()).map_err(|error| named(directory, error))
    }

    fn lock(&self, directory: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let lock = |file: File| match file.try_lock() {
            Ok(()) => Ok(file),
            Err(error) => Err(io::Error::from(error)),
        };
        let locked = File::open(directory).and_then(lock).or_else(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::NotFound => Err(error),
            // Some network file systems lock only what is open for writing.
            _ => OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(directory.join("LOCK"))
                .and_then(lock),
        });
        Ok(Box::new(locked.map_err(|error| named(directory, error))?))
    }
}

fn open(path: &Path, in_place: bool, options: &OpenOptions) -> io::Result<Box<dyn DiskFile>> {
    let file = options.open(path).map_err(|error| named(path, error))?;
    Ok(Box::new(SystemFile { file, path: path.to_owned(), in_place }))
}

/// The error with the file's name.
fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

impl SystemFile {
    fn named<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| named(&self.path, error))
    }

    fn read_all(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn append_all(&self, parts: &[&[u8]]) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut left = &mut slices[..];
        // Empty parts in front would make an empty write look like a full disk.
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match (&self.file).write_vectored(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut left, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl DiskFile for SystemFile {
    fn size(&self) -> io::Result<u64> {
        self.named(self.file.metadata().map(|metadata| metadata.len()))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.named(self.read_all(buffer, offset))
    }

    fn append(&self, parts: &[&[u8]]) -> io::Result<()> {
        self.named(self.append_all(parts))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        // A file that is open for appending would append it, wherever it was to go.
        let written = if self.in_place {
            self.file.write_all_at(bytes, offset)
        } else {
            Err(io::ErrorKind::Unsupported.into())
        };
        self.named(written)
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.named(self.file.set_len(size))
    }

    fn sync_data(&self, _: SyncSite) -> io::Result<()> {
        self.named(self.file.sync_data())
    }
}
