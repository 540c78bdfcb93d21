//! Reading the segments at an opening: what is in each, and which of them are missing.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use throughline_component::port::DiskFile;

use crate::commit::{count, footer};
use crate::frame::{HEAD, Head, Kind, u64_at};
use crate::manifest::{Manifested, foreign};
use crate::name::SegmentName;
use crate::ports::Ports;
use crate::scan::{Found, Scanner};
use crate::segment::{Counts, Segment};
use crate::settings::Settings;

/// A footer's length: a head, and a pair of numbers for each signal.
const FOOTER: u64 = HEAD as u64 + 48;

/// What there is of a stream.
#[derive(Default)]
pub(crate) struct FoundStream {
    pub(crate) name: Option<String>,
    /// By first sequence number.
    pub(crate) segments: BTreeMap<u64, Segment>,
    pub(crate) missing: Vec<Missing>,
    /// What segments began with that are no longer there, and were not known to have been removed.
    pub(crate) gone: Vec<u64>,
    /// How many files ended in the middle of a frame.
    pub(crate) torn: u64,
}

/// A segment of which something is missing that was there.
pub(crate) struct Missing {
    pub(crate) file: String,
    pub(crate) why: &'static str,
}

/// What was read of one file.
struct Read {
    name: Option<String>,
    /// The first and the last number of the segment before it, as its writer knew them.
    before: Option<(u64, u64)>,
    segment: Segment,
    size: u64,
    sealed: bool,
    scanner: Scanner,
}

impl Read {
    fn is_empty(&self) -> bool {
        self.segment.counts == Counts::default()
    }
}

/// Takes in all segments. `manifested` is what the manifest knows, if it was there; `committed` the newest record of each
/// stream that was committed when cursors were last written.
pub(crate) fn read_segments(
    ports: &Ports,
    settings: &Settings,
    mut names: Vec<SegmentName>,
    manifested: Option<&Manifested>,
    committed: &BTreeMap<u64, u64>,
) -> io::Result<BTreeMap<u64, FoundStream>> {
    names.sort_unstable();
    let mut streams: BTreeMap<u64, BTreeMap<u64, Read>> = BTreeMap::new();
    for name in names {
        let path = settings.directory.join(name.file());
        let kept = manifested.and_then(|streams| streams.get(&name.stream));
        if kept.is_some_and(|kept| kept.removed.contains(name.first)) {
            // Everybody had passed it when the end came.
            drop(ports.disk.remove(&path));
            continue;
        }
        let read = read(ports.disk.open(&path)?, &path, name)?;
        let reads = streams.entry(name.stream).or_default();
        // Names are sorted by attempt: a later one took over all that an earlier one held.
        if read.is_empty() && reads.contains_key(&name.first) {
            drop(ports.disk.remove(&path));
        } else if let Some(earlier) = reads.insert(name.first, read) {
            drop(ports.disk.remove(&earlier.segment.path));
        }
    }
    let known = manifested.into_iter().flat_map(BTreeMap::keys);
    for stream in known {
        streams.entry(*stream).or_default();
    }
    let streams = streams.into_iter().map(|(stream, reads)| {
        let committed = committed.get(&stream).copied();
        (stream, compare(ports, stream, reads, manifested, committed))
    });
    Ok(streams.collect())
}

/// What is there, against what is known to have been there.
fn compare(
    ports: &Ports,
    stream: u64,
    reads: BTreeMap<u64, Read>,
    manifested: Option<&Manifested>,
    committed: Option<u64>,
) -> FoundStream {
    let kept = manifested.and_then(|streams| streams.get(&stream));
    let removed = |first: u64| kept.is_some_and(|kept| kept.removed.contains(first));
    // By first number of a segment: the last one that was acknowledged in it.
    let mut claims: BTreeMap<u64, u64> = BTreeMap::new();
    let newest = kept.and_then(|kept| kept.newest).map(|newest| (newest, newest));
    for (first, last) in reads.values().filter_map(|read| read.before).chain(newest) {
        let claim = claims.entry(first).or_insert(last);
        *claim = last.max(*claim);
    }
    // Unless the segment that it was in was removed.
    let removed_to = kept.and_then(|kept| kept.removed.iter().last()).map_or(0, |(_, to)| to);
    let noted = kept.map(|kept| kept.last);
    let committed = committed.into_iter().chain(noted).max();
    let committed = committed.filter(|last| manifested.is_some() && *last >= removed_to);
    let first = reads.keys().next_back().copied().max(kept.and_then(|kept| kept.newest));
    if let (Some(last), Some(first)) = (committed, first) {
        let claim = claims.entry(first).or_default();
        *claim = last.max(*claim);
    }
    let mut taken = FoundStream::default();
    let gone = |first: &u64| !reads.contains_key(first) && !removed(*first);
    taken.gone = claims.keys().copied().filter(gone).collect();
    // Without the manifest it is not known what was removed on purpose.
    for first in taken.gone.iter().filter(|_| manifested.is_some()) {
        let file = format!("stream-{stream:016x}-{first:016x}-…");
        taken.missing.push(Missing {
            file,
            why: "it is gone, and so is whatever stood between it and the one before it",
        });
    }
    for (first, read) in reads {
        let claim = claims.get(&first).copied().filter(|last| *last >= first);
        if read.is_empty() && claim.is_none() {
            // No record ever reached it.
            drop(ports.disk.remove(&read.segment.path));
            continue;
        }
        let Read { name, mut segment, size, sealed, scanner, .. } = read;
        if taken.name.is_none() {
            taken.name = name;
        }
        let short = claim.is_some_and(|last| last > segment.last) || segment.counts == Counts::default();
        if short {
            let file = segment.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            taken.missing.push(Missing { file, why: "records at its end are gone" });
            segment.last = segment.last.max(claim.unwrap_or_default());
            segment.end = size;
        } else if !sealed {
            taken.torn += u64::from(segment.end < size);
            // What the end came upon may be in the page cache alone, and a sync that failed before would not tell.
            segment.sure = claim;
            seal(&scanner, &segment);
        }
        taken.segments.insert(first, segment);
    }
    taken
}

/// Cuts what is torn at the end, and puts a footer there.
fn seal(scanner: &Scanner, segment: &Segment) {
    let cut = scanner.file().truncate(segment.end);
    drop(cut.and_then(|()| scanner.file().append(&[&footer(segment)])));
}

/// Reads a segment: by its footer, or frame by frame.
fn read(file: Box<dyn DiskFile>, path: &Path, name: SegmentName) -> io::Result<Read> {
    let size = file.size()?;
    let segment = Segment {
        path: path.to_owned(),
        salt: name.salt,
        end: 0,
        last: name.first,
        counts: Counts::default(),
        active: false,
        sure: None,
        missed: false,
    };
    let scanner = Scanner::new(file, name.salt);
    let mut read = Read { name: None, before: None, segment, size, sealed: false, scanner };
    let sealed = sealed(read.scanner.file(), name.salt, size)?;
    loop {
        match read.scanner.next(size)? {
            Found::Frame(head, body, end) => {
                match head.kind {
                    Kind::Name => {
                        read.name = Some(String::from_utf8_lossy(&body).into_owned());
                        read.before = (head.items > 0).then_some((head.received_at, head.sequence));
                    }
                    Kind::Record => {
                        count(&mut read.segment.counts, usize::from(head.signal), head.items);
                        read.segment.last = head.sequence.max(read.segment.last);
                    }
                    Kind::Footer | Kind::Entry | Kind::Whole | Kind::Manifest => continue,
                }
                read.segment.end = end;
            }
            Found::Bad => {}
            Found::End(_) => break,
        }
        if let Some(Footer { last, sure, counts }) = sealed {
            // The name was all that was missing.
            read.segment = Segment { last, sure, counts, end: size - FOOTER, ..read.segment };
            read.sealed = true;
            break;
        }
    }
    if read.is_empty() && read.name.is_none() && read.scanner.is_foreign()? {
        return Err(foreign(path));
    }
    Ok(read)
}

struct Footer {
    last: u64,
    sure: Option<u64>,
    counts: Counts,
}

fn sealed(file: &dyn DiskFile, salt: u32, size: u64) -> io::Result<Option<Footer>> {
    let Some(at) = size.checked_sub(FOOTER) else { return Ok(None) };
    let mut bytes = [0; FOOTER as usize];
    file.read_at(&mut bytes, at)?;
    let (head, body) = bytes.split_at(HEAD);
    let Some(head) = Head::read(head, salt).filter(|head| head.kind == Kind::Footer && head.fits(body, salt))
    else {
        return Ok(None);
    };
    let pair = |at: usize| Some((u64_at(body, at)?, u64_at(body, at + 8)?));
    let counts = [pair(0), pair(16), pair(32)].map(Option::unwrap_or_default);
    Ok(Some(Footer { last: head.sequence, sure: Some(head.received_at).filter(|sure| *sure != 0), counts }))
}
