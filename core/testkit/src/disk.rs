//! A disk in memory that loses what was not synced.

mod contents;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use throughline_component::port::{Disk, DiskFile, SyncSite};

use crate::Rng;
use contents::Contents;

/// A file system in memory on which a crash discards what was not synced: bytes of files, entries of directories.
#[derive(Clone, Debug, Default)]
pub struct LossyDisk {
    state: Arc<Mutex<State>>,
}

/// What is left of the unsynced after a crash.
#[derive(Clone, Debug)]
pub enum Keep {
    /// All of it: the process was killed, the machine runs on. It stays unsynced.
    All,
    /// Nothing.
    Nothing,
    /// Any part of it: some writes and not others, torn at any byte; some directory entries and not others.
    Some(Rng),
}

/// What goes wrong, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The write after so many more writes finds the disk full, halfway through, and so do all after it.
    FullAfter(u32),
    /// The sync after so many more syncs fails, once. What it was to save is lost, and counts as saved from then on.
    SyncFailsAfter(u32),
    /// Every call fails after so many more calls, as if the machine were about to go down.
    DeadAfter(u32),
    /// What lies in files cannot be read.
    ReadsFail,
    /// No file can be removed.
    RemovesFail,
}

/// What becomes of a file behind the back of who uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// It is removed.
    Gone,
    /// It ends here.
    Cut(usize),
    /// All of it is zeros.
    Zeros,
}

#[derive(Debug, Default)]
struct State {
    /// What the process sees.
    entries: BTreeMap<PathBuf, Node>,
    /// What is on the disk.
    durable: BTreeMap<PathBuf, Node>,
    /// What was done to directories since they were synced, in order.
    unsynced: Vec<(PathBuf, Option<Node>)>,
    files: Vec<Contents>,
    locks: BTreeSet<PathBuf>,
    skip: Option<SyncSite>,
    fault: Option<Fault>,
    limit: Option<usize>,
    syncs: BTreeMap<SyncSite, u64>,
    /// How many bytes were read.
    read: u64,
    /// Counts crashes: handles and locks from before one are dead.
    age: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Directory,
    File(usize),
}

impl LossyDisk {
    /// Leaves out every sync of `site` from now on, and says that it was done.
    pub fn skip(&self, site: SyncSite) {
        self.lock_state().skip = Some(site);
    }

    /// Sets or clears what goes wrong.
    pub fn fail(&self, fault: Option<Fault>) {
        self.lock_state().fault = fault;
    }

    /// How many bytes all files together may have; who writes more finds the disk full.
    pub fn limit(&self, bytes: Option<usize>) {
        self.lock_state().limit = bytes;
    }

    /// Removes a file behind the back of who uses it, or cuts it, or writes zeros over it: on the disk itself.
    pub fn damage(&self, path: &Path, damage: Damage) {
        let mut state = self.lock_state();
        let Some(Node::File(file)) = state.entries.get(path).copied() else { return };
        match damage {
            Damage::Gone => {
                state.entries.remove(path);
                state.durable.remove(path);
                state.unsynced.retain(|(changed, _)| changed != path);
            }
            Damage::Cut(size) => state.files[file].cut(size),
            Damage::Zeros => state.files[file].zero(),
        }
    }

    /// How often each site was synced.
    pub fn syncs(&self) -> BTreeMap<SyncSite, u64> {
        self.lock_state().syncs.clone()
    }

    /// How many bytes of files were read.
    pub fn read(&self) -> u64 {
        self.lock_state().read
    }

    /// The end of the process, and if `keep` says so, of the machine. Handles from before are dead, locks are gone.
    pub fn crash(&self, keep: Keep) {
        let mut state = self.lock_state();
        let state = &mut *state;
        state.age += 1;
        state.locks.clear();
        state.fault = None;
        let mut rng = match keep {
            Keep::All => return,
            Keep::Nothing => None,
            Keep::Some(rng) => Some(rng),
        };
        for (path, node) in std::mem::take(&mut state.unsynced) {
            if rng.as_mut().is_some_and(|rng| rng.once_in(2)) {
                apply(&mut state.durable, path, node);
            }
        }
        let there: BTreeSet<PathBuf> = state.durable.keys().cloned().collect();
        let reachable = |path: &Path| path.ancestors().skip(1).all(|up| is_root(up) || there.contains(up));
        state.durable.retain(|path, _| reachable(path));
        state.entries = state.durable.clone();
        for file in &mut state.files {
            file.crash(rng.as_mut());
        }
    }

    /// Flips one bit of a file, on the disk itself.
    pub fn flip(&self, path: &Path, byte: usize, bit: u8) {
        let mut state = self.lock_state();
        if let Some(Node::File(file)) = state.entries.get(path).copied() {
            state.files[file].flip(byte, bit);
        }
    }

    /// What is in a file.
    pub fn contents(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.lock_state();
        match state.entries.get(path)? {
            Node::File(file) => Some(state.files[*file].bytes().to_vec()),
            Node::Directory => None,
        }
    }

    /// Puts a file there, on the disk itself.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.lock_state();
        let mut contents = Contents::default();
        contents.append(bytes);
        contents.sync();
        let file = state.files.len();
        state.files.push(contents);
        state.entries.insert(path.to_owned(), Node::File(file));
        state.durable.insert(path.to_owned(), Node::File(file));
    }

    /// All files and their sizes.
    pub fn files(&self) -> BTreeMap<PathBuf, usize> {
        let state = self.lock_state();
        let size = |node: &Node| match node {
            Node::Directory => None,
            Node::File(file) => Some(state.files[*file].bytes().len()),
        };
        state.entries.iter().filter_map(|(path, node)| Some((path.clone(), size(node)?))).collect()
    }

    fn lock_state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, file: usize, age: u64) -> Box<dyn DiskFile> {
        Box::new(Handle { disk: self.clone(), file, age })
    }
}

impl State {
    fn set(&mut self, path: &Path, node: Option<Node>) {
        apply(&mut self.entries, path.to_owned(), node);
        self.unsynced.push((path.to_owned(), node));
    }

    /// Counts a call; an error if the machine is dead by now.
    fn call(&mut self) -> io::Result<()> {
        match &mut self.fault {
            Some(Fault::DeadAfter(0)) => Err(io::Error::other("the machine is going down")),
            Some(Fault::DeadAfter(left)) => {
                *left -= 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// How many bytes more the disk takes.
    fn room(&self) -> usize {
        let Some(limit) = self.limit else { return usize::MAX };
        let size = |node: &Node| match node {
            Node::Directory => 0,
            Node::File(file) => self.files[*file].bytes().len(),
        };
        limit.saturating_sub(self.entries.values().map(size).sum())
    }

    fn is_full(&mut self) -> bool {
        match &mut self.fault {
            Some(Fault::FullAfter(0)) => true,
            Some(Fault::FullAfter(left)) => {
                *left -= 1;
                false
            }
            _ => false,
        }
    }

    /// Counts a sync. `Ok(false)`: it is left out.
    fn sync(&mut self, site: SyncSite) -> io::Result<bool> {
        self.call()?;
        *self.syncs.entry(site).or_default() += 1;
        if self.skip == Some(site) {
            return Ok(false);
        }
        match &mut self.fault {
            Some(Fault::SyncFailsAfter(0)) => {
                self.fault = None;
                Err(io::Error::from_raw_os_error(5)) // EIO
            }
            Some(Fault::SyncFailsAfter(left)) => {
                *left -= 1;
                Ok(true)
            }
            _ => Ok(true),
        }
    }
}

fn apply(entries: &mut BTreeMap<PathBuf, Node>, path: PathBuf, node: Option<Node>) {
    match node {
        Some(node) => drop(entries.insert(path, node)),
        None => drop(entries.remove(&path)),
    }
}

fn is_root(path: &Path) -> bool {
    path.parent().is_none() || path.as_os_str().is_empty()
}

impl Disk for LossyDisk {
    fn is_dir(&self, path: &Path) -> bool {
        is_root(path) || self.lock_state().entries.get(path) == Some(&Node::Directory)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock_state();
        state.call()?;
        if state.entries.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.set(path, Some(Node::Directory));
        Ok(())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let mut state = self.lock_state();
        state.call()?;
        let files = state
            .entries
            .iter()
            .filter(|(path, node)| path.parent() == Some(directory) && **node != Node::Directory);
        Ok(files.filter_map(|(path, _)| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.lock_state();
        state.call()?;
        if state.entries.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if state.is_full() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = state.files.len();
        state.files.push(Contents::default());
        state.set(path, Some(Node::File(file)));
        Ok(self.handle(file, state.age))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.lock_state();
        state.call()?;
        match state.entries.get(path) {
            Some(Node::File(file)) => Ok(self.handle(*file, state.age)),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn open_in_place(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        match self.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.create(path),
            opened => opened,
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock_state();
        state.call()?;
        if !state.entries.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if state.fault == Some(Fault::RemovesFail) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        state.set(path, None);
        Ok(())
    }

    fn sync_dir(&self, directory: &Path, site: SyncSite) -> io::Result<()> {
        let mut state = self.lock_state();
        let synced = state.sync(site);
        if matches!(synced, Ok(false)) {
            return Ok(());
        }
        let here = |path: &Path| path.parent() == Some(directory);
        let (done, left) = std::mem::take(&mut state.unsynced).into_iter().partition(|(path, _)| here(path));
        state.unsynced = left;
        let done: Vec<(PathBuf, Option<Node>)> = done;
        if synced.is_ok() {
            done.into_iter().for_each(|(path, node)| apply(&mut state.durable, path, node));
        }
        synced.map(drop)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let mut state = self.lock_state();
        state.call()?;
        if !state.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Lock { disk: self.clone(), path: path.to_owned(), age: state.age }))
    }
}

struct Lock {
    disk: LossyDisk,
    path: PathBuf,
    age: u64,
}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut state = self.disk.lock_state();
        if state.age == self.age {
            state.locks.remove(&self.path);
        }
    }
}

struct Handle {
    disk: LossyDisk,
    file: usize,
    age: u64,
}

impl Handle {
    fn live(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.disk.lock_state();
        if state.age != self.age {
            return Err(io::Error::other("this handle is from before the crash"));
        }
        state.call()?;
        Ok(state)
    }
}

impl DiskFile for Handle {
    fn size(&self) -> io::Result<u64> {
        Ok(self.live()?.files[self.file].bytes().len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.live()?;
        if state.fault == Some(Fault::ReadsFail) {
            return Err(io::Error::from_raw_os_error(5)); // EIO
        }
        let bytes = state.files[self.file].bytes();
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let read = buffer.len().min(bytes.len() - from);
        buffer[..read].copy_from_slice(&bytes[from..from + read]);
        state.read += read as u64;
        Ok(read)
    }

    fn append(&self, parts: &[&[u8]]) -> io::Result<()> {
        let bytes = parts.concat();
        let mut state = self.live()?;
        let room = state.room();
        if room < bytes.len() || state.is_full() {
            let some = room.min(bytes.len() / 2);
            state.files[self.file].append(&bytes[..some]);
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.files[self.file].append(&bytes);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.live()?;
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        let size = state.files[self.file].bytes().len();
        let grows = at.saturating_add(bytes.len()).saturating_sub(size);
        if grows > 0 && (grows > state.room() || state.is_full()) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.files[self.file].write_at(at, bytes);
        Ok(())
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.live()?.files[self.file].truncate(usize::try_from(size).unwrap_or(usize::MAX));
        Ok(())
    }

    fn sync_data(&self, site: SyncSite) -> io::Result<()> {
        let mut state = self.live()?;
        match state.sync(site) {
            Ok(true) => state.files[self.file].sync(),
            Ok(false) => {}
            Err(error) => {
                state.files[self.file].lose();
                return Err(error);
            }
        }
        Ok(())
    }
}
