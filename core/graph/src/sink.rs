//! An exporter's queue: bounded, with consumers, retries and a deadline.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use throughline_component::port::Random;
use throughline_component::{
    Batch, ComponentId, DeliverySettings, DynExporter, Health, Outcome, QueueSettings, RetrySettings, Stop,
};
use throughline_net::Backoff;
use throughline_otlp::Signal;

use crate::ledger::{Hop, add};

/// What the Collector tries for, and what a sender may be kept waiting for, in memory.
const MAX_ELAPSED: Duration = Duration::from_secs(300);

/// One exporter and what waits for it.
pub(crate) struct Sink {
    pub(crate) id: ComponentId,
    exporter: Arc<dyn DynExporter>,
    consumers: usize,
    capacity: usize,
    timeout: Option<Duration>,
    retry: Option<RetrySettings>,
    random: Arc<dyn Random>,
    health: Arc<Health>,
    /// By signal.
    hops: [Arc<Hop>; Signal::ALL.len()],
    state: Mutex<State>,
    /// How many batches that are here came out of a storage, and so are safe without being delivered.
    fed: AtomicUsize,
    panicked: AtomicBool,
    stop: Stop,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Batch>,
    busy: usize,
}

impl Sink {
    pub(crate) fn new(
        id: ComponentId,
        exporter: Arc<dyn DynExporter>,
        settings: Option<&DeliverySettings>,
        random: Arc<dyn Random>,
        health: Arc<Health>,
        hops: [Arc<Hop>; Signal::ALL.len()],
        stop: Stop,
    ) -> Self {
        let queue = settings.and_then(|settings| settings.sending_queue.as_ref());
        let QueueSettings { num_consumers, queue_size, .. } = match (settings, queue) {
            // Straight sinks take one batch at a time, in order; a queue that is turned off has no waiting room.
            (None, _) => QueueSettings { num_consumers: 1, ..QueueSettings::default() },
            (Some(_), None) => QueueSettings { queue_size: 0, ..QueueSettings::default() },
            (Some(_), Some(queue)) => queue.clone(),
        };
        hops.iter().for_each(|hop| hop.capacity.store(u64::from(queue_size), Ordering::Relaxed));
        Self {
            id,
            exporter,
            consumers: num_consumers.max(1) as usize,
            capacity: queue_size as usize,
            timeout: settings.and_then(|settings| settings.timeout).map(|timeout| timeout.get()),
            retry: settings.map(|settings| settings.retry_on_failure.clone()).filter(|retry| retry.enabled),
            random,
            health,
            hops,
            state: Mutex::new(State::default()),
            fed: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            stop,
        }
    }

    /// Takes a batch for delivery; a full queue refuses it.
    pub(crate) fn offer(self: &Arc<Self>, batch: Batch) {
        let hop = self.hop(batch.signal);
        let items = batch.items();
        add(&hop.taken, items);
        let refused = {
            let mut state = self.lock();
            if state.busy < self.consumers {
                state.busy += 1;
                tokio::spawn(Arc::clone(self).consume(batch));
                None
            } else if state.waiting.len() < self.capacity {
                hop.waiting.fetch_add(1, Ordering::Relaxed);
                state.waiting.push_back(batch);
                None
            } else {
                Some(batch)
            }
        };
        match refused {
            Some(batch) => {
                add(&hop.returned, items);
                add(&hop.overflowed, items);
                batch.settle(&Outcome::retry(format!("the queue of {} is full", self.id)));
            }
            None => drop(hop.held.fetch_add(i64::try_from(items).unwrap_or(i64::MAX), Ordering::Relaxed)),
        }
    }

    /// Batches that wait or are on their way, and that somebody outside the agent waits for.
    pub(crate) fn load(&self) -> usize {
        let state = self.lock();
        (state.waiting.len() + state.busy).saturating_sub(self.fed.load(Ordering::Relaxed))
    }

    /// How many batches that are here came out of a storage.
    pub(crate) fn fed(&self) -> &AtomicUsize {
        &self.fed
    }

    /// How many batches are delivered at once.
    pub(crate) fn consumers(&self) -> usize {
        self.consumers
    }

    /// After how long stored data is dropped, if the configuration says so in words.
    pub(crate) fn gives_up_after(&self) -> Option<Duration> {
        let max = self.retry.as_ref()?.max_elapsed_time?.get();
        (!max.is_zero()).then_some(max)
    }

    /// The exporter behind the queue.
    pub(crate) fn exporter(&self) -> Arc<dyn DynExporter> {
        Arc::clone(&self.exporter)
    }

    async fn consume(self: Arc<Self>, first: Batch) {
        let mut guard = Consumer { sink: Arc::clone(&self), finished: false };
        let mut next = Some(first);
        while let Some(batch) = next {
            self.deliver(batch).await;
            next = self.next(&mut guard);
        }
    }

    fn next(&self, guard: &mut Consumer) -> Option<Batch> {
        let mut state = self.lock();
        let next = self.take(&mut state);
        if next.is_none() {
            state.busy -= 1;
            guard.finished = true;
        }
        next
    }

    /// The batch that waits longest.
    fn take(&self, state: &mut State) -> Option<Batch> {
        let batch = state.waiting.pop_front()?;
        self.hop(batch.signal).waiting.fetch_sub(1, Ordering::Relaxed);
        Some(batch)
    }

    async fn deliver(&self, batch: Batch) {
        let (hop, items) = (self.hop(batch.signal), batch.items());
        let held = Held { hop, items };
        let mut outcome = self.attempts(&batch).await;
        if batch.chunks.len() > 1
            && let Outcome::Reject { .. } = outcome
        {
            // One bad chunk must not take its neighbours with it.
            drop(held);
            for chunk in batch.chunks {
                let one = Batch::one(batch.signal, chunk);
                let (items, outcome) = (one.items(), self.attempts(&one).await);
                account(hop, items, &outcome);
                one.settle(&outcome);
            }
            return;
        }
        drop(held);
        account(hop, items, &outcome);
        if batch.chunks.len() > 1
            && let Outcome::Done { rejected, .. } = &mut outcome
        {
            // Which client's items the backend refused is not known: counted above, told to none.
            *rejected = 0;
        }
        batch.settle(&outcome);
    }

    /// Delivers, again and again while that is sensible.
    async fn attempts(&self, batch: &Batch) -> Outcome {
        let mut backoff = self.retry.as_ref().map(|retry| (Backoff::new(retry), retry));
        loop {
            let outcome = self.attempt(batch).await;
            let Outcome::Retry { after, why } = &outcome else {
                if self.panicked.swap(false, Ordering::Relaxed) {
                    self.health.revived(self.id.as_str());
                }
                return outcome;
            };
            let Some((backoff, retry)) = &mut backoff else { return outcome };
            let max = retry.max_elapsed_time.map_or(MAX_ELAPSED, |max| max.get());
            let max = (!max.is_zero()).then_some(max);
            let Some(delay) = backoff.next(retry, max, *after, self.random.unit()) else { return outcome };
            tracing::warn!(component = %self.id, why = %why, delay_ms = delay.as_millis() as u64, "export failed; trying again");
            let mut stop = self.stop.clone();
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                // The sender still has it: better told now than cut off.
                () = stop.stopped() => return outcome,
            }
        }
    }

    async fn attempt(&self, batch: &Batch) -> Outcome {
        let mut stop = self.stop.clone();
        if stop.is_stopped() {
            // A request that was arriving while another graph took over: delivered now, it would come twice.
            return Outcome::retry("this pipeline has stopped; the next request finds its successor");
        }
        tokio::select! {
            biased;
            outcome = self.export(batch) => outcome,
            // The drain's time is up: the sender still has it, and hears so before its connection goes.
            () = stop.stopped() => Outcome::retry("the agent stopped before it was delivered"),
        }
    }

    async fn export(&self, batch: &Batch) -> Outcome {
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

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Items of a batch on its way; leaves the account even if the exporter panics.
struct Held<'a> {
    hop: &'a Hop,
    items: u64,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.hop.held.fetch_sub(i64::try_from(self.items).unwrap_or(i64::MAX), Ordering::Relaxed);
        if std::thread::panicking() {
            add(&self.hop.returned, self.items);
        }
    }
}

/// Notices a consumer that panicked, and puts another in its place. Its batch was dropped, and so answered with Retry.
struct Consumer {
    sink: Arc<Sink>,
    finished: bool,
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let sink = &self.sink;
        if std::thread::panicking() {
            tracing::error!(component = %sink.id, "an exporter panicked; its batch is returned to the sender");
            sink.panicked.store(true, Ordering::Relaxed);
            sink.health.died(sink.id.as_str(), "it panicked while exporting");
        }
        let mut state = sink.lock();
        match sink.take(&mut state) {
            Some(batch) => drop(tokio::spawn(Arc::clone(sink).consume(batch))),
            None => state.busy -= 1,
        }
    }
}
