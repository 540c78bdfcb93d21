//! An exporter's queue: bounded, with consumers, retries and a deadline. What waits and what is tried next is decided in
//! [`queue`]; here it is done.

mod guard;
mod halves;
mod queue;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use throughline_component::port::{Budget, Clock, Random};
use throughline_component::{
    Batch, Chunk, ComponentId, DeliverySettings, DynExporter, Health, OnPermanentError, Outcome,
    QueueSettings, RejectKind, RetrySettings, Sizer, Stop, Warnings,
};
use throughline_otlp::Signal;
use tokio::sync::Notify;

use crate::ledger::{Hop, add};

use guard::{Retrying, UnderWay};
use halves::halves;
pub(crate) use queue::Slot;
use queue::{Job, Next, Oversize, Policy, Queue, Verdict, keeps_failing};

/// What the Collector tries for, and what a sender may be kept waiting for, in memory.
const MAX_ELAPSED: Duration = Duration::from_mins(5);

/// One exporter and what waits for it.
pub(crate) struct Sink {
    pub(crate) id: ComponentId,
    /// The exporter with its kind, as health and log name it.
    part: String,
    exporter: Arc<dyn DynExporter>,
    consumers: usize,
    /// How many batches may be here that a sender waits for.
    /// How much may be here before senders are refused; as much as the memory budget allows if they wait instead.
    capacity: u64,
    timeout: Option<Duration>,
    policy: Policy,
    services: SinkServices,
    /// By signal.
    hops: [Arc<Hop>; Signal::ALL.len()],
    queue: Mutex<Queue>,
    /// Whether a task looks after what has failed.
    retrying: AtomicBool,
    /// Something has changed for that task.
    changed: Notify,
    panicked: AtomicBool,
    /// It was full while its destination failed, so that it refused everything.
    refusing: AtomicBool,
    /// Health shows it as failing.
    failing: AtomicBool,
    stop: Stop,
}

/// What every sink uses of the graph.
#[derive(Clone)]
pub(crate) struct SinkServices {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) health: Arc<Health>,
    pub(crate) warnings: Arc<Warnings>,
    pub(crate) memory: Option<Arc<Budget>>,
}

impl Sink {
    pub(crate) fn new(
        id: ComponentId,
        exporter: Arc<dyn DynExporter>,
        settings: Option<&DeliverySettings>,
        services: SinkServices,
        hops: [Arc<Hop>; Signal::ALL.len()],
        stop: Stop,
    ) -> Self {
        // Straight sinks take one batch at a time, in order, and their senders hear of each attempt. Where the queue is
        // turned off every sender waits for an export of its own, as many as there are.
        let (consumers, queue_size) = match settings.map(|settings| settings.sending_queue.as_ref()) {
            None => (1, QueueSettings::default().queue_size as usize),
            Some(None) => (usize::MAX, 0),
            Some(Some(queue)) => (queue.num_consumers.max(1) as usize, queue.queue_size as usize),
        };
        let queued = settings.and_then(|settings| settings.sending_queue.as_ref());
        let sizer = queued.map(|queue| queue.sizer).unwrap_or_default();
        let capacity = match (sizer, queued.is_some_and(|queue| queue.block_on_overflow)) {
            (_, true) => u64::MAX,
            // Requests on their way are not in the queue any more.
            (Sizer::Requests, false) => consumers.saturating_add(queue_size) as u64,
            (Sizer::Items | Sizer::Bytes, false) => queue_size as u64,
        };
        for hop in &hops {
            hop.capacity.store(queue_size as u64, Ordering::Relaxed);
            hop.consumers.store(consumers as u64, Ordering::Relaxed);
        }
        Self {
            part: format!("exporter {id}"),
            id,
            exporter,
            consumers,
            capacity,
            timeout: settings.and_then(|settings| settings.timeout).map(|timeout| timeout.get()),
            policy: policy(settings.map(|settings| &settings.retry_on_failure)),
            services,
            hops,
            queue: Mutex::new(Queue::new(sizer)),
            retrying: AtomicBool::new(false),
            changed: Notify::new(),
            panicked: AtomicBool::new(false),
            refusing: AtomicBool::new(false),
            failing: AtomicBool::new(false),
            stop,
        }
    }

    /// Takes a batch for delivery; a full queue refuses it.
    pub(crate) fn offer(self: &Arc<Self>, batch: Batch) {
        self.accept(batch, None);
    }

    /// The same for a batch out of a storage: it is kept until it is delivered, whatever the destination says. The slot is
    /// given back when it is, or when its first attempt has failed.
    pub(crate) fn offer_stored(self: &Arc<Self>, batch: Batch, slot: Slot) {
        self.accept(batch, Some(slot));
    }

    fn accept(self: &Arc<Self>, batch: Batch, slot: Option<Slot>) {
        let (hop, items) = (self.hop(batch.signal), batch.items());
        add(&hop.taken, items);
        let now = self.services.clock.monotonic_nanos();
        let mut queue = self.queue();
        if slot.is_none() && !queue.has_room(self.capacity) {
            let failing = queue.is_failing();
            drop(queue);
            add(&hop.returned, items);
            add(&hop.overflowed, items);
            if failing && !self.refusing.swap(true, Ordering::Relaxed) {
                self.services.health.refuses(&self.part, "its queue is full, and its destination fails");
            }
            let why = format!("the queue of {} is full", self.id);
            self.services.warnings.warn(&self.part, "refused, the senders try again", items, &why);
            return batch.settle(&Outcome::retry(why));
        }
        hop.held.fetch_add(signed(items), Ordering::Relaxed);
        if slot.is_none() {
            hop.batches.fetch_add(1, Ordering::Relaxed);
        }
        queue.push(Job::new(batch, slot, now));
        match queue.take(self.consumers) {
            Some(job) => drop(tokio::spawn(Arc::clone(self).consume(job))),
            None if queue.is_parked() => self.look_after(queue),
            None => {}
        }
    }

    /// Batches that wait or are on their way, and that somebody outside the agent waits for.
    pub(crate) fn load(&self) -> usize {
        self.queue().senders()
    }

    /// How many batches are delivered at once.
    pub(crate) fn consumers(&self) -> usize {
        self.consumers
    }

    /// The exporter behind the queue.
    pub(crate) fn exporter(&self) -> Arc<dyn DynExporter> {
        Arc::clone(&self.exporter)
    }

    /// The agent stops: from now on a sender hears of the first attempt that fails, and those whose data waits for a
    /// destination that fails hear of it at once.
    pub(crate) fn drain(&self) {
        let given = self.queue().drain();
        given
            .into_iter()
            .for_each(|job| self.end(job, Outcome::retry("the agent stops, and the destination fails")));
    }

    /// Nothing more comes here, or nothing is wrong any more: health shows nothing of it.
    pub(crate) fn retire(&self) {
        if self.failing.swap(false, Ordering::Relaxed) {
            self.services.health.recovered(&self.part);
        }
        if self.refusing.swap(false, Ordering::Relaxed) {
            self.services.health.accepts(&self.part);
        }
    }

    async fn consume(self: Arc<Self>, first: Job) {
        let mut next = Some(first);
        while let Some(job) = next {
            self.attempt(job).await;
            next = self.queue().take(self.consumers);
        }
    }

    /// Tries once, and books what came of it.
    async fn attempt(self: &Arc<Self>, job: Job) {
        let mut under_way = UnderWay { sink: self, job: Some(job) };
        let outcome = match &under_way.job {
            Some(job) => self.export(&job.batch).await,
            None => return,
        };
        let Some(job) = under_way.job.take() else { return };
        if self.panicked.swap(false, Ordering::Relaxed) {
            self.services.health.revived(&self.part);
        }
        let mut queue = self.queue();
        queue.idle();
        match outcome {
            Outcome::Done { .. } => {
                self.succeeded(queue, &job);
                self.end(job, outcome);
            }
            Outcome::Reject { kind, why } => self.rejected(queue, job, kind, why),
            Outcome::Retry { permanent: true, why, .. } if self.drops() => {
                drop(queue);
                self.drop_job(job, Dropped::PermanentError, &why);
            }
            Outcome::Retry { after, why, .. } => self.failed(queue, job, after, why),
        }
    }

    fn drops(&self) -> bool {
        self.policy.retry.on_permanent_error == OnPermanentError::Drop
    }

    /// The destination works.
    fn succeeded(self: &Arc<Self>, mut queue: MutexGuard<'_, Queue>, job: &Job) {
        let Some(since) = queue.succeeded(job) else { return };
        // All that waited may go.
        while let Some(job) = queue.take(self.consumers) {
            tokio::spawn(Arc::clone(self).consume(job));
        }
        drop(queue);
        self.changed.notify_one();
        let seconds = self.services.clock.unix_nanos().saturating_sub(since) / 1_000_000_000;
        tracing::info!(component = %self.part, failed_for_seconds = seconds, "delivers again");
    }

    /// One bad chunk must not take its neighbours with it, and what is too large may go in parts.
    fn rejected(
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

    fn failed(
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
            Verdict::Kept { since, delay } => {
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
    fn expire(&self, job: Job, why: &str) {
        if job.stored {
            return self.drop_job(job, Dropped::MaxElapsedTime, why);
        }
        let what = "not delivered within max_elapsed_time; the senders try again";
        self.services.warnings.warn(&self.part, what, job.batch.items(), why);
        self.end(job, Outcome::retry(why));
    }

    /// The configuration says that it shall not be kept.
    fn drop_job(&self, job: Job, dropped: Dropped, why: &str) {
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
    fn end(&self, job: Job, mut outcome: Outcome) {
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

    fn leave(&self, job: &Job) {
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
            return self.retire();
        }
        // Without retries the next sender meets the same, however much room there is.
        if room && self.policy.senders && self.refusing.swap(false, Ordering::Relaxed) {
            self.services.health.accepts(&self.part);
        }
    }

    /// Sees to it that a task looks after what has failed.
    fn look_after(self: &Arc<Self>, queue: MutexGuard<'_, Queue>) {
        let spawn = !self.retrying.swap(true, Ordering::Relaxed);
        drop(queue);
        if spawn {
            tokio::spawn(Arc::clone(self).retry());
        } else {
            self.changed.notify_one();
        }
    }

    /// Tries again what has failed, one batch at a time, until there is none.
    async fn retry(self: Arc<Self>) {
        let guard = Retrying(&self);
        let mut stop = self.stop.clone();
        loop {
            if stop.is_stopped() {
                let left = self.queue().clear();
                left.into_iter().for_each(|job| {
                    self.end(job, Outcome::retry("the agent stopped before it was delivered"))
                });
            }
            let next = {
                let mut queue = self.queue();
                let next = queue.next(&self.policy, self.services.clock.monotonic_nanos());
                if matches!(next, Next::Nothing) {
                    self.retrying.store(false, Ordering::Relaxed);
                }
                next
            };
            match next {
                Next::Try(job) => self.attempt(job).await,
                Next::Expired(jobs) => {
                    let why = Arc::clone(&self.queue().last_words);
                    jobs.into_iter().for_each(|job| self.expire(job, &why));
                }
                Next::Wait(until) => {
                    let wait = until.saturating_sub(self.services.clock.monotonic_nanos());
                    tokio::select! {
                        () = tokio::time::sleep(Duration::from_nanos(wait)) => {}
                        () = self.changed.notified() => {}
                        () = stop.stopped() => {}
                    }
                }
                Next::Nothing => return drop(guard),
            }
        }
    }

    async fn export(&self, batch: &Batch) -> Outcome {
        let mut stop = self.stop.clone();
        if stop.is_stopped() {
            // A request that was arriving while another graph took over: delivered now, it would come twice.
            return Outcome::retry("this pipeline has stopped; the next request finds its successor");
        }
        tokio::select! {
            biased;
            outcome = self.in_time(batch) => outcome,
            // The drain's time is up: the sender still has it, and hears so before its connection goes.
            () = stop.stopped() => Outcome::retry("the agent stopped before it was delivered"),
        }
    }

    async fn in_time(&self, batch: &Batch) -> Outcome {
        match self.timeout.filter(|timeout| !timeout.is_zero()) {
            None => self.exporter.export(batch).await,
            Some(timeout) => match tokio::time::timeout(timeout, self.exporter.export(batch)).await {
                Ok(outcome) => outcome,
                Err(_) => Outcome::retry(format!("{} did not answer within {timeout:?}", self.id)),
            },
        }
    }

    fn hop(&self, signal: Signal) -> &Arc<Hop> {
        &self.hops[signal as usize]
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why the configuration wants data to be dropped.
#[derive(Clone, Copy)]
enum Dropped {
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

fn policy(retry: Option<&RetrySettings>) -> Policy {
    let set = retry.and_then(|retry| retry.max_elapsed_time).map(|max| max.get());
    let bounded = |max: Duration| (!max.is_zero()).then_some(max);
    Policy {
        retry: retry.cloned().unwrap_or_default(),
        senders: retry.is_some_and(|retry| retry.enabled),
        max_stored: set.and_then(bounded),
        max_senders: bounded(set.unwrap_or(MAX_ELAPSED)),
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

fn signed(items: u64) -> i64 {
    i64::try_from(items).unwrap_or(i64::MAX)
}
