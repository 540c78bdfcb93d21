//! Reading a stream's segments ahead of a reader.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crate::Record;
use crate::frame::Kind;
use crate::scan::{Found, Scanner};
use crate::segment::Segment;
use crate::shared::Shared;

/// How much is read from the disk ahead of what is given out.
const AHEAD: usize = 1 << 20;

/// What was read ahead.
#[derive(Default)]
pub(crate) struct FromDisk {
    pub(crate) ready: VecDeque<(u64, Arc<Record>)>,
    pub(crate) open: Option<(u64, Scanner)>,
    /// All below was read, or passed over.
    pub(crate) next: u64,
}

impl Shared {
    /// A segment is gone that should be there.
    fn miss(&self, stream: u64, first: u64, error: &io::Error) {
        let mut state = self.state();
        if let Some(stream) = state.miss(stream, first) {
            tracing::error!(%error, %stream, "a segment is missing: what was in it is lost");
        }
    }
}

impl FromDisk {
    /// The segment in which the next record is to be looked for, its key, and where the one behind it begins.
    pub(crate) fn from(&self, shared: &Shared, stream: u64) -> Option<(u64, Segment, u64)> {
        let state = shared.state();
        let segments = state.streams().get(&stream)?.segments();
        let behind = |first: u64| segments.range(first + 1..).next().map_or(u64::MAX, |(next, _)| *next);
        let mut candidates = segments.iter().map(|(first, segment)| (*first, segment, behind(*first)));
        candidates
            .find(|(_, segment, limit)| segment.last >= self.next && *limit > self.next)
            .map(|(first, segment, limit)| (first, segment.clone(), limit))
    }

    /// Nothing more comes of a segment; what it holds from `limit` on stands in the next one.
    fn end(&mut self, segment: &Segment, limit: u64) {
        self.next = self.next.max(limit.min(segment.last + 1));
    }

    /// Reads ahead in a segment. This blocks.
    pub(crate) fn load(
        &mut self,
        shared: &Shared,
        stream: u64,
        from: Option<(u64, Segment, u64)>,
    ) -> io::Result<()> {
        let Some((first, segment, limit)) = from else { return Ok(()) };
        let mut scanner = match self.open.take() {
            Some((open, scanner)) if open == first => scanner,
            _ => match shared.ports.disk.open(&segment.path) {
                Ok(file) => Scanner::new(file, segment.salt),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // It waits for nobody any more, or somebody else has removed it. Waiting brings it back in no case.
                    self.end(&segment, limit);
                    shared.miss(stream, first, &error);
                    return Ok(());
                }
                Err(error) => return Err(error),
            },
        };
        let (mut read, mut damaged) = (0, 0);
        loop {
            if read >= AHEAD {
                break;
            }
            match scanner.next(segment.end)? {
                Found::Frame(head, body, _) if head.kind == Kind::Record => {
                    if head.sequence < self.next {
                        continue;
                    }
                    if head.sequence >= limit {
                        self.next = limit;
                        break;
                    }
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
                    self.end(&segment, limit);
                    break;
                }
            }
        }
        self.open = Some((first, scanner));
        if damaged > 0 {
            tracing::error!(damaged, file = %segment.path.display(), "damaged records were passed over");
            shared.state().count_damaged(stream, damaged);
        }
        Ok(())
    }
}
