//! How much may wait for a destination, so that one that is down takes nothing from the others.

use std::io;
use std::sync::Arc;

use throughline_component::port::Disk;

use crate::cursor::CursorPosition;
use crate::frame::Kind;
use crate::limits::{Reason, Sum};
use crate::scan::{Found, Scanner};
use crate::stream::Part;

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
