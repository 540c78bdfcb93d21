//! One walk of fused editors over a chunk's bytes.

use std::sync::Arc;

use bytes::Bytes;
use throughline_component::port::Budget;
use throughline_component::{Barrier, Chunk, DynEditor, Outcome, Pass, Settle};
use throughline_otlp::Signal;
use throughline_otlp::edit::{Keep, Levels, Record, Rewritten, rewrite};

use crate::ledger::{Hop, add};

/// Editors that share a walk.
pub(crate) struct Walk {
    pub(crate) editors: Vec<Arc<dyn DynEditor>>,
    pub(crate) hop: Arc<Hop>,
    /// What edits add is charged here.
    pub(crate) memory: Option<Arc<Budget>>,
}

/// Books the items of a chunk that an editor's panic gives back to its sender.
struct Fallen<'a> {
    hop: &'a Hop,
    items: u64,
}

impl Drop for Fallen<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            add(&self.hop.returned, self.items);
        }
    }
}

/// Charges what edits have made of `before` until that is settled. Half as much again as the request is not worth a charge:
/// an attribute more in every span. Where another pipeline keeps the request as it was, all of it is a copy.
fn charged(memory: Option<&Arc<Budget>>, before: Bytes, after: usize, settle: Settle) -> Settle {
    let replaced = if before.is_unique() { before.len() } else { 0 };
    let beyond = after.saturating_sub(replaced + before.len() / 2);
    let Some(memory) = memory.filter(|_| beyond > 0) else { return settle };
    let mut charge = memory.charge();
    charge.owe(beyond);
    settle.holding(charge)
}

/// Editors at work on one chunk, and the levels each visits.
type Passes<'a> = Vec<(Levels, Box<dyn Pass + 'a>)>;

impl Walk {
    /// Edits a chunk. `None`: every item was dropped, and the chunk is settled.
    pub(crate) fn run(&self, signal: Signal, mut chunk: Chunk) -> Option<Chunk> {
        let items = u64::from(chunk.items);
        add(&self.hop.taken, items);
        let fallen = Fallen { hop: &self.hop, items };
        let edited = self.edit(signal, &chunk);
        drop(fallen);
        let Some((rewritten, barriers)) = edited else {
            add(&self.hop.out, items);
            return Some(chunk);
        };
        if !barriers.is_empty() {
            let settle = std::mem::replace(&mut chunk.settle, Settle::nobody());
            chunk.settle = barriers.into_iter().fold(settle, Settle::and);
        }
        if rewritten.changed {
            let before = std::mem::replace(&mut chunk.bytes, rewritten.bytes);
            chunk.settle = charged(self.memory.as_ref(), before, chunk.bytes.len(), chunk.settle);
            chunk.items -= rewritten.dropped_items;
        }
        add(&self.hop.out, u64::from(chunk.items));
        self.hop.drop_items("editor", items - u64::from(chunk.items));
        if chunk.items == 0 && items > 0 {
            chunk.settle.settle(Outcome::DONE);
            return None;
        }
        Some(chunk)
    }

    /// `None`: no editor has anything to do.
    fn edit(&self, signal: Signal, chunk: &Chunk) -> Option<(Rewritten, Vec<Barrier>)> {
        let mut levels = Levels::NONE;
        let mut passes: Passes<'_> = Vec::with_capacity(self.editors.len());
        for editor in &self.editors {
            if let Some(pass) = editor.begin(signal, chunk) {
                let visits = editor.levels().visits;
                levels = levels | visits;
                passes.push((visits, pass));
            }
        }
        if passes.is_empty() {
            return None;
        }
        let mut edit = |record: &mut Record<'_>| {
            let level = record.level();
            for (visits, pass) in &mut passes {
                if visits.contains(level) && pass.edit(record) == Keep::No {
                    return Keep::No;
                }
            }
            Keep::Yes
        };
        let mut rewritten = rewrite(signal, &chunk.bytes, levels, &mut edit);
        for (_, pass) in &mut passes {
            if let Some(bytes) = pass.groups(signal, &rewritten.bytes) {
                rewritten = Rewritten { bytes, changed: true, ..rewritten };
            }
        }
        let barriers = passes.into_iter().filter_map(|(_, pass)| pass.finish()).collect();
        Some((rewritten, barriers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_edits_add_is_charged_until_it_is_settled() {
        let memory = Budget::new(1_000);
        let before = Bytes::from(vec![0; 100]);
        let grown = charged(Some(&memory), before.clone().slice(..0), 5_000, Settle::nobody());
        assert_eq!(memory.used(), 5_000, "nothing makes a million of it");
        let copy = charged(Some(&memory), before.clone(), 120, Settle::nobody());
        assert_eq!(memory.used(), 5_070, "another pipeline has it as it was");
        grown.settle(Outcome::DONE);
        copy.settle(Outcome::DONE);
        assert_eq!(memory.used(), 0);
        let _alone = charged(Some(&memory), before, 140, Settle::nobody());
        assert_eq!(memory.used(), 0, "a little more is free");
    }
}
