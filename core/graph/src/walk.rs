//! One walk of fused editors over a chunk's bytes.

use std::sync::Arc;

use bytes::Bytes;
use throughline_component::port::{Budget, Charge};
use throughline_component::{Barrier, Chunk, DynEditor, Outcome, Pass, RejectKind, Settle, Verdict};
use throughline_otlp::Signal;
use throughline_otlp::edit::{Keep, Levels, Record, Rewritten, rewrite_within};

use crate::ledger::{Hop, add};

/// In what steps room is taken for what edits add.
const STEP: usize = 256 << 10;

/// Editors that share a walk.
pub(crate) struct FusedWalk {
    /// At least one; each with the account of its step.
    pub(crate) editors: Vec<(Arc<dyn DynEditor>, Arc<Hop>)>,
    /// What edits add is charged here.
    pub(crate) memory: Option<Arc<Budget>>,
}

/// Books the items of a chunk that an editor's panic gives back to its sender.
struct DropGuard<'a> {
    hop: &'a Hop,
    items: u64,
}

impl Drop for DropGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            add(&self.hop.returned, self.items);
        }
    }
}

/// What edits may add before they are charged for it: half as much as there was, an attribute more in every span.
fn free(before: usize) -> usize {
    before + before / 2
}

/// OutputMemory for what one walk writes, taken while it writes.
struct OutputMemory<'a> {
    memory: Option<&'a Arc<Budget>>,
    charge: Charge,
    taken: usize,
    free: usize,
    /// Why there is no more.
    refused: Option<Outcome>,
}

impl<'a> OutputMemory<'a> {
    fn new(memory: Option<&'a Arc<Budget>>, before: usize) -> Self {
        let charge = memory.map_or_else(Charge::none, Budget::charge);
        Self { memory, charge, taken: 0, free: free(before), refused: None }
    }

    /// Up to which length more may be written, where so much is.
    fn more(&mut self, written: usize) -> Option<usize> {
        let Some(memory) = self.memory else { return Some(usize::MAX) };
        if written > self.free + self.taken {
            let more = (written - self.free - self.taken).max(STEP);
            if self.taken + more > memory.limit() / 2 + STEP {
                let why = "what edits add to this request is more than half of the memory budget";
                self.refused = Some(Outcome::reject(RejectKind::TooLarge, why));
                return None;
            }
            if !self.charge.grow(more) {
                self.refused = Some(Outcome::retry("the memory budget has no room for what edits add"));
                return None;
            }
            self.taken += more;
        }
        Some(self.free + self.taken)
    }

    /// Holds what edits have made of `before` until it is settled. Where another pipeline keeps the request as it was, all of it
    /// is a copy.
    fn hold(mut self, before: Bytes, after: usize, settle: Settle) -> Settle {
        let replaced = if before.is_unique() { before.len() } else { 0 };
        let excess = after.saturating_sub(replaced + before.len() / 2).max(self.taken);
        self.charge.owe(excess - self.taken);
        if excess == 0 || self.memory.is_none() { settle } else { settle.holding(self.charge) }
    }
}

/// Editors at work on one chunk, by their number, and the levels each visits.
type Passes<'a> = Vec<(usize, Levels, Box<dyn Pass + 'a>)>;

/// What a walk made of a chunk, and what it is to wait for.
struct Edited {
    rewritten: Rewritten,
    barriers: Vec<Barrier>,
    /// Why records were dropped: the editor that did, and its reason. The rewriting counts by their places.
    causes: Vec<(usize, &'static str)>,
}

impl FusedWalk {
    /// Edits a chunk. `None`: every item was dropped, or there is no room for what edits add, and the chunk is settled.
    pub(crate) fn run(&self, signal: Signal, mut chunk: Chunk) -> Option<Chunk> {
        let Some((_, first)) = self.editors.first() else { return Some(chunk) };
        let items = u64::from(chunk.items);
        add(&first.taken, items);
        let guard = DropGuard { hop: first, items };
        let mut memory_use = OutputMemory::new(self.memory.as_ref(), chunk.bytes.len());
        let edited = self.edit(signal, &chunk, &mut memory_use);
        drop(guard);
        if let Some(refused) = memory_use.refused.take() {
            match &refused {
                Outcome::Reject { kind, .. } => first.reject_items(kind.as_str(), items),
                _ => add(&first.returned, items),
            }
            chunk.settle.settle(refused);
            return None;
        }
        let Some(Edited { rewritten, barriers, causes }) = edited else {
            self.account(items, &[], &[], 0);
            return Some(chunk);
        };
        if !barriers.is_empty() {
            let settle = std::mem::replace(&mut chunk.settle, Settle::nobody());
            chunk.settle = barriers.into_iter().fold(settle, Settle::and);
        }
        if rewritten.changed {
            let before = std::mem::replace(&mut chunk.bytes, rewritten.bytes);
            chunk.settle = memory_use.hold(before, chunk.bytes.len(), chunk.settle);
            chunk.items -= rewritten.dropped_items;
        }
        self.account(items, &causes, &rewritten.dropped, rewritten.dropped_items);
        if chunk.items == 0 && items > 0 {
            chunk.settle.settle(Outcome::DONE);
            return None;
        }
        Some(chunk)
    }

    /// Books what went through each step. Of `dropped` items those that no cause accounts for are points that edits took out of
    /// metrics; the last step has them.
    fn account(&self, mut items: u64, causes: &[(usize, &'static str)], counts: &[(u32, u32)], dropped: u32) {
        let counted: u32 = counts.iter().map(|(_, count)| count).sum();
        let points = u64::from(dropped.saturating_sub(counted));
        let last = self.editors.len() - 1;
        for (number, (_, hop)) in self.editors.iter().enumerate() {
            if number > 0 {
                add(&hop.taken, items);
            }
            for (cause, count) in counts {
                if let Some((_, reason)) = causes.get(*cause as usize).filter(|(of, _)| *of == number) {
                    hop.drop_items(reason, u64::from(*count));
                    items -= u64::from(*count);
                }
            }
            if number == last {
                hop.drop_items("points", points);
                items -= points;
            }
            add(&hop.out, items);
        }
    }

    /// `None`: no editor has anything to do, or `room` was refused.
    fn edit(&self, signal: Signal, chunk: &Chunk, memory_use: &mut OutputMemory<'_>) -> Option<Edited> {
        let mut levels = Levels::NONE;
        let mut passes: Passes<'_> = Vec::with_capacity(self.editors.len());
        for (number, (editor, _)) in self.editors.iter().enumerate() {
            if let Some(pass) = editor.begin(signal, chunk) {
                let visits = editor.access().visits;
                levels = levels | visits;
                passes.push((number, visits, pass));
            }
        }
        if passes.is_empty() {
            return None;
        }
        let mut causes = Vec::new();
        let mut edit = |record: &mut Record<'_>| {
            let level = record.level();
            for (number, visits, pass) in &mut passes {
                if visits.contains(level)
                    && let Verdict::Drop(reason) = pass.edit(record)
                {
                    return Keep::No(place_of(&mut causes, (*number, reason)));
                }
            }
            Keep::Yes
        };
        let mut more = |written| memory_use.more(written);
        let mut rewritten = rewrite_within(signal, &chunk.bytes, levels, &mut more, &mut edit)?;
        for (_, _, pass) in &mut passes {
            if let Some(bytes) = pass.groups(signal, &rewritten.bytes) {
                rewritten = Rewritten { bytes, changed: true, ..rewritten };
            }
        }
        let barriers = passes.into_iter().filter_map(|(_, _, pass)| pass.finish()).collect();
        Some(Edited { rewritten, barriers, causes })
    }
}

/// The place of a cause, of which there are few.
fn place_of(causes: &mut Vec<(usize, &'static str)>, cause: (usize, &'static str)) -> u32 {
    let place = causes.iter().position(|known| *known == cause).unwrap_or_else(|| {
        causes.push(cause);
        causes.len() - 1
    });
    u32::try_from(place).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod fused;
#[cfg(test)]
mod tests;
