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
}

/// Reads until a buffer is full, or up to the end; `read` is told how much there is already.
fn read_all(
    buffer: &mut [u8],
    mut read: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match read(&mut buffer[filled..], filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Writes all parts, in as many calls as it takes.
fn write_all(parts: &[&[u8]], mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let mut left = &mut slices[..];
    // Empty parts in front would make an empty write look like a full disk.
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match write(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut left, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl DiskFile for SystemFile {
    fn size(&self) -> io::Result<u64> {
        self.named(self.file.metadata().map(|metadata| metadata.len()))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.named(read_all(buffer, |rest, filled| self.file.read_at(rest, offset + filled)))
    }

    fn append(&self, parts: &[&[u8]]) -> io::Result<()> {
        self.named(write_all(parts, |left| (&self.file).write_vectored(left)))
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

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: SyncSite = SyncSite("test");

    fn bytes(file: &dyn DiskFile) -> Vec<u8> {
        let mut buffer = [0; 64];
        let read = file.read_at(&mut buffer, 0).expect("it reads");
        buffer[..read].to_vec()
    }

    /// Wrong, and said with the name of the file.
    fn refused<T>(result: io::Result<T>, name: &str, kind: io::ErrorKind) -> bool {
        result.err().is_some_and(|error| error.kind() == kind && error.to_string().contains(name))
    }

    #[test]
    fn files_are_made_once_opened_where_they_are_and_listed_until_they_are_removed() {
        let root = tempfile::tempdir().expect("a folder");
        let (folder, disk) = (root.path().join("folder"), SystemDisk);
        assert!(!disk.is_dir(&folder));
        assert!(refused(disk.list(&folder), "folder", io::ErrorKind::NotFound));
        assert!(refused(disk.sync_dir(&folder, SITE), "folder", io::ErrorKind::NotFound));
        disk.create_dir(&folder).expect("it is made");
        assert!(disk.is_dir(&folder));
        assert!(refused(disk.create_dir(&folder), "folder", io::ErrorKind::AlreadyExists));
        let path = folder.join("segment");
        assert!(refused(disk.open(&path), "segment", io::ErrorKind::NotFound));
        drop(disk.create(&path).expect("it is made"));
        assert!(refused(disk.create(&path), "segment", io::ErrorKind::AlreadyExists));
        disk.open(&path).expect("it is there");
        disk.sync_dir(&folder, SITE).expect("it syncs");
        assert_eq!(disk.list(&folder).expect("it is there"), ["segment"]);
        disk.remove(&path).expect("it is there");
        assert!(disk.list(&folder).expect("it is there").is_empty());
        assert!(refused(disk.remove(&path), "segment", io::ErrorKind::NotFound));
    }

    #[test]
    fn what_is_appended_is_read_from_any_offset_up_to_the_end() {
        let root = tempfile::tempdir().expect("a folder");
        let file = SystemDisk.create(&root.path().join("segment")).expect("it is made");
        file.append(&[b"", b"one ", b"", b"two"]).expect("it appends");
        file.append(&[]).expect("nothing is appended");
        file.append(&[b"", b""]).expect("nothing is appended");
        let many: Vec<&[u8]> = vec![b"."; 3000];
        file.append(&many).expect("more parts than one call of the kernel takes");
        assert_eq!(file.size().expect("it is open"), 3007);
        file.truncate(7).expect("it is cut");
        assert_eq!(bytes(&*file), b"one two");
        let mut three = [0; 3];
        assert_eq!(file.read_at(&mut three, 4).expect("it reads"), 3);
        assert_eq!(&three, b"two");
        assert_eq!(file.read_at(&mut three, 6).expect("it reads"), 1);
        assert_eq!(file.read_at(&mut three, 7).expect("it reads"), 0);
        file.sync_data(SITE).expect("it syncs");
    }

    #[test]
    fn calls_that_a_signal_interrupts_or_that_do_a_part_are_gone_on_with_and_others_are_not() {
        let steps = |steps: Vec<io::Result<usize>>| {
            let mut steps = steps.into_iter();
            move || steps.next().expect("no more calls")
        };
        let interrupted = || Err(io::ErrorKind::Interrupted.into());
        let failed = || Err(io::Error::from(io::ErrorKind::TimedOut));
        let mut at = Vec::new();
        let mut step = steps(vec![interrupted(), Ok(2), interrupted(), Ok(1), Ok(0)]);
        let read = read_all(&mut [0; 9], |rest, filled| {
            at.push((rest.len(), filled));
            step()
        });
        assert_eq!((read.expect("it ends"), at), (3, vec![(9, 0), (9, 0), (7, 2), (7, 2), (6, 3)]));
        let mut step = steps(vec![Ok(2), failed()]);
        assert_eq!(read_all(&mut [0; 9], |_, _| step()).unwrap_err().kind(), io::ErrorKind::TimedOut);
        let written = |results| {
            let mut step = steps(results);
            write_all(&[b"one", b"", b"two"], |_| step()).map_err(|error| error.kind())
        };
        assert_eq!(written(vec![Ok(2), interrupted(), Ok(4)]), Ok(()));
        assert_eq!(written(vec![Ok(2), failed()]), Err(io::ErrorKind::TimedOut));
        assert_eq!(written(vec![Ok(2), Ok(0)]), Err(io::ErrorKind::WriteZero));
    }

    #[test]
    fn only_a_file_that_was_opened_for_it_is_written_in_place() {
        let root = tempfile::tempdir().expect("a folder");
        let path = root.path().join("reserve");
        let file = SystemDisk.open_in_place(&path).expect("it is made");
        file.write_at(b"one two", 0).expect("it is written");
        file.write_at(b"six", 4).expect("it is written");
        drop(file);
        let file = SystemDisk.open_in_place(&path).expect("it is there");
        assert_eq!(bytes(&*file), b"one six", "what was there stays");
        let appends = SystemDisk.open(&path).expect("it is there");
        assert!(refused(appends.write_at(b"x", 0), "reserve", io::ErrorKind::Unsupported));
        assert_eq!(bytes(&*file), b"one six");
    }

    #[test]
    fn a_directory_is_locked_by_one_until_it_lets_go() {
        let root = tempfile::tempdir().expect("a folder");
        let held = SystemDisk.lock(root.path()).expect("nobody has it");
        assert!(refused(SystemDisk.lock(root.path()).map(drop), "", io::ErrorKind::WouldBlock));
        assert!(SystemDisk.list(root.path()).expect("it is there").is_empty(), "no file is made for it");
        drop(held);
        assert!(SystemDisk.lock(root.path()).is_ok());
        let nowhere = root.path().join("nowhere");
        assert!(refused(SystemDisk.lock(&nowhere).map(drop), "nowhere", io::ErrorKind::NotFound));
    }
}
