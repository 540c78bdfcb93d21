//! Opening: what is on the disk, what of it is sound, and where every destination stands.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use bytes::Bytes;
use throughline_component::port::Disk;

use crate::cursor::Cursor;
use crate::entry::Entry;
use crate::io::{CURSORS, Io, is_full};
use crate::journal::{JournalFile, JournalKind};
use crate::limits::Limits;
use crate::manifest::{self, Manifest};
use crate::name::{SegmentName, is_ours, number, parse_generation};
use crate::ports::Ports;
use crate::read_segments::{FoundStream, Missing, read_segments};
use crate::reserve::{self, Reserve};
use crate::settings::Settings;
use crate::sites;
use crate::state::State;
use crate::stream::{EPOCH_SHIFT, Stream};

const CURSOR_KIND: JournalKind = JournalKind {
    copies: 2,
    data: sites::CURSOR_DATA,
    snapshot_data: sites::CURSOR_SNAPSHOT_DATA,
    snapshot_directory: sites::CURSOR_SNAPSHOT_DIRECTORY,
};

/// Makes sure that the directory is there, and stays there.
pub(crate) fn directory(disk: &dyn Disk, settings: &Settings) -> io::Result<()> {
    if !settings.create_directory {
        return if disk.is_dir(&settings.directory) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) };
    }
    create(disk, &settings.directory, settings.syncs())
}

fn create(disk: &dyn Disk, path: &Path, syncs: bool) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if !disk.is_dir(path) {
        parent.map_or(Ok(()), |parent| create(disk, parent, syncs))?;
        disk.create_dir(path)?;
    }
    // Also where it was there: whoever created it may have died before this.
    match parent {
        Some(parent) if syncs => disk.sync_dir(parent, sites::STORAGE_DIRECTORY),
        _ => Ok(()),
    }
}

/// Reads everything that is needed to go on.
pub(crate) fn recover(ports: &Ports, settings: &Settings) -> io::Result<(State, Io)> {
    let mut state = State::new(Limits::of(settings));
    let files = ports.disk.list(&settings.directory)?;
    say_what_is_not_ours(&files, settings);
    let alone = !files.iter().any(|file| is_ours(file));
    let (mut manifest, found) = match Manifest::open(&*ports.disk, settings, alone) {
        // Where it is gone it takes new room.
        Err(error) if is_full(&error) && Reserve::open(&*ports.disk, settings).give_up(&*ports.disk) => {
            Manifest::open(&*ports.disk, settings, alone)?
        }
        opened => opened?,
    };
    if found == manifest::State::Lost {
        let directory = settings.directory.display();
        tracing::error!(%directory, file = manifest::NAME, "the manifest is gone or damaged: whether a segment or a journal is missing is not known; a component whose journal is gone too begins with nothing");
    }
    let is_known = found != manifest::State::Lost;
    let generation = manifest.known.generation(number(CURSORS));
    let end = manifest.known.ends.get(&number(CURSORS)).copied();
    let (cursors, held) =
        JournalFile::open(ports, settings, CURSOR_KIND, (CURSORS, CURSORS), (generation, end))?;
    state.count_journal(held.torn, held.damaged);
    let written = Written::read(&held.entries);
    let kept = is_known.then_some(&manifest.known.streams);
    let names: Vec<SegmentName> = files.iter().filter_map(|file| SegmentName::parse(file)).collect();
    let had_cursors = files.iter().any(|file| parse_generation(CURSORS, file).is_some());
    let trouble = held.trouble.or_else(|| {
        (!had_cursors && !names.is_empty()).then(|| "there is none, and there are segments".to_owned())
    });
    let streams = read_segments(ports, settings, names, kept, &written.committed)?;

    let newest = |taken: &FoundStream| {
        taken.segments.last_key_value().map(|(first, segment)| segment.last.max(*first))
    };
    let seen =
        streams.values().filter_map(newest).chain(written.places.values().map(|(_, cursor)| cursor.low()));
    let seen = seen.max().unwrap_or(0) >> EPOCH_SHIFT;
    state.begin_epoch(seen.max(written.epoch).max(manifest.known.epoch) + 1);
    manifest.known.epoch = state.epoch();

    let known: Vec<String> =
        streams.iter().map(|(number, taken)| label(*number, taken.name.as_deref(), &written)).collect();
    for (number, taken) in streams {
        // What is missing is said once.
        let live: BTreeSet<u64> = taken.segments.keys().copied().collect();
        let kept = manifest.known.streams.entry(number).or_default();
        taken.gone.iter().for_each(|first| kept.remove(&live, *first, *first));
        add(&mut state, number, taken, trouble.is_some(), &written);
    }
    let now = ports.clock.monotonic_nanos();
    for ((stream, destination), (idle, mut cursor)) in written.places {
        cursor.set_idle(idle.unwrap_or_default(), now);
        state.stream(&stream).restore_cursor(destination, cursor);
    }
    if let Some(why) = trouble {
        let lost = state.lose_cursors(now);
        tracing::error!(
            directory = %settings.directory.display(), %why, streams = %known.join(", "), kept = lost,
            "the cursors are lost: destinations whose place is not known begin with the oldest record"
        );
    }
    state.count_passed();
    for (number, stream) in state.streams() {
        // What is missing is said once.
        manifest.known.committed(*number, stream.committed());
    }
    state.share();
    let mut io = Io::new(ports, settings, cursors, manifest);
    // The epoch must be on the disk before a number of it is given away.
    io.write_manifest()?;
    let entries = state.cursor_entries(true, now);
    match io.replace_cursors(&entries) {
        // The directory is synced by now: what was removed does not come back, and needs no explanation any more.
        Ok(()) => io.manifest.known.streams.retain(|number, _| state.streams().contains_key(number)),
        Err(error) => {
            tracing::error!(%error, "the cursors cannot be written; until they can, some data may be delivered again");
            state.all_dirty();
        }
    }
    Ok((state, io))
}

fn say_what_is_not_ours(files: &[String], settings: &Settings) {
    let mut junk = files.iter().filter(|file| {
        !is_ours(file) && ![manifest::NAME, reserve::NAME, reserve::PROBE, "LOCK"].contains(&&***file)
    });
    if let Some(first) = junk.next() {
        let (directory, more) = (settings.directory.display(), junk.count());
        tracing::warn!(%directory, file = %first, more, "this is no file of the storage; it is left alone");
    }
}

/// A stream's name, or its number where nothing tells the name.
fn label(number: u64, name: Option<&str>, written: &Written) -> String {
    let name = name.map(str::to_owned).or_else(|| written.name(number));
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| format!("{number:016x}"))
}

fn add(state: &mut State, number: u64, taken: FoundStream, lost: bool, written: &Written) {
    let FoundStream { name, segments, missing, torn, .. } = taken;
    state.count_found(torn, missing.len() as u64);
    if torn > 0 {
        tracing::warn!(
            files = torn,
            stream = label(number, name.as_deref(), written),
            "files end in the middle of a record, as after a crash; what was acknowledged is whole unless somebody cut them"
        );
    }
    let name = name.or_else(|| written.name(number)).unwrap_or_default();
    if name.is_empty() && !segments.is_empty() {
        tracing::error!(
            stream = format_args!("{number:016x}"),
            "the name of a stream is damaged, and no cursor tells it; its segments are kept"
        );
    }
    let label = label(number, Some(&name), written);
    for Missing { file, why } in &missing {
        tracing::error!(stream = %label, %file, why, "a segment is missing or damaged: what was in it is lost");
    }
    if segments.is_empty() {
        return;
    }
    // Cursors would have told the name.
    let lost = lost || name.is_empty();
    let stream = Stream::recovered(&name, state.epoch(), segments, lost);
    state.restore_stream(number, stream);
}

/// What the cursors' file held.
#[derive(Default)]
struct Written {
    epoch: u64,
    places: BTreeMap<(String, String), (Option<u64>, Cursor)>,
    /// By number of the stream: the newest record that was committed.
    committed: BTreeMap<u64, u64>,
    names: BTreeMap<u64, String>,
}

impl Written {
    fn read(entries: &[Bytes]) -> Self {
        let mut written = Self::default();
        for entry in entries.iter().filter_map(|bytes| Entry::read(bytes)) {
            match entry {
                Entry::Epoch(epoch) => written.epoch = epoch.max(written.epoch),
                Entry::Gone { stream, destination } => drop(written.places.remove(&(stream, destination))),
                Entry::Cursor { stream, destination, idle, place } => {
                    written.names.insert(number(&stream), stream.clone());
                    written.places.insert((stream, destination), (idle, Cursor::from_position(place)));
                }
                Entry::Committed { stream, last } => {
                    written.committed.insert(number(&stream), last);
                    written.names.insert(number(&stream), stream);
                }
            }
        }
        written
    }

    fn name(&self, stream: u64) -> Option<String> {
        self.names.get(&stream).cloned()
    }
}
