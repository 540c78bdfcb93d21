//! The stream before a fan-out: a chunk is appended once, and every stored destination reads it at its own pace.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use throughline_component::{
    Batch, Chunk, ComponentId, Fatal, Health, Metadata, Outcome, Position, Services, Settle, Warnings,
};
use throughline_otlp::Signal;
use throughline_queue::{Log, Record, Storage};

use crate::ledger::{Hop, add};
use crate::plan::Stored;

/// One pipeline's stream in a storage.
pub(crate) struct Stream {
    pub(crate) log: Arc<Log>,
    pub(crate) name: String,
    pub(crate) number: u64,
    /// The destinations for which this configuration has made a cursor.
    new: Vec<ComponentId>,
    /// What is kept of requests' metadata.
    metadata: Vec<String>,
    pub(crate) intake: Arc<Intake>,
}

/// The books of what a stream takes in.
pub(crate) struct Intake {
    /// The storage, as health and log name it.
    part: String,
    hop: Arc<Hop>,
    pub(crate) health: Arc<Health>,
    pub(crate) warnings: Arc<Warnings>,
    refusing: AtomicBool,
}

impl Intake {
    /// Says whether this is the first refusal.
    fn settled(&self, items: u32, outcome: &Outcome) -> bool {
        let items = u64::from(items);
        self.hop.held.fetch_sub(i64::try_from(items).unwrap_or(i64::MAX), Ordering::Relaxed);
        match outcome {
            Outcome::Done { .. } => {
                add(&self.hop.out, items);
                self.accepts();
                false
            }
            Outcome::Retry { why, .. } | Outcome::Reject { why, .. } => {
                add(&self.hop.returned, items);
                self.warnings.warn(&self.part, "refused, the senders try again", items, why);
                let is_first = !self.refusing.swap(true, Ordering::Relaxed);
                if is_first {
                    self.health.refuses(&self.part, why);
                }
                is_first
            }
        }
    }

    fn accepts(&self) {
        if self.refusing.load(Ordering::Relaxed) && self.refusing.swap(false, Ordering::Relaxed) {
            self.health.accepts(&self.part);
        }
    }
}

impl Stream {
    /// Opens the storage, if nobody has, and sees to it that every destination has a cursor on the disk before the first
    /// record is acknowledged in its name.
    pub(crate) async fn open(
        pipeline: &str,
        stored: &Stored,
        services: &Services,
        (hop, health, warnings): (Arc<Hop>, Arc<Health>, Arc<Warnings>),
    ) -> Result<Self, Fatal> {
        let Stored { storage, fed, metadata } = stored.clone();
        let Some(service) = services.named::<Storage>(storage.as_str()) else {
            return Err(Fatal(format!("pipeline {pipeline}: there is no storage `{storage}` in service")));
        };
        let name = pipeline.to_owned();
        let opened = tokio::task::spawn_blocking(move || {
            let log = service.log()?;
            let number = log.stream(&name)?;
            let mut new = Vec::new();
            for destination in &fed {
                if log.subscribe(number, destination.as_str())? {
                    new.push(destination.clone());
                }
            }
            Ok((log, number, new))
        });
        let opened = opened.await.map_err(|error| Fatal(error.to_string()))?;
        let (log, number, new) =
            opened.map_err(|error: throughline_component::port::StoreError| Fatal(error.to_string()))?;
        let part = format!("storage {storage}");
        let intake = Arc::new(Intake { part, hop, health, warnings, refusing: AtomicBool::new(false) });
        Ok(Self { log, name: pipeline.to_owned(), number, new, metadata, intake })
    }

    /// Takes back the cursors that [`open`](Self::open) has made.
    pub(crate) async fn unsubscribe(&self) {
        let (log, name, new) = (Arc::clone(&self.log), self.name.clone(), self.new.clone());
        let dropped = tokio::task::spawn_blocking(move || {
            for destination in new {
                log.drop_destination(Some(&name), destination.as_str());
            }
        });
        // If it panicked, an orphan is left, which is told of and expires.
        drop(dropped.await);
    }

    /// Appends every chunk of a batch.
    pub(crate) fn append_all(&self, batch: Batch) {
        for chunk in batch.chunks {
            self.append(batch.signal, chunk);
        }
    }

    /// Appends a chunk, which settles once it is synced. Says where it lies.
    pub(crate) fn append(&self, signal: Signal, chunk: Chunk) -> Option<Position> {
        let Chunk { bytes, items, context, settle, .. } = chunk;
        let intake = Arc::clone(&self.intake);
        add(&intake.hop.taken, u64::from(items));
        intake.hop.held.fetch_add(i64::from(items), Ordering::Relaxed);
        let (log, number, size) = (Arc::downgrade(&self.log), self.number, bytes.len());
        let settle = Settle::hook(move |outcome| {
            if intake.settled(items, &outcome)
                && let Some(log) = log.upgrade()
            {
                // Behind a readiness probe no sender comes whose success would show that there is room again.
                log.when_open(number, size, move || intake.accepts());
            }
            settle.settle(outcome);
        });
        let record = Record {
            signal,
            items,
            received_at: context.received_at,
            source: context.source.clone(),
            metadata: self.asked(&context.metadata),
            payload: bytes,
        };
        self.log.append(self.number, record, settle)
    }

    /// Of a request's metadata what a fed sink asked for.
    fn asked(&self, metadata: &Metadata) -> Metadata {
        let asked = |key: &String| Some((key.clone(), metadata.0.get(key)?.clone()));
        Metadata(self.metadata.iter().filter_map(asked).collect())
    }
}

#[cfg(test)]
mod tests;
