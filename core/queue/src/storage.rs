//! A log that is opened when it is first needed, and the journals in it.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use throughline_component::port::{Journal, Journals, Opened, StoreError};
use throughline_component::{ComponentId, Settle};

use crate::io::{Io, is_full};
use crate::journal::{JournalContents, JournalFile, JournalKind};
use crate::log::Log;
use crate::name::{number, parse_generation};
use crate::ports::Ports;
use crate::shared::Shared;
use crate::state::Task;
use crate::{Settings, sites};

const KIND: JournalKind = JournalKind {
    copies: 1,
    data: sites::JOURNAL_DATA,
    snapshot_data: sites::JOURNAL_SNAPSHOT_DATA,
    snapshot_directory: sites::JOURNAL_SNAPSHOT_DIRECTORY,
};

/// One storage. Building it opens nothing, so that a configuration can be checked beside an agent that runs.
pub struct Storage {
    ports: Ports,
    settings: Mutex<Settings>,
    log: Mutex<Option<Arc<Log>>>,
}

impl Storage {
    /// A storage that is not open yet.
    pub fn new(ports: Ports, settings: Settings) -> Self {
        Self { ports, settings: Mutex::new(settings), log: Mutex::new(None) }
    }

    /// What it is opened with.
    pub fn settings(&self) -> Settings {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes over other settings. If the log is open, says whether all of them could change, see [`Log::adjust`].
    pub fn adjust(&self, settings: Settings) -> bool {
        let slot = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(
            &mut *self.settings.lock().unwrap_or_else(PoisonError::into_inner),
            settings.clone(),
        );
        let Some(log) = &*slot else { return true };
        log.adjust(&settings);
        before.durability == settings.durability
    }

    /// The log, opened by the first who asks. This blocks.
    ///
    /// # Errors
    /// As [`Log::open`]; the next call tries again.
    pub fn log(&self) -> Result<Arc<Log>, StoreError> {
        let mut slot = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(log) = &*slot {
            return Ok(Arc::clone(log));
        }
        let log = Arc::new(Log::open(self.ports.clone(), self.settings())?);
        *slot = Some(Arc::clone(&log));
        Ok(log)
    }
}

impl Journals for Storage {
    fn open(&self, id: &ComponentId) -> Result<Opened, StoreError> {
        self.log()?.journal(id)
    }
}

impl Log {
    /// Opens the journal of a component. This blocks.
    ///
    /// # Errors
    /// It is open already, or the disk fails.
    pub fn journal(&self, id: &ComponentId) -> Result<Opened, StoreError> {
        let shared = self.shared();
        let name = id.as_str();
        // It may have been closed a moment ago.
        shared.flush_group();
        let mut io = shared.io();
        if !shared.state().open_journal(name) {
            return Err(StoreError(format!("the journal of {id} is open already")));
        }
        let stem = format!("journal-{:016x}", number(name));
        let known = io.manifest.known.generation(number(&stem));
        let end = io.manifest.known.ends.get(&number(&stem)).copied();
        let opened = open(&shared.ports, &shared.settings, &mut io, (&stem, name), (known, end));
        let (file, Read { entries, torn, damaged }) = opened.map_err(|error| {
            shared.state().close_journal(name);
            StoreError(format!("the journal of {id} cannot be opened: {error}"))
        })?;
        shared.state().count_journal(torn, damaged);
        let size = file.watch_size();
        io.journals.insert(number(name), file);
        let journal = Handle { shared: Arc::clone(shared), name: name.to_owned(), size };
        Ok(Opened { journal: Box::new(journal), entries })
    }

    /// Takes a journal away, sound or not, so that its component begins anew. Says whether there was any. This blocks.
    ///
    /// # Errors
    /// It is open, or the disk fails.
    pub fn forget_journal(&self, name: &str) -> Result<bool, StoreError> {
        let shared = self.shared();
        shared.flush_group();
        let mut io = shared.io();
        if shared.state().is_journal_open(name) {
            return Err(StoreError(format!("the journal of {name} is open")));
        }
        let stem = format!("journal-{:016x}", number(name));
        let mut forget = || {
            io.manifest.known.ends.remove(&number(&stem));
            let known = io.manifest.known.generations.remove(&number(&stem)).is_some();
            if known {
                io.write_manifest()?;
            }
            let (disk, directory) = (&shared.ports.disk, &shared.settings.directory);
            let files =
                disk.list(directory)?.into_iter().filter(|file| parse_generation(&stem, file).is_some());
            let files: Vec<String> = files.collect();
            files.iter().try_for_each(|file| disk.remove(&directory.join(file)))?;
            Ok(known || !files.is_empty())
        };
        forget().map_err(|error: io::Error| StoreError(format!("the journal of {name} stays: {error}")))
    }
}

fn open(
    ports: &Ports,
    settings: &Settings,
    io: &mut Io,
    (stem, name): (&str, &str),
    known: (Option<u64>, Option<(u64, u64)>),
) -> io::Result<(JournalFile, Read)> {
    let (mut file, JournalContents { entries, trouble, torn, damaged }) =
        JournalFile::open(ports, settings, KIND, (stem, name), known)?;
    if let Some(why) = trouble {
        // It is left as it is, and not replaced by nothing.
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    if known.0.is_none() && file.generation() == 0 {
        tracing::error!(
            journal = name,
            "there is none, and the manifest was lost once: whether there was one is not known; the component begins with nothing"
        );
    }
    let mut compacted = file.compact(&entries);
    if compacted.as_ref().is_err_and(is_full) && io.reserve.give_up(&*ports.disk) {
        compacted = file.compact(&entries);
    }
    match compacted {
        // From here on its loss would be noticed.
        Ok(()) => {
            io.manifest.known.renewed(number(stem), file.generation());
            io.write_manifest()?;
        }
        // A disk that is full is no reason not to read what was there before.
        Err(error) if file.generation() > 0 => {
            tracing::error!(%error, journal = name, "the journal cannot be written anew; nothing is added to it yet");
        }
        Err(error) => return Err(error),
    }
    Ok((file, Read { entries, torn, damaged }))
}

/// What was read of a journal.
struct Read {
    entries: Vec<Bytes>,
    torn: bool,
    damaged: u64,
}

struct Handle {
    shared: Arc<Shared>,
    name: String,
    size: Arc<AtomicU64>,
}

impl Handle {
    fn ask(&self, task: Task) {
        let mut state = self.shared.state();
        let ended = state.ask(task);
        self.shared.wake(state);
        if ended {
            self.shared.flush_group();
        }
    }
}

impl Journal for Handle {
    fn append(&self, entry: Bytes, settle: Settle) {
        self.ask(Task::Entry { journal: number(&self.name), entry, settle });
    }

    fn compact(&self, snapshot: Bytes, settle: Settle) {
        self.ask(Task::Compact { journal: number(&self.name), snapshot, settle });
    }

    fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // This may be the log's own thread, in the middle of a turn.
        self.ask(Task::Close { journal: number(&self.name), name: self.name.clone() });
    }
}
