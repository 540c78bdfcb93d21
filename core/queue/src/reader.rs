//! Reading a stream for one destination.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use throughline_component::Position;
use throughline_component::port::StoreError;

use crate::Record;
use crate::ahead::FromDisk;
use crate::cursor::Cursor;
use crate::limits::{Reason, Sum};
use crate::settings::{ASIDE_RECORDS, WINDOW_RECORDS};
use crate::shared::Shared;

/// How many records that are set aside are given out again at once.
pub const AGAIN: usize = 256;

/// Yields what a destination has not settled yet, in order. There is one reader a cursor at a time; dropping it gives
/// the lease back, and what it gave out and was not settled will be read again.
pub struct Reader {
    shared: Arc<Shared>,
    stream: u64,
    destination: Arc<str>,
    lease: u64,
    disk: Option<FromDisk>,
    /// What was set aside and is to be given out again.
    again: BTreeSet<u64>,
    /// Behind which of them it stopped.
    looked: u64,
}

/// A record on its way to its destination.
#[derive(Debug)]
pub struct Delivered {
    /// Where it lies.
    pub position: Position,
    /// The record.
    pub record: Arc<Record>,
    /// Whether it was given out before, and set aside.
    pub again: bool,
    /// To say what became of it.
    pub ack: Ack,
}

/// The duty to say what became of a delivery. Dropped without a word, the record is given out again.
pub struct Ack {
    shared: Arc<Shared>,
    stream: u64,
    sequence: u64,
    destination: Arc<str>,
    lease: u64,
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

impl Reader {
    pub(crate) async fn lease(
        shared: Arc<Shared>,
        stream: u64,
        destination: &str,
    ) -> Result<Self, StoreError> {
        loop {
            let changed = {
                let mut state = shared.state();
                let Some(held) = state.stream_mut(stream) else {
                    return Err(StoreError("there is no such stream".into()));
                };
                let Some(cursor) = held.cursor_mut(destination) else {
                    return Err(StoreError(format!("{destination} has no cursor in {}", held.name())));
                };
                if let Some(lease) = cursor.attach() {
                    drop(state);
                    return Ok(Self {
                        shared,
                        stream,
                        destination: destination.into(),
                        lease,
                        disk: Some(FromDisk::default()),
                        again: BTreeSet::new(),
                        looked: 0,
                    });
                }
                held.changed().notified_owned()
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
                state.streams().get(&self.stream).map(|stream| stream.changed().notified_owned())
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
        let Some(stream) = state.stream_mut(self.stream) else { return Polled::Wait };
        let Some((cursor, tail, segments)) = stream.reading(&self.destination) else { return Polled::Wait };
        let full = cursor.is_full(self.shared.settings.window_bytes, WINDOW_RECORDS);
        let found = loop {
            if let Some(returned) = cursor.take_returned() {
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
            disk.next = disk.next.max(cursor.next()).max(cursor.wanted_from());
            if disk.next < tail.from() {
                let behind = segments.range(..tail.from()).next_back();
                if behind.is_some_and(|(_, segment)| segment.last >= disk.next) {
                    return Polled::Load;
                }
                disk.next = tail.from();
            }
            let Some((sequence, record)) = tail.at(disk.next) else {
                // Nothing up to the newest record is left to be delivered. A file that is kept open would keep its space after its removal.
                disk.open = None;
                if cursor.next() < disk.next {
                    cursor.look_past(disk.next);
                    cursor.advance();
                }
                return Polled::Wait;
            };
            disk.open = None;
            if cursor.wants(*sequence) {
                break (*sequence, Arc::clone(record));
            }
            cursor.look_past(sequence + 1);
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
            lease: self.lease,
            settled: false,
        };
        let again = !self.again.is_empty() && self.again.remove(&sequence);
        Polled::Record(Delivered { position: Position { stream: self.stream, sequence }, record, again, ack })
    }

    /// Whether nothing more is given out until something is settled or [set aside](Ack::set_aside).
    pub fn is_full(&self) -> bool {
        let window = self.shared.settings.window_bytes;
        self.look(|cursor| cursor.is_full(window, WINDOW_RECORDS)).unwrap_or_default()
    }

    /// How many records are set aside.
    pub fn aside(&self) -> usize {
        self.look(|cursor| cursor.aside()).unwrap_or_default()
    }

    fn look<T>(&self, at: impl FnOnce(&Cursor) -> T) -> Option<T> {
        let mut state = self.shared.state();
        state.stream_mut(self.stream)?.cursor_mut(&self.destination).map(|cursor| at(cursor))
    }

    /// Whether as much is set aside as may be.
    pub fn is_aside_full(&self) -> bool {
        self.aside() >= ASIDE_RECORDS
    }

    /// Some of what is set aside is given out again, before what comes next: each time those behind the ones before, and in the end
    /// from the first on.
    pub fn look_again(&mut self) {
        self.disk = Some(FromDisk::default());
        let (from, mut again) = (self.looked, BTreeSet::new());
        self.cursor(|cursor| again = cursor.look_again(from, AGAIN));
        // Those behind the last one; if it went on from the front, behind that.
        let last = again.range(..from).next_back().or(again.last());
        self.looked = last.map_or(0, |last| last + 1);
        self.again.append(&mut again);
    }

    /// From now on the cursor goes no further than [`advance_to`](Self::advance_to) says: the destination keeps what it takes in a
    /// registry, which a crash takes back to its last synced snapshot. What is settled makes room for more all the same.
    pub fn pin(&self) {
        self.cursor(Cursor::pin);
    }

    /// All records up to this one are in a synced snapshot of the destination's registry.
    pub fn advance_to(&self, sequence: u64) {
        self.cursor(|cursor| cursor.advance_to(sequence));
    }

    fn cursor(&self, change: impl FnOnce(&mut Cursor)) {
        let mut state = self.shared.state();
        let stream = state.moved_stream(self.stream);
        if let Some(cursor) = stream.and_then(|stream| stream.cursor_mut(&self.destination)) {
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
        let Some(stream) = state.stream_mut(self.stream) else { return };
        if let Some(cursor) = stream.cursor_mut(&self.destination) {
            cursor.detach(now);
        }
        stream.notify();
        state.look_soon();
        self.shared.wake(state);
    }
}

impl Ack {
    /// It is delivered, or refused for good.
    pub fn done(mut self) {
        self.settled = true;
        let mut state = self.shared.state();
        if let Some(stream) = state.moved_stream(self.stream) {
            if let Some(cursor) = stream.cursor_mut(&self.destination) {
                cursor.acknowledge(self.lease, self.sequence);
            }
            stream.notify();
        }
        self.shared.wake(state);
    }
}

impl Ack {
    /// It is not delivered, and is not to take memory: it is read from the stream again when the reader [looks
    /// again](Reader::look_again).
    pub fn set_aside(mut self) {
        self.settled = true;
        self.back(|cursor, ack| cursor.set_aside(ack.lease, ack.sequence));
    }

    /// It comes back undelivered; `back` says whether it has been dropped meanwhile.
    fn back(&self, back: impl FnOnce(&mut Cursor, &Self) -> bool) {
        let mut state = self.shared.state();
        let Some(stream) = state.stream_mut(self.stream) else { return };
        let cursor = stream.cursor_mut(&self.destination);
        let dropped = cursor.is_some_and(|cursor| back(cursor, self));
        stream.notify();
        if dropped {
            let key = (stream.name().to_owned(), self.destination.to_string(), Reason::DropOldest);
            state.count_dropped(key, Sum { records: 1, items: u64::from(self.record.items) });
        }
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        if !self.settled {
            self.back(|cursor, ack| cursor.give_back(ack.lease, ack.sequence, &ack.record));
        }
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
