//! A processor at work: called in line, ticked by a task of its own, rebuilt if it panics.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use throughline_component::port::Clock;
use throughline_component::{Batch, DynProcessor, Emitter, Health, Outcome, Stop};
use tokio::sync::Notify;

use crate::ledger::{Hop, add};
use crate::panics::message;
use crate::supervisor::RESTART;

/// One processor of one pipeline.
pub(crate) struct RunningProcessor {
    pub(crate) name: String,
    /// Whether it is a connector.
    connects: bool,
    processor: Mutex<Option<Box<dyn DynProcessor>>>,
    rebuild: Box<dyn Fn() -> Option<Box<dyn DynProcessor>> + Send + Sync>,
    hop: Arc<Hop>,
    health: Arc<Health>,
    sooner: Notify,
    /// Nothing is kept back any more: nobody ticks it from now on.
    draining: AtomicBool,
}

impl RunningProcessor {
    pub(crate) fn new(
        name: String,
        connects: bool,
        processor: Box<dyn DynProcessor>,
        rebuild: Box<dyn Fn() -> Option<Box<dyn DynProcessor>> + Send + Sync>,
        hop: Arc<Hop>,
        health: Arc<Health>,
    ) -> Self {
        Self {
            name,
            connects,
            processor: Mutex::new(Some(processor)),
            rebuild,
            hop,
            health,
            sooner: Notify::new(),
            draining: AtomicBool::new(false),
        }
    }

    /// Gives it a batch and takes what it emits.
    pub(crate) fn accept(&self, batch: Batch) -> Vec<Batch> {
        let items = batch.items();
        add(&self.hop.taken, items);
        let held = i64::try_from(items).unwrap_or(i64::MAX);
        self.hop.held.fetch_add(held, Ordering::Relaxed);
        let mut emitted = self.call(move |processor, out| processor.accept(batch, out));
        if self.draining.load(Ordering::SeqCst) {
            // A request that began before a reload and arrives after it: its sender waits, and no tick will come.
            emitted.append(&mut self.flush());
        }
        emitted
    }

    /// From now on whatever is accepted goes on at once. What is kept already goes with the next [`Self::flush`].
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Everything that it keeps must go.
    pub(crate) fn flush(&self) -> Vec<Batch> {
        self.call(|processor, out| processor.flush(out))
    }

    fn call(&self, work: impl FnOnce(&mut dyn DynProcessor, &mut Emitter)) -> Vec<Batch> {
        let mut emitter = Emitter::default();
        let mut slot = self.processor.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.is_none() {
            *slot = (self.rebuild)();
            if slot.is_some() {
                self.health.revived(&self.name);
            }
        }
        // Without a processor the batch is dropped here, and so answered with Retry.
        let Some(processor) = slot.as_mut() else { return Vec::new() };
        let before = processor.wakes_at();
        let result = catch_unwind(AssertUnwindSafe(|| work(processor.as_mut(), &mut emitter)));
        if let Err(panic) = result {
            let why = message(&*panic);
            self.health.died(&self.name, &why);
            *slot = None;
            // All that it kept is dropped with it, and so goes back to its senders.
            let kept = self.hop.held.swap(0, Ordering::Relaxed);
            add(&self.hop.returned, u64::try_from(kept).unwrap_or_default());
            // Whoever ticks it may be waiting for a time that the next one does not know of.
            self.sooner.notify_one();
            return Vec::new();
        }
        let after = processor.wakes_at();
        drop(slot);
        if after.is_some_and(|after| before.is_none_or(|before| after < before)) {
            self.sooner.notify_one();
        }
        let (emitted, settled) = emitter.take();
        self.account(emitted.iter().map(Batch::items).sum(), &settled);
        emitted
    }

    /// Books what one call emitted and ended. What a connector takes goes into what it makes: merged on one side, created
    /// on the other.
    fn account(&self, emitted: u64, settled: &[(u64, Outcome)]) {
        let ended: u64 = settled.iter().map(|(items, _)| items).sum();
        for (items, outcome) in settled {
            match outcome {
                Outcome::Done { .. } => add(&self.hop.merged, *items),
                Outcome::Retry { .. } => add(&self.hop.returned, *items),
                Outcome::Reject { kind, .. } => self.hop.reject_items(kind.as_str(), *items),
            }
        }
        add(&self.hop.out, emitted);
        let left = if self.connects {
            add(&self.hop.created, emitted);
            ended
        } else {
            ended + emitted
        };
        self.hop.held.fetch_sub(i64::try_from(left).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// Ticks it until told to stop; `forward` takes what it emits.
    pub(crate) async fn tick(&self, clock: &dyn Clock, mut stop: Stop, forward: impl Fn(Batch) + Send) {
        loop {
            let until = |at: u64| Duration::from_nanos(at.saturating_sub(clock.monotonic_nanos()));
            let wait = match &*self.processor.lock().unwrap_or_else(PoisonError::into_inner) {
                Some(processor) => processor.wakes_at().map(until),
                // It panicked. What it has to say at its own time must not wait for the next batch.
                None => Some(RESTART),
            };
            tokio::select! {
                () = stop.stopped() => return,
                () = self.sooner.notified() => {}
                () = sleep(wait) => {
                    let now = clock.monotonic_nanos();
                    self.call(|processor, out| processor.tick(now, out)).into_iter().for_each(&forward);
                }
            }
        }
    }
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
