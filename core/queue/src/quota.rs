//! How much may wait for a destination, so that one that is down takes nothing from the others.

use std::io;
use std::sync::Arc;

use throughline_component::port::{Clock, Disk};

use crate::Record;
use crate::cursor::{Cursor, CursorPosition};
use crate::frame::Kind;
use crate::limits::{Dropped, GRACE, Reason, Sum};
use crate::scan::{Found, Scanner};
use crate::settings::Overflow;
use crate::state::{Segment, State, Stream};

impl Stream {
    /// Whether somebody may have more than the quota: a look at one number, at every turn.
    fn may_be_over(&self, quota: u64) -> bool {
        self.bytes > quota
    }

    /// Bytes of the segments that a cursor holds.
    pub(crate) fn held(&self, destination: &str) -> u64 {
        self.cursors.get(destination).map_or(0, |cursor| self.bytes - cursor.passed.bytes.min(self.bytes))
    }

    /// Counts segments that cursors have passed since this was done last.
    pub(crate) fn count_passed(&mut self) {
        for cursor in self.cursors.values_mut() {
            while let Some((first, segment)) = self
                .segments
                .range(cursor.passed.below..)
                .next()
                .filter(|(_, segment)| segment.last < cursor.low)
            {
                if segment.active {
                    break;
                }
                cursor.passed.below = first + 1;
                cursor.passed.bytes += segment.end;
            }
        }
    }

    /// A segment is gone.
    pub(crate) fn forget(&mut self, first: u64) -> Option<Segment> {
        let segment = self.segments.remove(&first)?;
        self.bytes -= segment.end;
        for cursor in self.cursors.values_mut().filter(|cursor| first < cursor.passed.below) {
            cursor.passed.bytes -= segment.end;
        }
        Some(segment)
    }

    /// Whether a record can be taken in, and for whom it is not. Nobody is left out unless somebody is not.
    pub(crate) fn admits(
        &mut self,
        record: &Record,
        overflow: Overflow,
        quota: u64,
        dropped: &mut Dropped,
        clock: &dyn Clock,
    ) -> bool {
        let sequence = self.next;
        let coming = self.pending + record.size() as u64;
        let bytes = self.bytes + coming;
        if bytes <= quota {
            return true;
        }
        let now = clock.monotonic_nanos();
        let is_over = |cursor: &Cursor| bytes - cursor.passed.bytes.min(bytes) > quota;
        // Whoever is not configured keeps nobody waiting, and nothing is dropped for what comes in for him.
        let is_orphan = |cursor: &Cursor| cursor.orphan.is_some_and(|idle| idle.age(now) >= GRACE);
        let is_left_out =
            |cursor: &Cursor| is_over(cursor) && (overflow == Overflow::DropNewest || is_orphan(cursor));
        let blocks = |cursor: &Cursor| overflow == Overflow::Block && is_over(cursor) && !is_orphan(cursor);
        if self.cursors.values().any(blocks)
            || (!self.cursors.is_empty() && self.cursors.values().all(is_left_out))
        {
            return false;
        }
        for (destination, cursor) in self.cursors.iter_mut().filter(|(_, cursor)| is_left_out(cursor)) {
            cursor.skips.add(sequence, sequence + 1);
            cursor.dirty = true;
            let key = (self.name.clone(), destination.clone(), Reason::DropNewest);
            *dropped.entry(key).or_default() += Sum { records: 1, items: u64::from(record.items) };
        }
        true
    }
}

impl State {
    /// Works out how much may wait for a destination.
    pub(crate) fn share(&mut self) {
        let streams = self.streams.values().filter(|stream| !stream.cursors.is_empty()).count();
        self.quota = self.limits.quota(streams);
    }

    /// Moves cursors of destinations for which too much waits. Says what they lose.
    pub(crate) fn drop_oldest(&mut self) -> Vec<Loss> {
        let mut losses = Vec::new();
        if self.limits.overflow != Overflow::DropOldest {
            return losses;
        }
        let quota = self.quota;
        for stream in self.streams.values_mut().filter(|stream| stream.may_be_over(quota)) {
            let destinations: Vec<String> = stream.cursors.keys().cloned().collect();
            for destination in destinations {
                let Some(cursor) = stream.cursors.get(&destination).filter(|c| c.orphan.is_none()) else {
                    continue;
                };
                let (place, mut held) = (cursor.waiting(), stream.held(&destination));
                let mut over = Vec::new();
                for part in stream.parts(cursor.passed.below) {
                    if held <= quota || part.segment.active {
                        break;
                    }
                    held -= part.segment.end;
                    over.push(part);
                }
                let Some(to) = over.last().map(Part::end) else { continue };
                if let Some(cursor) = stream.cursors.get_mut(&destination) {
                    cursor.drop_below(to);
                }
                let name = stream.name.clone();
                losses.push(Loss {
                    stream: name,
                    destination,
                    reason: Reason::DropOldest,
                    place,
                    parts: over,
                });
            }
            stream.count_passed();
            stream.changed.notify_waiters();
        }
        losses
    }

    /// Takes a cursor away. Says what its destination loses.
    pub(crate) fn drop_cursor(&mut self, stream: u64, destination: &str, reason: Reason) -> Option<Loss> {
        let stream = self.streams.get_mut(&stream)?;
        let parts = stream.waiting(destination);
        let cursor = stream.cursors.remove(destination)?;
        stream.changed.notify_waiters();
        let (stream, destination) = (stream.name.clone(), destination.to_owned());
        let gone = crate::entry::Entry::Gone { stream: stream.clone(), destination: destination.clone() };
        self.gone.push(gone);
        self.moved = true;
        self.share();
        Some(Loss { stream, destination, reason, place: cursor.place(), parts })
    }
}

impl Stream {
    /// The segments in which something waits for a destination.
    pub(crate) fn waiting(&self, destination: &str) -> Vec<Part> {
        let Some(cursor) = self.cursors.get(destination) else { return Vec::new() };
        self.parts(0).filter(|part| !cursor.has_passed(part.first, part.segment.last)).collect()
    }

    /// The segments that begin with a number or behind it.
    fn parts(&self, from: u64) -> impl Iterator<Item = Part> {
        let limits = self.segments.range(from..).skip(1).map(|(first, _)| *first).chain([u64::MAX]);
        let parts = self.segments.range(from..).zip(limits);
        parts.map(|((first, segment), limit)| Part { first: *first, limit, segment: segment.clone() })
    }
}

/// A segment and where the next one begins: what it holds from there on a failed sync has left behind.
pub(crate) struct Part {
    first: u64,
    limit: u64,
    segment: Segment,
}

impl Part {
    /// All of its records are below this.
    fn end(&self) -> u64 {
        self.limit.min(self.segment.last + 1)
    }
}

/// What a destination does not get.
pub(crate) struct Loss {
    pub(crate) stream: String,
    pub(crate) destination: String,
    pub(crate) reason: Reason,
    pub(crate) place: CursorPosition,
    pub(crate) parts: Vec<Part>,
}

/// How much of some segments is unsettled, seen from a place. This reads those that are settled in part.
pub(crate) fn unsettled(disk: &Arc<dyn Disk>, place: &CursorPosition, parts: &[Part]) -> Sum {
    let mut sum = Sum::default();
    for part in parts {
        let untouched = place.high <= part.first && place.skips.iter().len() == 0;
        let whole = untouched && part.segment.last < part.limit;
        let counted = if whole { None } else { scan(&**disk, place, part).ok() };
        sum += counted.unwrap_or_else(|| {
            part.segment.counts.iter().fold(Sum::default(), |mut sum, (records, items)| {
                sum += Sum { records: *records, items: *items };
                sum
            })
        });
    }
    sum
}

fn scan(disk: &dyn Disk, place: &CursorPosition, Part { limit, segment, .. }: &Part) -> io::Result<Sum> {
    let mut scanner = Scanner::new(disk.open(&segment.path)?, segment.salt);
    let mut sum = Sum::default();
    loop {
        match scanner.next(segment.end)? {
            Found::Frame(head, _, _) if head.kind == Kind::Record && head.sequence < *limit => {
                if place.wants(head.sequence) {
                    sum += Sum { records: 1, items: u64::from(head.items) };
                }
            }
            Found::Frame(..) | Found::Bad => {}
            Found::End(_) => return Ok(sum),
        }
    }
}

#[cfg(test)]
mod tests;
