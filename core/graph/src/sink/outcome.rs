//! What comes of an attempt: the queue, health, the log and the ledger hear of it, and whoever waits for the data.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use throughline_component::{Batch, Chunk, OnPermanentError, Outcome, RejectKind};

use crate::ledger::{Hop, add};

use super::halves::halves;
use super::queue::{Job, Oversize, Queue, Verdict, keeps_failing};
use super::{Sink, SinkServices, signed};

impl Sink {
    pub(super) fn drops(&self) -> bool {
        self.policy.retry.on_permanent_error == OnPermanentError::Drop
    }

    /// The destination works.
    pub(super) fn succeeded(self: &Arc<Self>, mut queue: MutexGuard<'_, Queue>, job: &Job) {
        let Some(since) = queue.succeeded(job) else { return };
        // All that waited may go.
        self.start_consumers(&mut queue);
        drop(queue);
        self.changed.notify_one();
        let seconds = self.services.clock.unix_nanos().saturating_sub(since) / 1_000_000_000;
        tracing::info!(component = %self.part, failed_for_seconds = seconds, "delivers again");
    }

    /// One bad chunk must not take its neighbours with it, and what is too large may go in parts.
    pub(super) fn rejected(
        self: &Arc<Self>,
        queue: MutexGuard<'_, Queue>,
        mut job: Job,
        kind: RejectKind,
        why: Arc<str>,
    ) {
        let signal = job.batch.signal;
        let single = job.batch.items() <= 1;
        if job.batch.chunks.len() <= 1 && (kind != RejectKind::TooLarge || single) {
            if kind == RejectKind::TooLarge && !self.drops() && job.oversize() != Oversize::Proven {
                queue.doubt(&mut job);
                let why = format!(
                    "{why} (one record; nothing as large got through since, so it may be throttling)"
                );
                return self.failed(queue, job, None, why.into());
            }
            self.succeeded(queue, &job);
            let what = "the destination refused data as bad; it is dropped";
            self.services.warnings.warn(&self.part, what, job.batch.items(), &why);
            return self.end(job, Outcome::Reject { kind, why });
        }
        drop(queue);
        let chunks = std::mem::take(&mut job.batch.chunks);
        let parts: Vec<Chunk> = match chunks.len() {
            1 => {
                let memory = self.services.memory.as_ref();
                chunks.into_iter().flat_map(|chunk| halves(signal, chunk, memory)).collect()
            }
            _ => chunks.into_iter().collect(),
        };
        let parts: Vec<Job> = parts.into_iter().map(|chunk| job.part(Batch::one(signal, chunk))).collect();
        if !job.stored {
            self.hop(signal).batches.fetch_add(signed(parts.len() as u64) - 1, Ordering::Relaxed);
        }
        let mut queue = self.queue();
        queue.replace(&job, parts);
        match queue.take(self.consumers) {
            Some(job) => drop(tokio::spawn(Arc::clone(self).consume(job))),
            None => self.look_after(queue),
        }
    }

    /// Its chunks fared differently: each that got through, or was refused, is done with; the others are tried again together.
    pub(super) fn divide(self: &Arc<Self>, mut job: Job, outcomes: Vec<Outcome>) {
        let signal = job.batch.signal;
        let chunks = std::mem::take(&mut job.batch.chunks);
        let unknown =
            std::iter::repeat_with(|| Outcome::retry("the exporter does not say what became of it"));
        let (mut again, mut worst, mut parts) = (Vec::new(), None::<Outcome>, Vec::new());
        for (chunk, outcome) in chunks.into_iter().zip(outcomes.into_iter().chain(unknown)) {
            if let Outcome::Retry { .. } = outcome {
                worst = Some(match worst {
                    Some(worst) => worst.worst(outcome),
                    None => outcome,
                });
                again.push(chunk);
            } else {
                parts.push((job.part(Batch::one(signal, chunk)), outcome));
            }
        }
        if let Some(worst) = worst {
            // Last, since what got through says that the destination works.
            parts.push((job.part(Batch { signal, chunks: again.into() }), worst));
        }
        if !job.stored {
            self.hop(signal).batches.fetch_add(signed(parts.len() as u64) - 1, Ordering::Relaxed);
        }
        self.queue().divided(&job, parts.iter_mut().map(|(part, _)| part));
        for (part, outcome) in parts {
            self.concluded(self.queue(), part, outcome);
        }
    }

    pub(super) fn failed(
        self: &Arc<Self>,
        mut queue: MutexGuard<'_, Queue>,
        job: Job,
        asked: Option<Duration>,
        why: Arc<str>,
    ) {
        let SinkServices { clock, random, health, warnings, .. } = &self.services;
        let unix = clock.unix_nanos();
        let now = (clock.monotonic_nanos(), unix, random.unit());
        queue.last_words = Arc::clone(&why);
        let verdict = queue.failed(job, asked, &self.policy, now);
        let alone = queue.alone();
        let since = queue.failing_since().unwrap_or(unix);
        // It may have begun to fail while the agent stops.
        let hopeless = queue.hopeless();
        self.look_after(queue);
        for job in hopeless {
            self.end(job, Outcome::retry("the agent stops, and the destination fails"));
        }
        match verdict {
            Verdict::Reused { since, delay } => {
                self.failing.store(true, Ordering::Relaxed);
                match since {
                    Some(since) => health.failing(&self.part, since, Arc::clone(&why)),
                    None => health.failing(&self.part, unix, keeps_failing(alone, &why)),
                }
                let why = format!("{why}; the next attempt in {:.1} s", delay.as_secs_f64());
                warnings.warn(&self.part, "export failed; the data is kept and tried again", 0, &why);
            }
            Verdict::Expired(job) => self.expire(job, &why),
            Verdict::Returned(job) => {
                if !self.policy.senders {
                    // Nobody tries again but the senders: health shows what they meet.
                    self.failing.store(true, Ordering::Relaxed);
                    health.failing(&self.part, since, Arc::clone(&why));
                    if !self.refusing.swap(true, Ordering::Relaxed) {
                        health.refuses(&self.part, &why);
                    }
                }
                warnings.warn(&self.part, "export failed; the senders try again", job.batch.items(), &why);
                self.end(job, Outcome::Retry { after: asked, permanent: false, why });
            }
        }
    }

    /// Tried for as long as it may be.
    pub(super) fn expire(&self, job: Job, why: &str) {
        if job.stored {
            return self.drop_job(job, Dropped::MaxElapsedTime, why);
        }
        let what = "not delivered within max_elapsed_time; the senders try again";
        self.services.warnings.warn(&self.part, what, job.batch.items(), why);
        self.end(job, Outcome::retry(why));
    }

    /// The configuration says that it shall not be kept.
    pub(super) fn drop_job(&self, job: Job, dropped: Dropped, why: &str) {
        let (hop, items) = (self.hop(job.batch.signal), job.batch.items());
        let (reason, what) = dropped.names();
        self.services.warnings.warn(&self.part, what, items, why);
        self.leave(&job);
        hop.drop_items(reason, items);
        for chunk in job.batch.chunks {
            let why = Some(format!("{what}: {why}").into());
            chunk.settle.settle(Outcome::Done { rejected: chunk.items, why });
        }
    }

    /// Books a batch's end and tells whoever waits for it.
    pub(super) fn end(&self, job: Job, mut outcome: Outcome) {
        self.leave(&job);
        let items = job.batch.items();
        account(self.hop(job.batch.signal), items, &outcome);
        if let Outcome::Done { rejected, why } = &mut outcome {
            if *rejected > 0 {
                let why = why.as_deref().unwrap_or("it does not say why");
                let items = u64::from(*rejected).min(items);
                self.services.warnings.warn(
                    &self.part,
                    "the destination refused a part as bad; it is dropped",
                    items,
                    why,
                );
            }
            if job.batch.chunks.len() > 1 {
                // Which client's items the backend refused is not known: counted above, told to none.
                *rejected = 0;
            }
        }
        job.batch.settle(&outcome);
    }

    pub(super) fn leave(&self, job: &Job) {
        let hop = self.hop(job.batch.signal);
        hop.held.fetch_sub(signed(job.batch.items()), Ordering::Relaxed);
        if !job.stored {
            hop.batches.fetch_sub(1, Ordering::Relaxed);
        }
        let mut queue = self.queue();
        queue.left(job);
        if !self.failing.load(Ordering::Relaxed) {
            return;
        }
        let (well, room) = (queue.is_well(), queue.has_room(self.capacity));
        drop(queue);
        if well {
            return self.clear_health();
        }
        // Without retries the next sender meets the same, however much room there is.
        if room && self.policy.senders && self.refusing.swap(false, Ordering::Relaxed) {
            self.services.health.accepts(&self.part);
        }
    }
}

/// Why the configuration wants data to be dropped.
#[derive(Clone, Copy)]
pub(super) enum Dropped {
    MaxElapsedTime,
    PermanentError,
}

impl Dropped {
    /// The label of its counter, and what the log says.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::MaxElapsedTime => ("max_elapsed_time", "dropped, since max_elapsed_time has passed"),
            Self::PermanentError => {
                ("permanent_error", "dropped after a permanent error (on_permanent_error)")
            }
        }
    }
}

fn account(hop: &Hop, items: u64, outcome: &Outcome) {
    match outcome {
        Outcome::Done { rejected, .. } => {
            let rejected = u64::from(*rejected).min(items);
            add(&hop.out, items - rejected);
            hop.reject_items("partial_success", rejected);
        }
        Outcome::Retry { .. } => add(&hop.returned, items),
        Outcome::Reject { kind, .. } => hop.reject_items(kind.as_str(), items),
    }
}
