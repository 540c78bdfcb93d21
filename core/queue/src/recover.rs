//! Opening: what is on the disk, what of it is sound, and where every destination stands.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use bytes::Bytes;
use throughline_component::port::{Disk, DiskFile};

use crate::commit::{count, footer};
use crate::cursor::Cursor;
use crate::entry::Entry;
use crate::frame::{HEAD, Head, Kind, u64_at};
use crate::journal::{JournalFile, Sites};
use crate::log::Ports;
use crate::name::{SegmentName, number};
use crate::scan::{Found, Scanner};
use crate::settings::Settings;
use crate::sites;
use crate::state::{Counts, EPOCH_SHIFT, Segment, State, Stream};
use crate::turn::twice;

const CURSOR_SITES: Sites = Sites {
    data: sites::CURSOR_DATA,
    snapshot_data: sites::CURSOR_SNAPSHOT_DATA,
    snapshot_directory: sites::CURSOR_SNAPSHOT_DIRECTORY,
};

/// A footer's length: a head, and a pair of numbers for each signal.
const FOOTER: u64 = HEAD as u64 + 48;

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
pub(crate) fn recover(ports: &Ports, settings: &Settings) -> io::Result<(State, JournalFile)> {
    let mut state = State::default();
    let (mut cursors, entries) = JournalFile::open(ports, settings, CURSOR_SITES, "cursors", "cursors")?;
    let (written_epoch, places) = places(&entries);
    let segments = segments(ports, settings, &mut state)?;

    let seen = segments.values().filter_map(|(_, segments)| segments.last_key_value());
    let seen = seen.map(|(first, segment)| segment.last.max(*first));
    let seen = seen.chain(places.values().map(|cursor| cursor.low)).max().unwrap_or(0) >> EPOCH_SHIFT;
    state.epoch = seen.max(written_epoch) + 1;

    for (number, (name, segments)) in segments {
        state.stored_bytes += segments.values().map(|segment| segment.end).sum::<u64>();
        let stream = Stream::new(&name, state.epoch);
        state.streams.insert(number, Stream { segments, ..stream });
    }
    let now = ports.clock.unix_nanos().max(1);
    for ((stream, destination), mut cursor) in places {
        let stream =
            state.streams.entry(number(&stream)).or_insert_with(|| Stream::new(&stream, state.epoch));
        cursor.orphan_since = cursor.orphan_since.or(Some(now));
        stream.cursors.insert(destination, cursor);
    }
    // The epoch must be on the disk before a number of it is given away. This also drops what has been superseded.
    cursors.compact(&twice(&state.cursor_entries(true)))?;
    Ok((state, cursors))
}

type Places = BTreeMap<(String, String), Cursor>;

fn places(entries: &[Bytes]) -> (u64, Places) {
    let (mut epoch, mut places) = (0, Places::new());
    for entry in entries.iter().filter_map(|bytes| Entry::read(bytes)) {
        match entry {
            Entry::Epoch(written) => epoch = written.max(epoch),
            Entry::Gone { stream, destination } => drop(places.remove(&(stream, destination))),
            Entry::Cursor { stream, destination, place } => {
                places.insert((stream, destination), Cursor::from_place(place));
            }
        }
    }
    (epoch, places)
}

type Segments = BTreeMap<u64, (String, BTreeMap<u64, Segment>)>;

fn segments(ports: &Ports, settings: &Settings, state: &mut State) -> io::Result<Segments> {
    let files = ports.disk.list(&settings.directory)?;
    let mut names: Vec<SegmentName> = files.iter().filter_map(|file| SegmentName::parse(file)).collect();
    names.sort_unstable();
    let mut streams = Segments::new();
    for name in names {
        let path = settings.directory.join(name.file());
        let Read { text, segment, torn } = read(ports.disk.open(&path)?, &path, name)?;
        state.stats.torn += u64::from(torn);
        if segment.counts == Counts::default() {
            // No record ever reached it.
            drop(ports.disk.remove(&path));
            continue;
        }
        let (known, segments) = streams.entry(name.stream).or_default();
        if known.is_empty() {
            *known = text;
        }
        // Names are sorted by attempt: a later one took over all that an earlier one held.
        if let Some(earlier) = segments.insert(name.first, segment) {
            drop(ports.disk.remove(&earlier.path));
        }
    }
    Ok(streams)
}

struct Read {
    text: String,
    segment: Segment,
    torn: bool,
}

/// Takes in a segment: by its footer, or frame by frame. What is torn at the end is cut, and a footer put there.
fn read(file: Box<dyn DiskFile>, path: &Path, name: SegmentName) -> io::Result<Read> {
    let size = file.size()?;
    let empty = Segment {
        path: path.to_owned(),
        salt: name.salt,
        end: 0,
        last: name.first,
        counts: Counts::default(),
        active: false,
    };
    let mut read = Read { text: String::new(), segment: empty, torn: false };
    let mut scanner = Scanner::new(file, name.salt);
    let sealed = sealed(scanner.file(), name.salt, size)?;
    if let Some((last, counts)) = sealed {
        read.segment = Segment { last, counts, end: size - FOOTER, ..read.segment };
    }
    loop {
        match scanner.next(size)? {
            Found::Frame(head, body, end) => {
                match head.kind {
                    Kind::Name => read.text = String::from_utf8_lossy(&body).into_owned(),
                    Kind::Record => {
                        count(&mut read.segment.counts, usize::from(head.signal), head.items);
                        read.segment.last = head.sequence.max(read.segment.last);
                    }
                    Kind::Footer | Kind::Entry | Kind::Whole => continue,
                }
                read.segment.end = end;
            }
            Found::Bad => {}
            Found::End(at) => {
                read.torn = at < size;
                break;
            }
        }
        if let Some((last, counts)) = sealed {
            // The name was all that was missing.
            read.segment = Segment { last, counts, end: size - FOOTER, ..read.segment };
            return Ok(read);
        }
    }
    let cut = scanner.file().truncate(read.segment.end);
    drop(cut.and_then(|()| scanner.file().append(&[&footer(&read.segment)])));
    Ok(read)
}

fn sealed(file: &dyn DiskFile, salt: u32, size: u64) -> io::Result<Option<(u64, Counts)>> {
    let Some(at) = size.checked_sub(FOOTER) else { return Ok(None) };
    let mut bytes = [0; FOOTER as usize];
    file.read_at(&mut bytes, at)?;
    let (head, body) = bytes.split_at(HEAD);
    let Some(head) = Head::read(head, salt).filter(|head| head.kind == Kind::Footer && head.fits(body, salt))
    else {
        return Ok(None);
    };
    let pair = |at: usize| Some((u64_at(body, at)?, u64_at(body, at + 8)?));
    Ok(Some((head.sequence, [pair(0), pair(16), pair(32)].map(Option::unwrap_or_default))))
}
