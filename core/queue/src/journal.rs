//! A journal: entries that are appended, until a snapshot in a new file replaces them.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use throughline_component::port::{Disk, DiskFile, SyncSite};

use crate::frame::{Head, Kind};
use crate::manifest::foreign;
use crate::name::{generation, parse_generation};
use crate::ports::Ports;
use crate::scan::{Found, Scanner};
use crate::settings::Settings;

/// What a journal is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JournalKind {
    /// How often every entry is written: with two, no single place costs one.
    pub(crate) copies: usize,
    /// Under which names it syncs.
    pub(crate) data: SyncSite,
    pub(crate) snapshot_data: SyncSite,
    pub(crate) snapshot_directory: SyncSite,
}

/// One generation of a journal, open for appending.
pub(crate) struct JournalFile {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    syncs: bool,
    sort: JournalKind,
    stem: String,
    name: String,
    generation: u64,
    /// The newest number that was tried; a failed try may still turn up after a crash.
    newest: u64,
    /// Of this generation, and of those to come.
    salt: u32,
    next_salt: u32,
    file: Box<dyn DiskFile>,
    /// How many entries it has.
    count: u64,
    /// How much of the file is known to be good, and how much of that is the snapshot.
    good: u64,
    snapshot: u64,
    /// The same for those who must not wait for the disk.
    size: Arc<AtomicU64>,
    /// Nothing may be appended behind what is good: a write or sync failed, or it is from before.
    failed: bool,
    /// Older generations, which go once there is a new one.
    old: Vec<PathBuf>,
}

/// What a journal held.
pub(crate) struct JournalContents {
    pub(crate) entries: Vec<Bytes>,
    /// What is wrong with it, if something is. Then entries may be missing.
    pub(crate) trouble: Option<String>,
    /// It ends in the middle of an entry.
    pub(crate) torn: bool,
    /// How many places were passed over since what stood there was damaged, while no entry is missing.
    pub(crate) damaged: u64,
}

/// What was read of a file.
#[derive(Default)]
struct Read {
    entries: BTreeMap<u64, Bytes>,
    /// How many entries the snapshot has, if its end was found.
    snapshot: Option<u64>,
    name: Option<Bytes>,
    good: u64,
    torn: bool,
    damaged: u64,
}

impl JournalFile {
    /// Reads a journal, and says what it holds. Nothing is written yet: what is appended first goes to a new generation,
    /// since the end of a file from before may be torn. `known` is the newest generation that is known to have been
    /// whole, zero if there was none, and nothing if that is not known; `end` how long it was at least, and in which generation.
    pub(crate) fn open(
        ports: &Ports,
        settings: &Settings,
        sort: JournalKind,
        (stem, name): (&str, &str),
        (known, end): (Option<u64>, Option<(u64, u64)>),
    ) -> io::Result<(Self, JournalContents)> {
        let (disk, directory) = (&ports.disk, &settings.directory);
        let files = disk.list(directory)?;
        let mut generations: Vec<(u64, u32)> =
            files.iter().filter_map(|file| parse_generation(stem, file)).collect();
        generations.sort_unstable();
        // The newest that is whole; a younger one was being written when the end came, and nothing was appended to it.
        let mut found: Option<(u64, u32, Read)> = None;
        for (number, salt) in generations.iter().rev() {
            let path = directory.join(generation(stem, *number, *salt));
            let read = read(disk.open(&path)?, *salt, None).map_err(|error| match error.kind() {
                io::ErrorKind::InvalidData => foreign(&path),
                _ => error,
            })?;
            let whole = read.snapshot.is_some();
            if whole || found.as_ref().is_none_or(|(_, _, best)| best.entries.is_empty()) {
                found = Some((*number, *salt, read));
            }
            if whole {
                break;
            }
        }
        let trouble = trouble(name, found.as_ref(), known, sort.copies == 1 && settings.syncs());
        // How long it was when that was noted last. Another generation says nothing of this one.
        let cut = found
            .as_ref()
            .zip(end)
            .is_some_and(|((number, _, read), (generation, end))| *number == generation && read.good < end);
        let at = found.as_ref().map_or_else(|| stem.to_owned(), |(n, salt, _)| generation(stem, *n, *salt));
        let at = directory.join(at).display().to_string();
        let (torn, damaged) =
            found.as_ref().map_or((false, 0), |(_, _, read)| (read.torn || cut, read.damaged));
        // What of the cursors is written twice may be lost at the end, and then more is delivered again.
        let is_tolerant = sort.copies > 1;
        let trouble = trouble.or_else(|| (cut && !is_tolerant).then(|| "it is shorter than it was".into()));
        let trouble = trouble.map(|why| format!("{at}: {why}"));
        if trouble.is_none() {
            let is_nameless = found.as_ref().is_some_and(|(_, _, read)| read.name.is_none());
            say(&at, (cut, torn), (is_nameless, damaged));
        }
        let newest = generations.last().map_or(0, |(number, _)| *number).max(known.unwrap_or_default());
        let path = |(number, salt): &(u64, u32)| directory.join(generation(stem, *number, *salt));
        let (current, salt, read) = found.unwrap_or_default();
        let journal = Self {
            disk: Arc::clone(disk),
            directory: directory.clone(),
            syncs: settings.syncs(),
            sort,
            stem: stem.to_owned(),
            name: name.to_owned(),
            generation: current,
            newest,
            salt,
            next_salt: ports.salt(),
            file: Box::new(Nothing),
            count: 0,
            good: read.good,
            snapshot: 0,
            size: Arc::new(AtomicU64::new(read.good)),
            failed: true,
            old: generations.iter().map(path).collect(),
        };
        let entries = read.entries.into_values().collect();
        Ok((journal, JournalContents { entries, trouble, torn, damaged }))
    }

    /// How many bytes are in the file that are good.
    pub(crate) fn size(&self) -> u64 {
        self.good
    }

    pub(crate) fn stem(&self) -> &str {
        &self.stem
    }

    /// Whether it would become much smaller if it were written anew.
    pub(crate) fn is_wasteful(&self) -> bool {
        self.good > self.snapshot.saturating_mul(2)
    }

    /// Whether what comes next goes to a new generation.
    pub(crate) fn is_to_be_replaced(&self) -> bool {
        self.failed
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// The size, to be looked up while the file is being written to.
    pub(crate) fn watch_size(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.size)
    }

    /// Appends entries; if `sync`, they are on the disk when this returns. Where the disk fails, they go to a new
    /// generation together with what was known to be good: a failed sync is never tried again on the same file.
    pub(crate) fn append(&mut self, entries: &[Bytes], sync: bool) -> io::Result<()> {
        if !self.failed {
            let mut buffer = Vec::new();
            self.frames(&mut buffer, self.salt, self.count, entries);
            let data = self.sort.data;
            let synced = |file: &dyn DiskFile| if sync && self.syncs { file.sync_data(data) } else { Ok(()) };
            if self.file.append(&[&buffer]).and_then(|()| synced(&*self.file)).is_ok() {
                self.count += entries.len() as u64;
                self.good += buffer.len() as u64;
                self.size.store(self.good, Ordering::Relaxed);
                return Ok(());
            }
            self.failed = true;
        }
        let mut all = Vec::new();
        if self.generation > 0 {
            let before = read(self.disk.open(&self.path())?, self.salt, Some(self.good))?;
            all.extend(before.entries.into_values());
        }
        all.extend_from_slice(entries);
        self.compact(&all)
    }

    /// Replaces everything by a snapshot, which is on the disk when this returns.
    pub(crate) fn compact(&mut self, snapshot: &[Bytes]) -> io::Result<()> {
        if self.old.is_empty() {
            // There is none before the first, and no harm in that.
            self.old.push(self.path());
        }
        self.replace(snapshot)?;
        for path in self.old.drain(..) {
            // What cannot be removed now is older than the newest, and so never read again.
            drop(self.disk.remove(&path));
        }
        Ok(())
    }

    fn path(&self) -> PathBuf {
        self.directory.join(generation(&self.stem, self.generation, self.salt))
    }

    /// The frames of entries with numbers from `first` on: all of them, and where there are copies, all of them again.
    fn frames(&self, out: &mut Vec<u8>, salt: u32, first: u64, entries: &[Bytes]) {
        for _ in 0..self.sort.copies {
            for (sequence, entry) in (first..).zip(entries) {
                Head { sequence, ..Head::of(Kind::Entry) }.write(out, salt, entry);
            }
        }
    }

    fn replace(&mut self, entries: &[Bytes]) -> io::Result<()> {
        self.newest += 1;
        // A salt of its own is not needed: the old file is gone before anybody looks for the new one.
        let (number, salt, count) = (self.newest, self.next_salt, entries.len() as u64);
        let path = self.directory.join(generation(&self.stem, number, salt));
        let mut buffer = Vec::new();
        Head::of(Kind::Name).write(&mut buffer, salt, self.name.as_bytes());
        self.frames(&mut buffer, salt, 0, entries);
        for _ in 0..self.sort.copies {
            Head { sequence: count, ..Head::of(Kind::Whole) }.write(&mut buffer, salt, &[]);
        }
        let file = self.disk.create(&path).inspect_err(|_| self.failed = true)?;
        let written = file.append(&[&buffer]).and_then(|()| {
            if self.syncs {
                file.sync_data(self.sort.snapshot_data)?;
                self.disk.sync_dir(&self.directory, self.sort.snapshot_directory)?;
            }
            Ok(())
        });
        if let Err(error) = written {
            // It may turn up whole after a crash, and would then be taken for the newest: nothing more goes to an older one.
            self.failed = true;
            drop(self.disk.remove(&path));
            return Err(error);
        }
        (self.file, self.generation, self.salt, self.failed) = (file, number, salt, false);
        (self.good, self.snapshot, self.count) = (buffer.len() as u64, buffer.len() as u64, count);
        self.size.store(self.good, Ordering::Relaxed);
        Ok(())
    }
}

/// Why what was found is not all that there was.
fn trouble(
    name: &str,
    found: Option<&(u64, u32, Read)>,
    known: Option<u64>,
    appended_matters: bool,
) -> Option<String> {
    let Some((number, _, read)) = found else {
        return known.filter(|known| *known > 0).map(|_| "it was there, and is gone".into());
    };
    let Some(snapshot) = read.snapshot else {
        // The first one was being written when the end came.
        return (known != Some(0)).then(|| "it is damaged".into());
    };
    if known.is_some_and(|known| *number < known) {
        return Some("it is older than the one that was there".into());
    }
    if let Some(other) = read.name.as_ref().filter(|other| ***other != *name.as_bytes()) {
        return Some(format!("it belongs to `{}`", String::from_utf8_lossy(other)));
    }
    let count = read.entries.len() as u64;
    let has_snapshot = read.entries.range(..snapshot).count() as u64 == snapshot;
    let has_all = read.entries.last_key_value().is_none_or(|(last, _)| *last + 1 == count);
    (!has_snapshot || (appended_matters && !has_all)).then(|| "it is damaged".into())
}

/// Says what is wrong with a file of which nothing is missing that must be there.
fn say(file: &str, (is_cut, is_torn): (bool, bool), (is_nameless, damaged): (bool, u64)) {
    if is_cut {
        tracing::error!(
            file,
            "the cursors are shorter than they were: some data is delivered again. Somebody cut the file, or the machine lost its power"
        );
    } else if is_torn {
        tracing::warn!(
            file,
            "the file ends in the middle of an entry, as after a crash; what was acknowledged is whole unless somebody cut it"
        );
    }
    if is_nameless && damaged > 0 {
        tracing::warn!(
            file,
            damaged,
            "the first frame of the file is damaged; all entries are there, and it is used"
        );
    } else if damaged > 0 {
        tracing::warn!(
            file,
            damaged,
            "damaged places of the file were passed over; nothing that is known is missing"
        );
    }
}

/// Reads a file, up to `end` if that is known.
fn read(file: Box<dyn DiskFile>, salt: u32, end: Option<u64>) -> io::Result<Read> {
    let end = end.map_or_else(|| file.size(), Ok)?;
    let (mut scanner, mut read) = (Scanner::new(file, salt), Read::default());
    loop {
        match scanner.next(end)? {
            Found::Frame(head, body, at) => {
                match head.kind {
                    Kind::Entry => drop(read.entries.insert(head.sequence, body)),
                    Kind::Whole => read.snapshot = Some(head.sequence),
                    Kind::Name => read.name = Some(body),
                    Kind::Record | Kind::Footer | Kind::Manifest => {}
                }
                read.good = at;
            }
            Found::Bad => read.damaged += 1,
            Found::End(_) if read.name.is_none() && scanner.is_foreign()? => {
                return Err(io::ErrorKind::InvalidData.into());
            }
            Found::End(at) => {
                read.torn = at < end;
                return Ok(read);
            }
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
    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn truncate(&self, _: u64) -> io::Result<()> {
        Ok(())
    }
    fn sync_data(&self, _: SyncSite) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
