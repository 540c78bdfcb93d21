//! Reads a stream for one exporter, or for the rest of a pipeline behind a stream.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use throughline_component::port::Clock;
use throughline_component::{
    Batch, Chunk, ComponentId, Context, Fatal, Outcome, Settle, SnapshotWatermark, Stop, Ticket, Transport,
};
use throughline_queue::{AGAIN, Delivered, Polled, Reader};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::ledger::{Hop, add};
use crate::pipeline::Pipeline;
use crate::share::{Share, Taken};
use crate::sink::{Sink, Slot};
use crate::stream::{Intake, Stream};
use crate::unreadable::Unreadable;

/// How long a reader that stops waits for what it has given out.
const GRACE: Duration = Duration::from_secs(1);
/// Waits after what the sink does not try again by itself: its exporter panicked, say.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// What is set aside is read again after this long at the latest.
const AGAIN_MAX: Duration = Duration::from_secs(10);
/// How long a reader without room waits before it has what fails set aside.
const PRESSED: Duration = Duration::from_millis(100);

/// Brings what a stream holds to who is fed from it.
pub(crate) struct Feeder {
    pub(crate) name: ComponentId,
    pub(crate) stream: Arc<Stream>,
    pub(crate) to: Reads,
    pub(crate) clock: Arc<dyn Clock>,
    /// The account of this destination's reading.
    pub(crate) hop: Arc<Hop>,
}

/// Who is fed from a stream.
pub(crate) enum Reads {
    /// An exporter's queue.
    Sink(Arc<Sink>),
    /// The rest of a pipeline, which begins with a processor that holds.
    Stages { holder: ComponentId, pipeline: Arc<Pipeline>, from: usize },
}

/// How many records a holder is offered before any of them has settled. The reader's window bounds them too.
const HELD: usize = 1024;

impl Reads {
    fn id(&self) -> &ComponentId {
        match self {
            Self::Sink(sink) => &sink.id,
            Self::Stages { holder, .. } => holder,
        }
    }

    fn sink(&self) -> Option<&Arc<Sink>> {
        match self {
            Self::Sink(sink) => Some(sink),
            Self::Stages { .. } => None,
        }
    }

    fn snapshot_watermark(&self) -> Option<Arc<SnapshotWatermark>> {
        self.sink()?.exporter().snapshot_watermark()
    }

    fn at_once(&self) -> usize {
        self.sink().map_or(HELD, |sink| sink.consumers() * 2)
    }

    /// Hands a batch over; a sink gives the slot back when it has done with the batch, or failed once.
    fn offer(&self, batch: Batch, slot: Slot) {
        match self {
            Self::Sink(sink) => sink.offer_stored(batch, slot),
            Self::Stages { pipeline, from, .. } => pipeline.push_from(*from, batch),
        }
    }
}

impl Feeder {
    /// Whether it does what another does: reads the same stream for the same sink.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let (own, of) = (&self.stream, &other.stream);
        let sinks = self.to.sink().zip(other.to.sink());
        let same_sink = sinks.is_some_and(|(own, of)| Arc::ptr_eq(own, of));
        same_sink && Arc::ptr_eq(&own.log, &of.log) && own.number == of.number
    }

    /// Reads until told to stop. It begins once the graph before this one has let go of the cursor, and nobody waits for that.
    pub(crate) async fn run(self: Arc<Self>, share: Arc<Share>, mut stop: Stop) -> Result<(), Fatal> {
        stop.ready();
        // Whoever reads in the graph that is in service now goes on until this one is.
        let service = stop.clone();
        tokio::select! {
            () = service.in_service() => {}
            () = stop.stopped() => return Ok(()),
        }
        let destination = self.to.id().clone();
        let reader = tokio::select! {
            reader = self.stream.log.reader(self.stream.number, destination.as_str()) => reader,
            () = stop.stopped() => return Ok(()),
        };
        let mut reader = reader.map_err(|error| Fatal(format!("the stream cannot be read: {error}")))?;
        let kept = self.to.snapshot_watermark();
        let mut snapshots = kept.as_ref().map(|kept| kept.watch());
        if let Some(snapshots) = &mut snapshots {
            reader.pin();
            self.advance(&reader, snapshots);
        }
        // A registry knows what it has by the last position, so it takes one record after the other, whatever becomes of them. What
        // fails elsewhere can be read from the stream again, and so need not be kept in memory.
        let may_fail = kept.is_none() && self.to.sink().is_some();
        let ways = if kept.is_some() { 1 } else { self.to.at_once() };
        let on_their_way = Arc::new(Semaphore::new(ways));
        let Intake { health, warnings, .. } = &*self.stream.intake;
        let part = format!("{destination}, reading the stream {}", self.stream.name);
        let mut unreadable = Unreadable::new(part, health, warnings);
        let mut again = Again::default();
        loop {
            let permit = tokio::select! {
                permit = Arc::clone(&on_their_way).acquire_owned() => permit,
                () = stop.stopped() => break,
            };
            // Who waits for snapshots too hears of them however much there is to read.
            let polled = if kept.is_none() { reader.poll() } else { Polled::Wait };
            let next = match polled {
                Polled::Record(delivered) => Ok(delivered),
                polled => {
                    let full = reader.is_full();
                    let pressed = full && may_fail && !reader.is_aside_full();
                    // What was never tried comes first.
                    let at_the_end = matches!(polled, Polled::Wait) && !full;
                    let looks = at_the_end && reader.aside() > 0;
                    tokio::select! {
                        next = reader.next() => next,
                        () = snapshot(&mut snapshots) => {
                            snapshots.iter_mut().for_each(|snapshots| self.advance(&reader, snapshots));
                            continue;
                        }
                        () = tokio::time::sleep(PRESSED), if pressed => {
                            self.set_aside(AGAIN);
                            continue;
                        }
                        () = tokio::time::sleep(PRESSED), if looks => {
                            if again.is_due(self.to.sink().is_some_and(|sink| sink.is_well())) {
                                // In rotation: what is in memory goes, and the next of the others come.
                                self.set_aside(AGAIN);
                                reader.look_again();
                            }
                            continue;
                        }
                        () = stop.stopped() => break,
                    }
                }
            };
            match next {
                Ok(delivered) => {
                    unreadable.read();
                    let mut memory = pin!(share.take(delivered.record.payload.len()));
                    let memory = loop {
                        tokio::select! {
                            biased;
                            memory = &mut memory => break Some(memory),
                            () = stop.stopped() => break None,
                            () = tokio::time::sleep(PRESSED), if may_fail => {
                                self.set_aside(usize::from(!reader.is_aside_full()));
                            }
                        }
                    };
                    let Some(memory) = memory else { break };
                    let (permit, held) = if may_fail { (permit.ok(), None) } else { (None, permit.ok()) };
                    let set_aside = may_fail.then(Arc::<AtomicBool>::default);
                    // Offered here, in the order of the stream: a sink that keeps order relies on it.
                    let first = self.offer(
                        &delivered,
                        Slot { permit, set_aside: set_aside.clone(), again: delivered.again },
                    );
                    let (own, stop) = (Arc::clone(&self), stop.clone());
                    tokio::spawn(async move {
                        own.deliver(delivered, first, (memory, set_aside), stop).await;
                        drop(held);
                    });
                }
                Err(error) => {
                    let pause = unreadable.failed(&error, self.clock.unix_nanos());
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = stop.stopped() => break,
                    }
                }
            }
        }
        // What is about to be settled need not be read again by the next. The rest is safe in the log.
        let all = u32::try_from(ways).unwrap_or(u32::MAX);
        drop(tokio::time::timeout(GRACE, on_their_way.acquire_many(all)).await);
        Ok(())
    }

    /// Has up to `most` batches that have failed set aside, so that others can be tried.
    fn set_aside(&self, most: usize) {
        if let Some(sink) = self.to.sink() {
            let _given_back = (0..most).take_while(|_| sink.set_aside()).count();
        }
    }

    /// Lets the cursor pass what a registry's newest snapshot holds.
    fn advance(&self, reader: &Reader, snapshots: &mut Snapshots) {
        if let Some(sequence) = snapshots.borrow_and_update().get(&self.stream.number) {
            reader.advance_to(*sequence);
        }
    }

    /// Offers a record to who is fed.
    fn offer(&self, delivered: &Delivered, slot: Slot) -> Ticket {
        let Delivered { position, record, .. } = delivered;
        let context = Arc::new(Context {
            source: record.source.clone(),
            transport: Transport::Internal,
            peer: None,
            metadata: record.metadata.clone(),
            auth: None,
            received_at: record.received_at,
        });
        let (settle, ticket) = Settle::ticket();
        let (bytes, position) = (record.payload.clone(), Some(*position));
        let chunk = Chunk { bytes, items: record.items, position, context, settle };
        self.to.offer(Batch::one(record.signal, chunk), slot);
        ticket
    }

    /// Offers a record again until it is delivered, or dropped for a reason that is counted where it was.
    async fn deliver(
        &self,
        delivered: Delivered,
        first: Ticket,
        (memory, set_aside): (Taken, Option<Arc<AtomicBool>>),
        mut stop: Stop,
    ) {
        let items = u64::from(delivered.record.items);
        add(&self.hop.taken, items);
        let held = HeldItems::new(self, items);
        let (mut ticket, mut pause) = (first, PAUSE);
        loop {
            let Outcome::Retry { after, why, .. } = ticket.await else { break };
            if set_aside.as_ref().is_some_and(|told| told.load(Ordering::Relaxed)) {
                add(&self.hop.returned, items);
                drop(held);
                return delivered.ack.set_aside();
            }
            if !stop.is_stopped() {
                let what = "not delivered; it stays in the storage and is tried again";
                self.stream.intake.warnings.warn(self.to.id(), what, items, &why);
            }
            tokio::select! {
                () = tokio::time::sleep(after.unwrap_or_default().clamp(pause, PAUSE_MAX)) => {}
                () = stop.stopped() => {
                    add(&self.hop.returned, items);
                    return;
                }
            }
            pause = (pause * 2).min(PAUSE_MAX);
            ticket = self.offer(&delivered, Slot::default());
        }
        add(&self.hop.out, items);
        let Delivered { record, ack, .. } = delivered;
        drop((held, record, memory));
        ack.done();
    }
}

/// When what is set aside is read again.
#[derive(Default)]
struct Again {
    /// When, and how long that is after the time before.
    next: Option<(Instant, Duration)>,
}

impl Again {
    /// Whether it is now: at once where nothing fails any more, and otherwise less and less often.
    fn is_due(&mut self, is_well: bool) -> bool {
        let now = Instant::now();
        let (due, pause) = *self.next.get_or_insert((now + PAUSE, PAUSE));
        if is_well {
            self.next = Some((now + PAUSE, PAUSE));
            return true;
        }
        if now >= due {
            let pause = (pause * 2).min(AGAIN_MAX);
            self.next = Some((now + pause, pause));
        }
        now >= due
    }
}

type Snapshots = watch::Receiver<BTreeMap<u64, u64>>;

/// Resolves when there is a new snapshot.
async fn snapshot(snapshots: &mut Option<Snapshots>) {
    let Some(snapshots) = snapshots else { return std::future::pending().await };
    if snapshots.changed().await.is_err() {
        std::future::pending().await
    }
}

/// Items that were read and are not settled.
struct HeldItems<'a> {
    feeder: &'a Feeder,
    items: u64,
}

impl Drop for HeldItems<'_> {
    fn drop(&mut self) {
        self.feeder.hop.held.fetch_sub(i64::try_from(self.items).unwrap_or(i64::MAX), Ordering::Relaxed);
    }
}

impl<'a> HeldItems<'a> {
    fn new(feeder: &'a Feeder, items: u64) -> Self {
        feeder.hop.held.fetch_add(i64::try_from(items).unwrap_or(i64::MAX), Ordering::Relaxed);
        Self { feeder, items }
    }
}
