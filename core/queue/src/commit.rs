//! Writing the records of a group to their stream's segment, and syncing them.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use throughline_component::port::DiskFile;

use crate::Record;
use crate::frame::{HEAD, Head, Kind};
use crate::name::SegmentName;
use crate::ports::Ports;
use crate::segment::{Counts, Segment};
use crate::settings::Settings;
use crate::sites;

/// The segments that are written to, by stream.
#[derive(Default)]
pub(crate) struct Writers {
    active: BTreeMap<u64, Active>,
}

struct Active {
    file: Box<dyn DiskFile>,
    first: u64,
    segment: Segment,
}

/// Records with the sequence numbers they were given, in order.
pub(crate) type Numbered = [(u64, Arc<Record>)];

/// Where records go.
pub(crate) struct Target<'a> {
    pub(crate) stream: u64,
    pub(crate) name: &'a str,
    /// The first number of the newest segment, and its last that was committed.
    pub(crate) before: Option<(u64, u64)>,
    /// From what size on a new segment begins.
    pub(crate) segment_size: u64,
}

/// What became of a segment.
pub(crate) struct Committed {
    pub(crate) first: u64,
    pub(crate) segment: Segment,
}

/// What failed, and so what can be done.
enum Failure {
    /// The records may be on the disk or not, and another sync would not tell: write them elsewhere.
    Sync(io::Error),
    /// The records are not there.
    Write(io::Error),
}

impl Writers {
    /// Writes records of one stream, and syncs them together with the name of their file. Where a sync fails, the
    /// segment is left as it is and the records, still in memory, go to a new one.
    pub(crate) fn commit(
        &mut self,
        ports: &Ports,
        settings: &Settings,
        to: &Target<'_>,
        records: &Numbered,
    ) -> io::Result<Committed> {
        let Target { stream, name, .. } = *to;
        if self.active.get(&stream).is_some_and(|active| active.segment.end >= to.segment_size) {
            self.seal(stream);
        }
        match self.try_commit(ports, settings, to, records) {
            Err(Failure::Sync(error)) => {
                tracing::error!(%error, stream = name, "a sync failed; the records go to a new segment");
                self.try_commit(ports, settings, to, records)
            }
            other => other,
        }
        .map_err(|(Failure::Sync(error) | Failure::Write(error))| error)
    }

    /// Ends the stream's segment with a footer, which may be lost: it saves a scan, no more.
    pub(crate) fn seal(&mut self, stream: u64) {
        if let Some(active) = self.active.remove(&stream) {
            drop(active.file.append(&[&footer(&active.segment)]));
        }
    }

    /// Ends all segments.
    pub(crate) fn seal_all(&mut self) {
        let streams: Vec<u64> = self.active.keys().copied().collect();
        streams.into_iter().for_each(|stream| self.seal(stream));
    }

    fn try_commit(
        &mut self,
        ports: &Ports,
        settings: &Settings,
        to: &Target<'_>,
        records: &Numbered,
    ) -> Result<Committed, Failure> {
        let stream = to.stream;
        let (mut active, fresh) = match self.active.remove(&stream) {
            Some(active) => (active, false),
            None => {
                let first = records.first().map_or(0, |(sequence, _)| *sequence);
                (create(ports, settings, stream, first).map_err(Failure::Write)?, true)
            }
        };
        let salt = active.segment.salt;
        let mut heads = Vec::with_capacity(records.len() * 2 * HEAD);
        if fresh {
            // What is missing of the segment before this one shows here.
            let (received_at, sequence) = to.before.unwrap_or_default();
            let items = u32::from(to.before.is_some());
            let head = Head { received_at, sequence, items, ..Head::of(Kind::Name) };
            head.write(&mut heads, salt, to.name.as_bytes());
        }
        let mut ends = Vec::with_capacity(records.len());
        for (sequence, record) in records {
            record.write_head(*sequence, salt, &mut heads);
            ends.push(heads.len());
        }
        // Payloads are not copied: heads and payloads take turns in one vectored write.
        let (mut parts, mut from) = (Vec::with_capacity(records.len() * 2), 0);
        for (end, (_, record)) in ends.iter().zip(records) {
            parts.extend([&heads[from..*end], &*record.payload]);
            from = *end;
        }
        // On an error `active` is dropped here: nothing is ever appended behind what may be torn.
        if let Err(error) = active.file.append(&parts) {
            let undone = if fresh {
                ports.disk.remove(&active.segment.path)
            } else {
                active.file.truncate(active.segment.end)
            };
            drop(undone);
            return Err(Failure::Write(error));
        }
        if settings.syncs() {
            active.file.sync_data(sites::SEGMENT_DATA).map_err(Failure::Sync)?;
            if fresh {
                ports.disk.sync_dir(&settings.directory, sites::SEGMENT_DIRECTORY).map_err(Failure::Sync)?;
            }
        }
        active.segment.end += parts.iter().map(|part| part.len() as u64).sum::<u64>();
        for (sequence, record) in records {
            (active.segment.last, active.segment.sure) = (*sequence, Some(*sequence));
            count(&mut active.segment.counts, record.signal as usize, record.items);
        }
        let committed = Committed { first: active.first, segment: active.segment.clone() };
        self.active.insert(stream, active);
        Ok(committed)
    }
}

fn create(ports: &Ports, settings: &Settings, stream: u64, first: u64) -> io::Result<Active> {
    let salt = ports.salt();
    let mut attempt = 0;
    loop {
        // An earlier attempt has another salt, and so another name; after a restart the last one counts.
        let name = SegmentName { stream, first, attempt, salt };
        let stem = name.file();
        let taken = format!("stream-{stream:016x}-{first:016x}-{attempt:02x}-");
        let there = ports.disk.list(&settings.directory)?.iter().any(|file| file.starts_with(&taken));
        if there {
            attempt += 1;
            continue;
        }
        let path: PathBuf = settings.directory.join(stem);
        let file = ports.disk.create(&path)?;
        let segment = Segment {
            path,
            salt,
            end: 0,
            last: first,
            counts: Counts::default(),
            active: true,
            sure: None,
            missed: false,
        };
        return Ok(Active { file, first, segment });
    }
}

/// Counts a record.
pub(crate) fn count(counts: &mut Counts, signal: usize, items: u32) {
    if let Some((records, sum)) = counts.get_mut(signal) {
        *records += 1;
        *sum += u64::from(items);
    }
}

/// The last frame of a sealed segment: what it holds, its last sequence number, and up to where that is sure.
pub(crate) fn footer(segment: &Segment) -> Vec<u8> {
    let mut body = Vec::new();
    for (records, items) in segment.counts {
        body.extend_from_slice(&records.to_le_bytes());
        body.extend_from_slice(&items.to_le_bytes());
    }
    let mut out = Vec::new();
    let received_at = segment.sure.unwrap_or_default();
    Head { sequence: segment.last, received_at, ..Head::of(Kind::Footer) }.write(
        &mut out,
        segment.salt,
        &body,
    );
    out
}
