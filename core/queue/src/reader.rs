//! Reading a stream for one destination.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use throughline_component::Position;
use throughline_component::port::StoreError;

use crate::Record;
use crate::cursor::{Cursor, Idle};
use crate::frame::Kind;
use crate::log::Shared;
use crate::scan::{Found, Scanner};
use crate::settings::WINDOW_RECORDS;
use crate::state::Segment;

/// How much is read from the disk ahead of what is given out.
const AHEAD: usize = 1 << 20;

/// Yields what a destination has not settled yet, in order. There is one reader a cursor at a time; dropping it gives
/// the lease back, and what it gave out and was not settled will be read again.
pub struct Reader {
    shared: Arc<Shared>,
    stream: u64,
    destination: Arc<str>,
    disk: Option<FromDisk>,
}

/// A record on its way to its destination.
#[derive(Debug)]
pub struct Delivered {
    /// Where it lies.
    pub position: Position,
    /// The record.
    pub record: Arc<Record>,
    /// To say what became of it.
    pub ack: Ack,
}

/// The duty to say what became of a delivery. Dropped without a word, the record is given out again.
pub struct Ack {
    shared: Arc<Shared>,
    stream: u64,
    sequence: u64,
    destination: Arc<str>,
    record: Arc<Record>,
    settled: bool,
}

/// What [`Reader::poll`] has.
#[derive(Debug)]
pub enum Polled {
    /// The next record.
    Record(Delivered),
    /// Nothing, until something is appended or settled.
    Wait,
    /// What comes next is no longer in memory: [`Reader::load`] reads it.
    Load,
}

/// What was read ahead.
#[derive(Default)]
struct FromDisk {
    ready: VecDeque<(u64, Arc<Record>)>,
    open: Option<(u64, Scanner)>,
    /// All below was read, or passed over.
    next: u64,
}

impl Reader {
    pub(crate) async fn lease(
        shared: Arc<Shared>,
        stream: u64,
        destination: &str,
    ) -> Result<Self, StoreError> {
        loop {
            let changed = {
                let mut state = shared.state();
                let Some(held) = state.streams.get_mut(&stream) else {
                    return Err(StoreError("there is no such stream".into()));
                };
                let Some(cursor) = held.cursors.get_mut(destination) else {
                    return Err(StoreError(format!("{destination} has no cursor in {}", held.name)));
                };
                if !cursor.attached {
                    cursor.rewind();
                    (cursor.attached, cursor.orphan, cursor.dirty) = (true, None, true);
                    drop(state);
                    return Ok(Self {
                        shared,
                        stream,
                        destination: destination.into(),
                        disk: Some(FromDisk::default()),
                    });
                }
                Arc::clone(&held.changed).notified_owned()
            };
            changed.await;
        }
    }

    /// The next record, once there is one that fits into the window.
    ///
    /// # Errors
    /// The disk cannot be read. The next call tries again.
    pub async fn next(&mut self) -> io::Result<Delivered> {
        loop {
            // Made before looking, so that nothing that happens in between is missed.
            let changed = {
                let state = self.shared.state();
                state.streams.get(&self.stream).map(|stream| Arc::clone(&stream.changed).notified_owned())
            };
            match self.poll() {
                Polled::Record(delivered) => return Ok(delivered),
                Polled::Wait => match changed {
                    Some(changed) => changed.await,
                    None => std::future::pending().await,
                },
                Polled::Load => {
                    let (shared, stream) = (Arc::clone(&self.shared), self.stream);
                    let mut disk = self.disk.take().unwrap_or_default();
                    let loading = tokio::task::spawn_blocking(move || {
                        let from = disk.from(&shared, stream);
                        (disk.load(&shared, stream, from), disk)
                    });
                    let (loaded, disk) = loading.await.map_err(io::Error::other)?;
                    self.disk = Some(disk);
                    loaded?;
                }
            }
        }
    }

    /// The next record, if there is one in memory. Does not block.
    pub fn poll(&mut self) -> Polled {
        let disk = self.disk.get_or_insert_default();
        let mut state = self.shared.state();
        let Some(stream) = state.streams.get_mut(&self.stream) else { return Polled::Wait };
        let Some(cursor) = stream.cursors.get_mut(&*self.destination) else { return Polled::Wait };
        let full =
            cursor.out_bytes >= self.shared.settings.window_bytes || cursor.out.len() >= WINDOW_RECORDS;
        let found = loop {
            if let Some(returned) = cursor.returned.pop_front() {
                break returned;
            }
            if full {
                return Polled::Wait;
            }
            if let Some((sequence, record)) = disk.ready.pop_front() {
                if cursor.wants(sequence) {
                    break (sequence, record);
                }
                continue;
            }
            disk.next = disk.next.max(cursor.next).max(cursor.wanted_from());
            if disk.next < stream.tail_from {
                let behind = stream.segments.range(..stream.tail_from).next_back();
                if behind.is_some_and(|(_, segment)| segment.last >= disk.next) {
                    return Polled::Load;
                }
                disk.next = stream.tail_from;
            }
            let at = stream.tail.partition_point(|(sequence, _)| *sequence < disk.next);
            let Some((sequence, record)) = stream.tail.get(at) else {
                // Nothing up to the newest record is left to be delivered.
                if cursor.next < disk.next {
                    cursor.look_past(disk.next);
                    cursor.advance();
                }
                return Polled::Wait;
            };
            disk.next = sequence + 1;
            disk.open = None;
            if cursor.wants(*sequence) {
                break (*sequence, Arc::clone(record));
            }
            cursor.look_past(disk.next);
            cursor.advance();
        };
        let (sequence, record) = found;
        cursor.give_out(sequence, record.size());
        drop(state);
        let ack = Ack {
            shared: Arc::clone(&self.shared),
            stream: self.stream,
            sequence,
            destination: Arc::clone(&self.destination),
            record: Arc::clone(&record),
            settled: false,
        };
        Polled::Record(Delivered { position: Position { stream: self.stream, sequence }, record, ack })
    }

    /// From now on the cursor goes no further than [`release`](Self::release) says: the destination keeps what it takes in a
    /// registry, which a crash takes back to its last synced snapshot. What is settled makes room for more all the same.
    pub fn hold_back(&self) {
        self.cursor(Cursor::hold_back);
    }

    /// All records up to this one are in a synced snapshot of the destination's registry.
    pub fn release(&self, sequence: u64) {
        self.cursor(|cursor| cursor.release(sequence));
    }

    fn cursor(&self, change: impl FnOnce(&mut Cursor)) {
        let mut state = self.shared.state();
        state.moved = true;
        let stream = state.streams.get_mut(&self.stream);
        if let Some(cursor) = stream.and_then(|stream| stream.cursors.get_mut(&*self.destination)) {
            change(cursor);
        }
        self.shared.wake(state);
    }

    /// Reads ahead from the disk. This blocks.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn load(&mut self) -> io::Result<()> {
        let disk = self.disk.get_or_insert_default();
        let from = disk.from(&self.shared, self.stream);
        disk.load(&self.shared, self.stream, from)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let now = self.shared.now();
        let mut state = self.shared.state();
        let Some(stream) = state.streams.get_mut(&self.stream) else { return };
        if let Some(cursor) = stream.cursors.get_mut(&*self.destination) {
            cursor.rewind();
            (cursor.attached, cursor.orphan, cursor.dirty) = (false, Some(Idle::new(0, now)), true);
        }
        stream.changed.notify_waiters();
        state.next_look = 0;
        self.shared.wake(state);
    }
}

impl Shared {
    /// A segment is gone that should be there.
    fn miss(&self, stream: u64, first: u64, error: &io::Error) {
        let mut state = self.state();
        let Some(held) = state.streams.get_mut(&stream) else { return };
        let news = held
            .segments
            .get_mut(&first)
            .is_some_and(|segment| !std::mem::replace(&mut segment.missed, true));
        held.changed.notify_waiters();
        if news {
            tracing::error!(%error, stream = %held.name, "a segment is missing: what was in it is lost");
            state.stats.missing += 1;
        }
    }
}

impl FromDisk {
    /// The segment in which the next record is to be looked for, its key, and where the one behind it begins.
    fn from(&self, shared: &Shared, stream: u64) -> Option<(u64, Segment, u64)> {
        let state = shared.state();
        let segments = &state.streams.get(&stream)?.segments;
        let behind = |first: u64| segments.range(first + 1..).next().map_or(u64::MAX, |(next, _)| *next);
        let mut candidates = segments.iter().map(|(first, segment)| (*first, segment, behind(*first)));
        candidates
            .find(|(_, segment, limit)| segment.last >= self.next && *limit > self.next)
            .map(|(first, segment, limit)| (first, segment.clone(), limit))
    }

    fn load(&mut self, shared: &Shared, stream: u64, from: Option<(u64, Segment, u64)>) -> io::Result<()> {
        let Some((first, segment, limit)) = from else { return Ok(()) };
        let mut scanner = match self.open.take() {
            Some((open, scanner)) if open == first => scanner,
            _ => match shared.ports.disk.open(&segment.path) {
                Ok(file) => Scanner::new(file, segment.salt),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // It waits for nobody any more, or somebody else has removed it. Waiting brings it back in no case.
                    self.next = self.next.max(segment.last.min(limit - 1) + 1);
                    shared.miss(stream, first, &error);
                    return Ok(());
                }
                Err(error) => return Err(error),
            },
        };
        let (mut read, mut damaged) = (0, 0);
        while read < AHEAD {
            match scanner.next(segment.end)? {
                Found::Frame(head, body, _) if head.kind == Kind::Record => {
                    if head.sequence < self.next {
                        continue;
                    }
                    if head.sequence >= limit {
                        self.next = limit;
                        break;
                    }
                    self.next = head.sequence + 1;
                    read += body.len();
                    match Record::read(&head, &body) {
                        Some(record) => self.ready.push_back((head.sequence, Arc::new(record))),
                        None => damaged += 1,
                    }
                }
                Found::Frame(..) => {}
                Found::Bad => damaged += 1,
                Found::End(at) => {
                    damaged += u64::from(at < segment.end);
                    self.next = self.next.max(segment.last.min(limit - 1) + 1);
                    break;
                }
            }
        }
        self.open = Some((first, scanner));
        if damaged > 0 {
            tracing::error!(damaged, file = %segment.path.display(), "damaged records were passed over");
            let mut state = shared.state();
            state.stats.damaged += damaged;
            if let Some(held) = state.streams.get_mut(&stream) {
                held.changed.notify_waiters();
            }
        }
        Ok(())
    }
}

impl Ack {
    /// It is delivered, or refused for good.
    pub fn done(mut self) {
        self.settled = true;
        let mut state = self.shared.state();
        state.moved = true;
        if let Some(stream) = state.streams.get_mut(&self.stream) {
            if let Some(cursor) = stream.cursors.get_mut(&*self.destination) {
                cursor.settle(self.sequence);
            }
            stream.changed.notify_waiters();
        }
        self.shared.wake(state);
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let mut state = self.shared.state();
        let Some(stream) = state.streams.get_mut(&self.stream) else { return };
        if let Some(cursor) = stream.cursors.get_mut(&*self.destination)
            && let Some(bytes) = cursor.out.get_mut(&self.sequence)
        {
            // It stays in `out`, so that the cursor does not pass it, and takes no room in the window.
            cursor.out_bytes -= std::mem::take(bytes);
            cursor.returned.push_back((self.sequence, Arc::clone(&self.record)));
        }
        stream.changed.notify_waiters();
    }
}

impl std::fmt::Debug for Ack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ack({})", self.sequence)
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reader({})", self.destination)
    }
}
