//! One walk of fused editors over a chunk's bytes.

use std::sync::Arc;

use throughline_component::{Barrier, Chunk, DynEditor, Outcome, Pass, Settle};
use throughline_otlp::Signal;
use throughline_otlp::edit::{Keep, Levels, Record, Rewritten, rewrite};

use crate::ledger::{Hop, add};

/// Editors that share a walk.
pub(crate) struct Walk {
    pub(crate) editors: Vec<Arc<dyn DynEditor>>,
    pub(crate) hop: Arc<Hop>,
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
            chunk.bytes = rewritten.bytes;
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
