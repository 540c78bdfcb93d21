//! What must be known even when a file is gone: which segments there are to be, which were removed on purpose, and how new
//! the journals are. It lies in room that is there from the beginning and is written over in place, so that a disk that is
//! full can be told what is about to be removed from it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use throughline_component::port::{Disk, DiskFile};

use crate::frame::{HEAD, Head, Kind, is_foreign, u64_at};
use crate::ranges::Ranges;
use crate::settings::Settings;
use crate::sites;

/// The file's name.
pub(crate) const NAME: &str = "MANIFEST";

/// It is written to two places in turn: one of them is whole, whenever the end comes.
const SLOT: usize = 64 << 10;

/// How its body is laid out. Before this it did not say which records are on the disk.
const LAYOUT: u32 = 1;

/// The file, and what stands in it.
pub(crate) struct Manifest {
    file: Box<dyn DiskFile>,
    syncs: bool,
    /// Counts the writes that succeeded.
    written: u64,
    pub(crate) known: ManifestContents,
}

/// What the manifest knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ManifestContents {
    /// Sequence numbers up to this epoch may have been given away.
    pub(crate) epoch: u64,
    /// Whether all journals are in here: there was a manifest from the beginning, and it was never lost.
    pub(crate) complete: bool,
    /// By number of the stem: the newest generation of a journal, or of the cursors, that was whole.
    pub(crate) generations: BTreeMap<u64, u64>,
    /// By number of the stem: how long the journal was, and in which generation, when this was noted.
    pub(crate) ends: BTreeMap<u64, (u64, u64)>,
    pub(crate) streams: BTreeMap<u64, StreamEntry>,
}

/// What the manifest knows of each stream.
pub(crate) type Manifested = BTreeMap<u64, StreamEntry>;

/// What the manifest knows of a stream's segments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StreamEntry {
    /// By what the newest begins with.
    pub(crate) newest: Option<u64>,
    /// The newest record that was on the disk when this was noted; zero if none was.
    pub(crate) last: u64,
    /// A segment that begins in here was removed since everybody had passed it.
    pub(crate) removed: Ranges,
}

/// How a manifest was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// There was none, nor anything else.
    Fresh,
    Sound,
    /// There must have been one.
    Lost,
}

impl Manifest {
    /// Opens the manifest, creating it where it is missing. `alone`: there is no other file of ours.
    pub(crate) fn open(disk: &dyn Disk, settings: &Settings, alone: bool) -> io::Result<(Self, State)> {
        let file = disk.open_in_place(&settings.directory.join(NAME))?;
        let mut manifest =
            Self { file, syncs: settings.syncs(), written: 0, known: ManifestContents::default() };
        let slots = [manifest.slot(0)?, manifest.slot(1)?];
        let newest = slots.iter().filter_map(|slot| read(slot)).max_by_key(|(written, _)| *written);
        if newest.is_none() && slots.iter().any(|slot| is_foreign(slot, 0)) {
            return Err(foreign(&settings.directory.join(NAME)));
        }
        let state = match newest {
            Some((written, known)) => {
                (manifest.written, manifest.known) = (written, known);
                // It may be in the page cache alone, where a sync failed, and then the other slot is the one that counts.
                manifest.put(written)?;
                manifest.sync()?;
                State::Sound
            }
            None => {
                // All of its room is taken now. Its name is synced with that of the cursors' new generation.
                manifest.file.write_at(&vec![0; 2 * SLOT], 0)?;
                manifest.sync()?;
                manifest.known.complete = alone;
                if alone { State::Fresh } else { State::Lost }
            }
        };
        Ok((manifest, state))
    }

    /// Writes down what is known; it is on the disk when this returns.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        self.put(self.written + 1)?;
        self.sync()?;
        // Until here the other slot counts, and a failed try is written over.
        self.written += 1;
        Ok(())
    }

    /// Writes down what is known where the next [`write`](Self::write) will, without a sync: it survives the end of the process.
    /// If the machine ends, the other slot counts, which lacks no more than what was noted.
    pub(crate) fn note(&self) -> io::Result<()> {
        self.put(self.written + 1)
    }

    fn put(&self, written: u64) -> io::Result<()> {
        let body = self.known.encode();
        if body.len() > SLOT - HEAD {
            return Err(io::Error::other("there are more streams than the manifest has room for"));
        }
        let mut out = Vec::with_capacity(HEAD + body.len());
        Head { sequence: written, items: LAYOUT, ..Head::of(Kind::Manifest) }.write(&mut out, 0, &body);
        self.file.write_at(&out, (written % 2) * SLOT as u64)
    }

    fn sync(&self) -> io::Result<()> {
        if self.syncs { self.file.sync_data(sites::MANIFEST_DATA) } else { Ok(()) }
    }

    fn slot(&self, slot: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; SLOT];
        let read = self.file.read_at(&mut bytes, slot * SLOT as u64)?;
        bytes.truncate(read);
        Ok(bytes)
    }
}

/// What stands in a slot, and its number.
fn read(slot: &[u8]) -> Option<(u64, ManifestContents)> {
    let head = Head::read(slot, 0).filter(|head| head.kind == Kind::Manifest)?;
    let body = slot.get(HEAD..)?.get(..usize::try_from(head.body).ok()?)?;
    let known = head.fits(body, 0).then(|| ManifestContents::decode(body, head.items))??;
    Some((head.sequence, known))
}

/// What is said of a file of another version.
pub(crate) fn foreign(path: &Path) -> io::Error {
    let why = format!("{} was written by another version of the agent, and cannot be read", path.display());
    io::Error::new(io::ErrorKind::InvalidData, why)
}

impl StreamEntry {
    /// A segment goes. Its neighbours that are gone already are one range with it; `live` is what the others begin with.
    pub(crate) fn remove(&mut self, live: &BTreeSet<u64>, first: u64, last: u64) {
        let from = live.range(..first).next_back().map_or(0, |before| before + 1);
        let to = live.range(first + 1..).next().copied().unwrap_or(last + 1);
        self.removed.add(from, to);
    }
}

impl ManifestContents {
    /// The newest generation of a journal, or of the cursors, that was whole; zero if there was none. Nothing: who knows.
    pub(crate) fn generation(&self, stem: u64) -> Option<u64> {
        self.generations.get(&stem).copied().or(self.complete.then_some(0))
    }

    /// A stream has a new segment. Says whether that was news.
    pub(crate) fn begun(&mut self, stream: u64, first: u64) -> bool {
        self.streams.entry(stream).or_default().newest.replace(first) != Some(first)
    }

    /// A record of a stream is on the disk.
    pub(crate) fn committed(&mut self, stream: u64, last: u64) {
        self.streams.entry(stream).or_default().last = last;
    }

    /// A journal, or the cursors, have a new generation that is whole. Says whether that was news.
    pub(crate) fn renewed(&mut self, stem: u64, generation: u64) -> bool {
        self.generations.insert(stem, generation) != Some(generation)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut number = |number: u64| out.extend_from_slice(&number.to_le_bytes());
        number(self.epoch);
        number(u64::from(self.complete));
        number(self.generations.len() as u64);
        self.generations.iter().flat_map(|(stem, generation)| [*stem, *generation]).for_each(&mut number);
        number(self.ends.len() as u64);
        self.ends
            .iter()
            .flat_map(|(stem, (generation, end))| [*stem, *generation, *end])
            .for_each(&mut number);
        for (stream, StreamEntry { newest, last, removed }) in &self.streams {
            let ranges = removed.iter();
            let newest = newest.map_or([0, 0], |newest| [1, newest]);
            [*stream, newest[0], newest[1], *last, ranges.len() as u64].into_iter().for_each(&mut number);
            ranges.flat_map(|(from, to)| [from, to]).for_each(&mut number);
        }
        out
    }

    fn decode(bytes: &[u8], layout: u32) -> Option<Self> {
        let mut at = 0;
        let mut number = || {
            at += 8;
            u64_at(bytes, at - 8)
        };
        let mut known = Self { epoch: number()?, complete: number()? == 1, ..Self::default() };
        for _ in 0..number()? {
            known.generations.insert(number()?, number()?);
        }
        for _ in 0..number()? {
            known.ends.insert(number()?, (number()?, number()?));
        }
        while let Some(stream) = number() {
            let (is_any, newest) = (number()?, number()?);
            let last = if layout < LAYOUT { 0 } else { number()? };
            let mut removed = Ranges::default();
            for _ in 0..number()? {
                removed.add(number()?, number()?);
            }
            known
                .streams
                .insert(stream, StreamEntry { newest: (is_any == 1).then_some(newest), last, removed });
        }
        Some(known)
    }
}

#[cfg(test)]
mod tests;
