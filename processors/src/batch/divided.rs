//! A request on its way in parts.
//!
//! A part repeats resource and scope, so that a few kilobytes can become gigabytes: the parts are made one by one, and what
//! they have beyond the request is charged until they settle. One part of each request goes without being granted memory,
//! so that a request comes through however large its parts are together; the others wait.

use std::sync::Arc;

use bytes::Bytes;
use throughline_component::port::{Budget, Charge};
use throughline_component::{Batch, Chunk, Context, Dividing, Emitter, Outcome};
use throughline_otlp::Signal;
use throughline_otlp::batch::Split;

/// What a part takes besides its bytes.
const PART: usize = 256;

pub(super) struct Divided {
    signal: Signal,
    split: Split,
    /// The next part, while it waits for memory.
    ready: Option<(Bytes, u32)>,
    /// Bytes that parts may have still on the charge of the request itself.
    free: usize,
    /// Items in parts that have not been sent.
    left: u32,
    context: Arc<Context>,
    /// None once there are no more parts.
    settle: Option<Dividing>,
}

pub(super) enum Next {
    Part(Chunk),
    /// There is no memory for one.
    Wait,
    End,
}

impl Divided {
    pub(super) fn new(signal: Signal, chunk: Chunk, max: u32) -> Self {
        let Chunk { bytes, items, context, settle, .. } = chunk;
        let free = bytes.len();
        let split = Split::new(signal, bytes, max);
        Self { signal, split, ready: None, free, left: items, context, settle: Some(settle.dividing()) }
    }

    /// The next part, if there is memory for it or the request has no other under way.
    pub(super) fn next(&mut self, budget: Option<&Arc<Budget>>) -> Next {
        let Some(settle) = &self.settle else { return Next::End };
        let Some((bytes, items)) = self.ready.take().or_else(|| self.split.next()) else {
            self.settle.take().into_iter().for_each(|settle| settle.finish(Outcome::DONE));
            return Next::End;
        };
        let mut charge = budget.map_or_else(Charge::none, Budget::charge);
        let beyond = (bytes.len() + PART).saturating_sub(self.free);
        if !charge.grow(beyond) && settle.open() > 0 {
            self.ready = Some((bytes, items));
            return Next::Wait;
        }
        self.free = self.free.saturating_sub(bytes.len() + PART);
        self.left = self.left.saturating_sub(items);
        let settle = settle.part(items).holding(charge);
        // A place in a stream belongs to a whole record: two parts with one would look like a replay of the first.
        Next::Part(Chunk { bytes, items, position: None, context: Arc::clone(&self.context), settle })
    }

    /// Gives back what has not been sent: the sender has to try again.
    pub(super) fn give_back(mut self, out: &mut Emitter) {
        let Some(dividing) = self.settle.take() else { return };
        let (items, settle) = (self.left, dividing.part(self.left));
        let rest = Chunk { bytes: Bytes::new(), items, position: None, context: self.context, settle };
        let why = "the agent stops while a divided request waits for memory";
        out.settle(Batch::one(self.signal, rest), &Outcome::retry(why));
        dividing.finish(Outcome::DONE);
    }
}
