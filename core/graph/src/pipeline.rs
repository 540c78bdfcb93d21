//! A pipeline at run time: stages, then targets. Pushing a batch through is one synchronous call.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use smallvec::SmallVec;
use throughline_component::{Batch, Chunk, Health};
use throughline_otlp::Signal;

use crate::panics::message;
use crate::resend::{Resends, Shares};
use crate::running_processor::RunningProcessor;
use crate::sink::Sink;
use crate::stream::Stream;
use crate::walk::FusedWalk;

/// One running pipeline.
pub(crate) struct Pipeline {
    pub(crate) id: String,
    pub(crate) signal: Signal,
    pub(crate) stages: Vec<Stage>,
    pub(crate) targets: Vec<Target>,
    pub(crate) health: Arc<Health>,
    pub(crate) panicked: AtomicBool,
    pub(crate) resends: Arc<Resends>,
}

/// One stage.
pub(crate) enum Stage {
    Walk(FusedWalk),
    Processor(Arc<RunningProcessor>),
    /// Ends the call: a feeder goes on behind it.
    Stream(Arc<Stream>),
}

/// Where a pipeline ends. Streams come first, so that the others learn where in the first of them the data lies.
#[derive(Clone)]
pub(crate) enum Target {
    Sink(Arc<Sink>),
    Connector(Arc<Connector>),
    Stream(Arc<Stream>),
}

/// A connector and the pipelines its emitter leads into.
pub(crate) struct Connector {
    pub(crate) step: Arc<RunningProcessor>,
    pub(crate) into: OnceLock<Vec<Arc<Pipeline>>>,
}

type Batches = SmallVec<[Batch; 1]>;

impl Pipeline {
    /// Sends a batch through all stages.
    pub(crate) fn push(&self, batch: Batch) {
        self.push_from(0, batch);
    }

    /// Sends a batch through the stages from number `stage` on. Whoever calls is not hurt by a panic on the way: the batch is
    /// dropped, and so answered with Retry, and the agent is not ready until the next one comes through.
    pub(crate) fn push_from(&self, stage: usize, batch: Batch) {
        match catch_unwind(AssertUnwindSafe(|| self.pass(stage, batch))) {
            Ok(()) if self.panicked.load(Ordering::Relaxed) => {
                self.panicked.store(false, Ordering::Relaxed);
                self.health.revived(&self.part());
            }
            Ok(()) => {}
            Err(panic) => {
                let why = message(&*panic);
                self.health.died(&self.part(), &format!("it panicked: {why}"));
                self.panicked.store(true, Ordering::Relaxed);
            }
        }
    }

    fn part(&self) -> String {
        format!("pipeline {}", self.id)
    }

    fn pass(&self, stage: usize, batch: Batch) {
        let mut batches: Batches = smallvec::smallvec![batch];
        for stage in &self.stages[stage..] {
            batches = match stage {
                Stage::Walk(walk) => {
                    batches.into_iter().filter_map(|batch| walk_batch(walk, batch)).collect()
                }
                Stage::Processor(step) => batches.into_iter().flat_map(|batch| step.accept(batch)).collect(),
                Stage::Stream(stream) => {
                    return batches.into_iter().for_each(|batch| stream.append_all(batch));
                }
            };
        }
        for batch in batches {
            self.fan_out(batch);
        }
    }

    fn fan_out(&self, batch: Batch) {
        let Some((last, others)) = self.targets.split_last() else { return };
        if others.is_empty() {
            return last.offer(batch);
        }
        let signal = batch.signal;
        let mut shares: Vec<Shares> =
            batch.chunks.into_iter().map(|chunk| self.resends.share(chunk, self.targets.len())).collect();
        for (number, target) in self.targets.iter().enumerate() {
            let mut chunks = SmallVec::new();
            for share in &mut shares {
                let Some(chunk) = share.chunks[number].take() else { continue };
                match target {
                    Target::Stream(stream) => {
                        let appended = stream.append(signal, chunk);
                        if share.position.is_none() {
                            share.position = appended;
                            share.lies_at(appended);
                        }
                    }
                    _ => chunks.push(Chunk { position: share.position.or(chunk.position), ..chunk }),
                }
            }
            if !chunks.is_empty() {
                target.offer(Batch { signal, chunks });
            }
        }
    }

    /// From now on no step keeps anything back.
    pub(crate) fn drain(&self) {
        for stage in &self.stages {
            if let Stage::Processor(step) = stage {
                step.drain();
            }
        }
    }

    /// Makes every step give out what it keeps.
    pub(crate) fn flush(&self) {
        for (at, stage) in self.stages.iter().enumerate() {
            if let Stage::Processor(step) = stage {
                step.flush().into_iter().for_each(|batch| self.push_from(at + 1, batch));
            }
        }
    }
}

fn walk_batch(walk: &FusedWalk, batch: Batch) -> Option<Batch> {
    let signal = batch.signal;
    let chunks: SmallVec<[Chunk; 1]> =
        batch.chunks.into_iter().filter_map(|chunk| walk.run(signal, chunk)).collect();
    (!chunks.is_empty()).then_some(Batch { signal, chunks })
}

impl Target {
    fn offer(&self, batch: Batch) {
        match self {
            Self::Sink(sink) => sink.offer(batch),
            Self::Stream(stream) => stream.append_all(batch),
            Self::Connector(connector) => {
                connector.step.accept(batch).into_iter().for_each(|batch| connector.forward(batch));
            }
        }
    }
}

impl Connector {
    /// Sends what the connector emitted into the pipelines that take its signal from it.
    pub(crate) fn forward(&self, batch: Batch) {
        let pipelines = self.into.get().map_or(&[][..], Vec::as_slice);
        let takers: Vec<_> = pipelines.iter().filter(|pipeline| pipeline.signal == batch.signal).collect();
        if takers.is_empty() {
            return batch.settle(&throughline_component::Outcome::DONE);
        }
        for (pipeline, batch) in takers.iter().zip(batch.fork(takers.len())) {
            pipeline.push(batch);
        }
    }
}
