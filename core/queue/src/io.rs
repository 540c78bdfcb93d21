//! What only the holder of the disk touches.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use throughline_component::Warnings;
use throughline_component::port::Disk;

use crate::commit::Writers;
use crate::entry::Entry;
use crate::journal::JournalFile;
use crate::manifest::Manifest;
use crate::name::number;
use crate::ports::Ports;
use crate::reserve::Reserve;
use crate::settings::Settings;

/// The stem of the file of all cursors.
pub(crate) const CURSORS: &str = "cursors";
/// How often it is noted which records are on the disk, in nanoseconds.
const NOTE: u64 = 1_000_000_000;

/// The files that are written to.
pub(crate) struct Io {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) writers: Writers,
    pub(crate) journals: BTreeMap<u64, JournalFile>,
    pub(crate) cursors: JournalFile,
    pub(crate) manifest: Manifest,
    pub(crate) reserve: Reserve,
    /// When it may be noted again which records are on the disk, and whether there is something to note.
    next_note: u64,
    unnoted: bool,
    pub(crate) warnings: Warnings,
    /// Under which it is warned of this storage.
    part: String,
}

impl Io {
    pub(crate) fn new(ports: &Ports, settings: &Settings, cursors: JournalFile, manifest: Manifest) -> Self {
        Self {
            disk: Arc::clone(&ports.disk),
            writers: Writers::default(),
            journals: BTreeMap::new(),
            cursors,
            manifest,
            reserve: Reserve::open(&*ports.disk, settings),
            next_note: 0,
            unnoted: false,
            warnings: Warnings::new(Arc::clone(&ports.clock)),
            part: format!("storage {}", settings.directory.display()),
        }
    }

    /// Does what must not fail for want of room, twice if there is a reserve to be given up for it.
    fn insist(&mut self, mut what: impl FnMut(&mut Self) -> io::Result<()>) -> io::Result<()> {
        match what(self) {
            Err(error) if is_full(&error) && self.reserve.give_up(&*Arc::clone(&self.disk)) => what(self),
            done => done,
        }
    }

    /// Writes the cursors' file anew.
    pub(crate) fn replace_cursors(&mut self, all: &[Entry]) -> io::Result<()> {
        let all = encoded(all);
        self.insist(|io| io.cursors.compact(&all))?;
        self.note_cursors();
        self.note(number(CURSORS), self.cursors.generation());
        Ok(())
    }

    pub(crate) fn append_cursors(&mut self, entries: &[Entry], sync: bool) -> io::Result<()> {
        let entries = encoded(entries);
        self.insist(|io| io.cursors.append(&entries, sync))?;
        self.note_cursors();
        self.note(number(CURSORS), self.cursors.generation());
        Ok(())
    }

    /// Appends to the journal of this number.
    pub(crate) fn append_journal(&mut self, journal: u64, entries: &[Bytes]) -> io::Result<()> {
        self.insist(|io| io.journal(journal)?.append(entries, true))?;
        self.note_journal(journal)
    }

    /// Replaces what is in the journal of this number.
    pub(crate) fn compact_journal(&mut self, journal: u64, snapshot: &Bytes) -> io::Result<()> {
        self.insist(|io| io.journal(journal)?.compact(std::slice::from_ref(snapshot)))?;
        self.note_journal(journal)
    }

    /// Remembers how long a journal is; it is in the manifest with the next write or [note](Self::note_committed), and what is cut from
    /// the journal later is missed.
    pub(crate) fn note_end(&mut self, journal: u64) {
        if let Some(file) = self.journals.get(&journal) {
            self.manifest.known.ends.insert(number(file.stem()), (file.generation(), file.size()));
            self.unnoted = true;
        }
    }

    /// Remembers how long the cursors' file is. What was not synced is lost with the machine's power: that it is shorter then is
    /// said, and costs no more than that data is delivered again.
    fn note_cursors(&mut self) {
        self.manifest.known.ends.insert(number(CURSORS), (self.cursors.generation(), self.cursors.size()));
        self.unnoted = true;
    }

    /// A record of a stream is on the disk.
    pub(crate) fn committed(&mut self, stream: u64, last: u64) {
        self.manifest.known.committed(stream, last);
        self.unnoted = true;
    }

    /// Notes in the manifest which records and journal entries are on the disk, once a second, so that what is cut from the newest
    /// segment, or from a journal, after the process was killed is missed. If that fails, it is tried again a second later.
    pub(crate) fn note_committed(&mut self, now: u64) {
        if self.unnoted && now >= self.next_note {
            self.next_note = now.saturating_add(NOTE);
            self.unnoted = self.manifest.note().is_err();
        }
    }

    /// When there is something to note even if nothing else comes.
    pub(crate) fn next_look(&self) -> u64 {
        if self.unnoted { self.next_note } else { u64::MAX }
    }

    /// Writes the manifest. Where files are written over in place this needs no room.
    pub(crate) fn write_manifest(&mut self) -> io::Result<()> {
        self.insist(|io| io.manifest.write())
    }

    /// Says that the disk failed, once a minute with a count.
    pub(crate) fn failed(&self, what: &'static str, error: &io::Error) {
        self.warnings.error(&self.part, what, &error.to_string());
    }

    fn journal(&mut self, journal: u64) -> io::Result<&mut JournalFile> {
        self.journals.get_mut(&journal).ok_or_else(|| io::Error::other("the journal is closed"))
    }

    fn note_journal(&mut self, journal: u64) -> io::Result<()> {
        let file = self.journal(journal)?;
        let (stem, generation) = (number(file.stem()), file.generation());
        self.note(stem, generation);
        Ok(())
    }

    /// Sees to it that the manifest knows the newest generation, so that an older one is not taken for it.
    fn note(&mut self, stem: u64, generation: u64) {
        if self.manifest.known.renewed(stem, generation)
            && let Err(error) = self.write_manifest()
        {
            self.failed("the manifest cannot be written; what is newest stands in there later", &error);
        }
    }
}

pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::WriteZero
    )
}

fn encoded(entries: &[Entry]) -> Vec<Bytes> {
    entries.iter().map(|entry| entry.write().into()).collect()
}
