//! An exporter's queue: bounded, with consumers, retries and a deadline. What waits and what is tried next is decided in
//! [`queue`]; here it is done.

mod guard;
mod halves;
mod outcome;
mod queue;
mod retry;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use smallvec::{SmallVec, smallvec};
use throughline_component::port::{Budget, Clock, Random};
use throughline_component::{
    Batch, Chunk, ComponentId, DeliverySettings, DynExporter, Health, Lane, Outcome, Outcomes, QueueSettings,
    RetrySettings, Sizer, Stop, Stopper, Warnings,
};
use throughline_otlp::Signal;
use tokio::sync::Notify;

use crate::ledger::{Hop, add};

use guard::UnderWay;
use outcome::Dropped;
pub(crate) use queue::Slot;
use queue::{Job, Policy, Queue};

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
    /// It outlives a reload that does not change it, so it is stopped by itself.
    stopper: Stopper,
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
    ) -> Self {
        let (stopper, stop) = Stopper::new();
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
            stopper,
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
        let (waited_for, again) = (slot.is_none(), slot.as_ref().is_some_and(|slot| slot.again));
        let jobs = self.by_lane(batch, slot, now);
        if waited_for {
            hop.batches.fetch_add(signed(jobs.len() as u64), Ordering::Relaxed);
        }
        for job in jobs {
            match again {
                true => queue.push_again(job, &self.policy.retry, now),
                false => queue.push(job),
            }
        }
        self.start_consumers(&mut queue);
        if again || queue.is_parked() {
            self.look_after(queue);
        }
    }

    /// A batch as it is tried: the chunks of each lane by themselves.
    fn by_lane(&self, batch: Batch, slot: Option<Slot>, now: u64) -> SmallVec<[Job; 1]> {
        let Batch { signal, chunks } = batch;
        let mut lanes: SmallVec<[(Lane, SmallVec<[Chunk; 1]>); 1]> = SmallVec::new();
        for chunk in chunks {
            let lane = self.exporter.lane(signal, &chunk);
            match lanes.iter_mut().find(|(known, _)| *known == lane) {
                Some((_, chunks)) => chunks.push(chunk),
                None => lanes.push((lane, smallvec![chunk])),
            }
        }
        let mut slot = slot;
        let jobs = lanes.into_iter().map(|(lane, chunks)| {
            let own = slot.as_mut().map(std::mem::take);
            Job::new(Batch { signal, chunks }, lane, own, now)
        });
        jobs.collect()
    }

    /// Those that wait for a lane may go.
    fn go_on(self: &Arc<Self>) {
        self.start_consumers(&mut self.queue());
    }

    /// Gives what waits to consumers, as long as there are any free.
    fn start_consumers(self: &Arc<Self>, queue: &mut Queue) {
        while let Some(job) = queue.take(self.consumers) {
            tokio::spawn(Arc::clone(self).consume(job));
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

    /// Whether nothing that is here has failed.
    pub(crate) fn is_well(&self) -> bool {
        self.queue().is_well()
    }

    /// Gives a batch that has failed back to the reader of its stream, so that others can be tried. Says whether there was any.
    pub(crate) fn set_aside(&self) -> bool {
        let job = self.queue().set_aside();
        let any = job.is_some();
        job.into_iter().for_each(|job| self.end(job, Outcome::retry("others are tried first")));
        any
    }

    /// Tries again now what waits for its next attempt: a reload says that somebody may have mended something.
    pub(crate) fn retry_now(&self) {
        self.queue().retry_now(self.services.clock.monotonic_nanos());
        self.changed.notify_one();
    }

    /// Gives up what it is trying.
    pub(crate) fn stop(&self) {
        self.stopper.stop();
    }

    /// Nothing more comes here, or nothing is wrong any more: health shows nothing of it.
    pub(crate) fn clear_health(&self) {
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
        let outcomes = match &under_way.job {
            Some(job) => self.export(&job.batch).await,
            None => return,
        };
        let Some(job) = under_way.job.take() else { return };
        if self.panicked.swap(false, Ordering::Relaxed) {
            self.services.health.revived(&self.part);
        }
        let lane = job.lane();
        let mut queue = self.queue();
        queue.idle(lane);
        match outcomes {
            Outcomes::All(outcome) => self.concluded(queue, job, outcome),
            Outcomes::Each(outcomes) => {
                drop(queue);
                self.divide(job, outcomes);
            }
        }
        if lane != Lane::None {
            self.go_on();
        }
    }

    /// Books what came of an attempt.
    fn concluded(self: &Arc<Self>, queue: MutexGuard<'_, Queue>, job: Job, outcome: Outcome) {
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

    async fn export(&self, batch: &Batch) -> Outcomes {
        let mut stop = self.stop.clone();
        if stop.is_stopped() {
            // A request that was arriving while another graph took over: delivered now, it would come twice.
            return Outcomes::All(Outcome::retry(
                "this pipeline has stopped; the next request finds its successor",
            ));
        }
        tokio::select! {
            biased;
            outcome = self.in_time(batch) => outcome,
            // The drain's time is up: the sender still has it, and hears so before its connection goes.
            () = stop.stopped() => Outcomes::All(Outcome::retry("the agent stopped before it was delivered")),
        }
    }

    async fn in_time(&self, batch: &Batch) -> Outcomes {
        match self.timeout.filter(|timeout| !timeout.is_zero()) {
            None => self.exporter.export_each(batch).await,
            Some(timeout) => match tokio::time::timeout(timeout, self.exporter.export_each(batch)).await {
                Ok(outcomes) => outcomes,
                Err(_) => {
                    Outcomes::All(Outcome::retry(format!("{} did not answer within {timeout:?}", self.id)))
                }
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

fn signed(items: u64) -> i64 {
    i64::try_from(items).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
