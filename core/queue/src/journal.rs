//! A journal: entries that are appended, until a snapshot in a new file replaces them.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use throughline_component::port::{Disk, DiskFile, SyncSite};

use crate::frame::{Head, Kind};
use crate::log::Ports;
use crate::name::{generation, parse_generation};
use crate::scan::{Found, Scanner};
use crate::settings::Settings;

/// Which syncs a journal does under which names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sites {
    pub(crate) data: SyncSite,
    pub(crate) snapshot_data: SyncSite,
    pub(crate) snapshot_directory: SyncSite,
}

/// One generation of a journal, open for appending.
pub(crate) struct JournalFile {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    syncs: bool,
    sites: Sites,
    stem: String,
    name: String,
    generation: u64,
    /// The newest number that was tried; a failed try may still turn up after a crash.
    newest: u64,
    salt: u32,
    file: Box<dyn DiskFile>,
    /// How much of the file is known to be good.
    good: u64,
    /// The same for those who must not wait for the disk.
    size: Arc<AtomicU64>,
    /// A write or sync failed: nothing may be appended behind what is good.
    failed: bool,
}

impl JournalFile {
    /// Opens a journal, and says what it holds. That is written to a new generation at once: nothing is ever appended
    /// to a file whose end may be torn.
    pub(crate) fn open(
        ports: &Ports,
        settings: &Settings,
        sites: Sites,
        stem: &str,
        name: &str,
    ) -> io::Result<(Self, Vec<Bytes>)> {
        let (disk, directory) = (&ports.disk, &settings.directory);
        let files = disk.list(directory)?;
        let mut generations: Vec<(u64, u32)> =
            files.iter().filter_map(|file| parse_generation(stem, file)).collect();
        generations.sort_unstable();
        let mut held = Vec::new();
        // The newest that is whole; a younger one was being written when the end came, and nothing was appended to it.
        for (number, salt) in generations.iter().rev() {
            let file = disk.open(&directory.join(generation(stem, *number, *salt)))?;
            let end = file.size()?;
            let (entries, whole) = read(file, *salt, end)?;
            if whole || held.is_empty() {
                held = entries;
            }
            if whole {
                break;
            }
        }
        let newest = generations.last().map_or(0, |(number, _)| *number);
        let mut journal = Self {
            disk: Arc::clone(disk),
            directory: directory.clone(),
            syncs: settings.syncs(),
            sites,
            stem: stem.to_owned(),
            name: name.to_owned(),
            generation: newest,
            newest,
            salt: ports.salt(),
            file: Box::new(Nothing),
            good: 0,
            size: Arc::default(),
            failed: false,
        };
        journal.replace(&held)?;
        for (number, salt) in generations {
            // What cannot be removed now is older than the newest, and so never read again.
            drop(journal.disk.remove(&journal.directory.join(generation(stem, number, salt))));
        }
        Ok((journal, held))
    }

    /// How many bytes are in the file.
    pub(crate) fn size(&self) -> u64 {
        self.good
    }

    /// The size, to be looked up while the file is being written to.
    pub(crate) fn watch_size(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.size)
    }

    /// Appends entries; if `sync`, they are on the disk when this returns. Where the disk fails, they go to a new
    /// generation together with what was known to be good: a failed sync is never tried again on the same file.
    pub(crate) fn append(&mut self, entries: &[Bytes], sync: bool) -> io::Result<()> {
        let mut buffer = Vec::new();
        entries.iter().for_each(|entry| Head::of(Kind::Entry).write(&mut buffer, self.salt, entry));
        if !self.failed {
            let data = self.sites.data;
            let synced = |file: &dyn DiskFile| if sync && self.syncs { file.sync_data(data) } else { Ok(()) };
            if self.file.append(&[&buffer]).and_then(|()| synced(&*self.file)).is_ok() {
                self.good += buffer.len() as u64;
                self.size.store(self.good, Ordering::Relaxed);
                return Ok(());
            }
            self.failed = true;
        }
        let path = self.path();
        let (mut all, _) = read(self.disk.open(&path)?, self.salt, self.good)?;
        all.extend_from_slice(entries);
        self.replace(&all)?;
        drop(self.disk.remove(&path));
        Ok(())
    }

    /// Replaces everything by a snapshot, which is on the disk when this returns.
    pub(crate) fn compact(&mut self, snapshot: &[Bytes]) -> io::Result<()> {
        let old = self.path();
        self.replace(snapshot)?;
        drop(self.disk.remove(&old));
        Ok(())
    }

    fn path(&self) -> PathBuf {
        self.directory.join(generation(&self.stem, self.generation, self.salt))
    }

    fn replace(&mut self, entries: &[Bytes]) -> io::Result<()> {
        self.newest += 1;
        let number = self.newest;
        // A salt of its own is not needed: the old file is gone before anybody looks for the new one.
        let path = self.directory.join(generation(&self.stem, number, self.salt));
        let mut buffer = Vec::new();
        Head::of(Kind::Name).write(&mut buffer, self.salt, self.name.as_bytes());
        entries.iter().for_each(|entry| Head::of(Kind::Entry).write(&mut buffer, self.salt, entry));
        Head::of(Kind::Whole).write(&mut buffer, self.salt, &[]);
        let file = self.disk.create(&path).inspect_err(|_| self.failed = true)?;
        let written = file.append(&[&buffer]).and_then(|()| {
            if self.syncs {
                file.sync_data(self.sites.snapshot_data)?;
                self.disk.sync_dir(&self.directory, self.sites.snapshot_directory)?;
            }
            Ok(())
        });
        if let Err(error) = written {
            // It may turn up whole after a crash, and would then be taken for the newest: nothing more goes to an older one.
            self.failed = true;
            drop(self.disk.remove(&path));
            return Err(error);
        }
        (self.file, self.generation, self.good, self.failed) = (file, number, buffer.len() as u64, false);
        self.size.store(self.good, Ordering::Relaxed);
        Ok(())
    }
}

/// The entries of a file up to `end`, and whether its snapshot is whole.
fn read(file: Box<dyn DiskFile>, salt: u32, end: u64) -> io::Result<(Vec<Bytes>, bool)> {
    let (mut scanner, mut entries, mut whole) = (Scanner::new(file, salt), Vec::new(), false);
    loop {
        match scanner.next(end)? {
            Found::Frame(head, body, _) => match head.kind {
                Kind::Entry => entries.push(body),
                Kind::Whole => whole = true,
                Kind::Name | Kind::Record | Kind::Footer => {}
            },
            Found::Bad => tracing::warn!("a damaged entry of a journal was passed over"),
            Found::End(_) => return Ok((entries, whole)),
        }
    }
}

/// Stands in until the first generation is written.
struct Nothing;

impl DiskFile for Nothing {
    fn size(&self) -> io::Result<u64> {
        Ok(0)
    }
    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        Ok(0)
    }
    fn append(&self, _: &[&[u8]]) -> io::Result<()> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn truncate(&self, _: u64) -> io::Result<()> {
        Ok(())
    }
    fn sync_data(&self, _: SyncSite) -> io::Result<()> {
        Ok(())
    }
}
