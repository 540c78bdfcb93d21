//! How much may wait for a destination, so that one that is down takes nothing from the others.

use std::io;
use std::sync::Arc;

use throughline_component::port::Disk;

use crate::cursor::CursorPosition;
use crate::frame::Kind;
use crate::limits::{Reason, Sum};
use crate::scan::{Found, Scanner};
use crate::settings::Overflow;
use crate::state::State;
use crate::stream::Part;

impl State {
    /// Works out how much may wait for a destination.
    pub(crate) fn share(&mut self) {
        let streams = self.streams.values().filter(|stream| !stream.cursors().is_empty()).count();
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
            let destinations: Vec<String> = stream.cursors().keys().cloned().collect();
            for destination in destinations {
                let Some((place, parts)) = stream.drop_oldest(&destination, quota) else { continue };
                let (name, reason) = (stream.name().to_owned(), Reason::DropOldest);
                losses.push(Loss { stream: name, destination, reason, place, parts });
            }
            stream.count_passed();
            stream.notify();
        }
        losses
    }

    /// Takes a cursor away. Says what its destination loses.
    pub(crate) fn drop_cursor(&mut self, stream: u64, destination: &str, reason: Reason) -> Option<Loss> {
        let stream = self.streams.get_mut(&stream)?;
        let parts = stream.waiting(destination);
        let cursor = stream.remove_cursor(destination)?;
        let (stream, destination) = (stream.name().to_owned(), destination.to_owned());
        let gone = crate::entry::Entry::Gone { stream: stream.clone(), destination: destination.clone() };
        self.gone.push(gone);
        self.moved = true;
        self.share();
        Some(Loss { stream, destination, reason, place: cursor.place(), parts })
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
