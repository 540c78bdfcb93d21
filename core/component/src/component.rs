//! What a component is, and the same contracts with their types erased.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use throughline_otlp::Signal;
use throughline_otlp::edit::{Levels, Record};

use crate::{
    Barrier, Batch, Build, Chunk, ConfigError, Delivery, Outcome, Output, Services, SnapshotWatermark, Stop,
};

const ALL: &[Signal] = &[Signal::Traces, Signal::Metrics, Signal::Logs];

/// Why a component cannot go on. The supervisor says it, turns readiness red and restarts the component.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Fatal(pub String);

/// The settings of a component: plain serde, whose schema is also its reference page.
pub trait Settings: DeserializeOwned + JsonSchema + Send + 'static {}
impl<T: DeserializeOwned + JsonSchema + Send + 'static> Settings for T {}

/// Takes data in from outside.
pub trait Receiver: Sized + Send + 'static {
    /// Its settings.
    type Config: Settings;
    /// What it can emit.
    const SIGNALS: &'static [Signal] = ALL;
    /// Whether two of it must never run at once, even for the moment of a reload: a member of a group, a reader of files, a leader.
    /// A reload then ends the one in service first, and starts it again if the new configuration does not come into service.
    const EXCLUSIVE: bool = false;

    /// Builds it. Opens nothing: `validate` runs this too.
    ///
    /// # Errors
    /// What is wrong with the settings, with the path of the offending key.
    fn build(config: Self::Config, cx: &Build) -> Result<Self, ConfigError>;

    /// Runs until told to stop, or until it cannot go on; says [`Stop::ready`] once it is in service. On stop it takes in nothing more, answers what it has
    /// taken in, and returns.
    fn run(self, out: Output, stop: Stop) -> impl Future<Output = Result<(), Fatal>> + Send;
}

/// Looks at one record at a time. The planner fuses neighbouring editors into one walk over the bytes.
pub trait Editor: Sized + Send + Sync + 'static {
    /// Its settings.
    type Config: Settings;
    /// What it can edit.
    const SIGNALS: &'static [Signal] = ALL;

    /// Builds it. Opens nothing.
    ///
    /// # Errors
    /// What is wrong with the settings.
    fn build(config: Self::Config, cx: &Build) -> Result<Self, ConfigError>;

    /// The levels that it visits, reads and writes.
    fn access(&self) -> AccessPattern;

    /// Starts on one chunk; one that says so in [`AccessPattern::whole`] may look at all of it. `None`: there is nothing to do in
    /// this chunk.
    fn begin<'a>(&'a self, signal: Signal, chunk: &'a Chunk) -> Option<Box<dyn Pass + 'a>>;
}

/// What an editor reads and writes, by level, so that the planner knows which editors may share a walk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccessPattern {
    /// Levels at which it wants to be called.
    pub visits: Levels,
    /// Levels above the visited one that it reads from there (a span's resource, say).
    pub reads_above: Levels,
    /// Levels it may change or drop where it visits them.
    pub writes: Levels,
    /// Levels above the visited one that it changes from there: a span's resource, by a path that begins with `resource`.
    pub writes_above: Levels,
    /// Whether it looks at a chunk's bytes when it begins. What editors before it wrote must be in them, so it shares no
    /// walk with those; in return a chunk in which it finds nothing to do is not walked for it.
    pub whole: bool,
}

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It stays.
    Keep,
    /// It goes, a resource or scope with all that is below it. The reason, one of a few fixed words (`filtered`, `sampled`), is a label
    /// of the counter of dropped items.
    Drop(&'static str),
}

/// One editor at work on one chunk.
pub trait Pass {
    /// Looks at a record, and may change it.
    fn edit(&mut self, record: &mut Record<'_>) -> Verdict;

    /// Changes what no record holds, the schema URLs of groups, once the walk is over. `None`: they stay.
    fn groups(&mut self, signal: Signal, request: &Bytes) -> Option<Bytes> {
        let _ = (signal, request);
        None
    }

    /// The walk is over. A barrier joins the chunk's settlement.
    fn finish(self: Box<Self>) -> Option<Barrier> {
        None
    }
}

/// Sees whole batches: merges, splits, refuses, or keeps them for a while.
pub trait Processor: Sized + Send + 'static {
    /// Its settings.
    type Config: Settings;
    /// What it takes.
    const SIGNALS: &'static [Signal] = ALL;
    /// What its emitter emits, for a connector; a processor emits what it took.
    const EMITS: &'static [Signal] = &[];

    /// Builds it. Opens nothing.
    ///
    /// # Errors
    /// What is wrong with the settings.
    fn build(config: Self::Config, cx: &Build) -> Result<Self, ConfigError>;

    /// Whether it may keep data longer than a client waits. Where an exporter of its pipeline has storage, a stream stands before it:
    /// what it keeps with its settle tokens comes again after a crash.
    fn holds(&self) -> bool {
        false
    }

    /// Takes a batch. What it keeps, it keeps with the settle tokens. Must not block.
    fn accept(&mut self, batch: Batch, out: &mut Emitter);

    /// When it next wants [`tick`](Self::tick), in nanoseconds of the monotonic clock.
    fn wakes_at(&self) -> Option<u64> {
        None
    }

    /// Time has passed; `now` is nanoseconds of the monotonic clock.
    fn tick(&mut self, now: u64, out: &mut Emitter) {
        let _ = (now, out);
    }

    /// The pipeline drains: everything that is kept must go.
    fn flush(&mut self, out: &mut Emitter) {
        let _ = out;
    }
}

/// Where a processor puts what it emits.
#[derive(Debug, Default)]
pub struct Emitter {
    batches: Vec<Batch>,
    settled: Vec<(u64, Outcome)>,
}

impl Emitter {
    /// Emits a batch.
    pub fn send(&mut self, batch: Batch) {
        self.batches.push(batch);
    }

    /// Ends a batch here: refused, or folded into something else. The accounts are kept here, so that they balance.
    pub fn settle(&mut self, batch: Batch, outcome: &Outcome) {
        self.settled.push((batch.items(), outcome.clone()));
        batch.settle(outcome);
    }

    /// Says that `items` went into something else that is emitted: their settlement went with it.
    pub fn fold(&mut self, items: u64) {
        self.settled.push((items, Outcome::DONE));
    }

    /// Takes what was emitted, in order, and the items and outcomes of what ended here.
    pub fn take(&mut self) -> (Vec<Batch>, Vec<(u64, Outcome)>) {
        (std::mem::take(&mut self.batches), std::mem::take(&mut self.settled))
    }
}

/// A sequence within which an exporter keeps order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lane {
    /// In any order.
    #[default]
    None,
    /// In the order of this lane: a partition, a hash of a series.
    Of(u64),
}

impl Lane {
    /// One lane for everything.
    pub const SERIAL: Self = Self::Of(0);
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcomes {
    /// The same of all its chunks.
    All(Outcome),
    /// Of each chunk, in the order of the batch.
    Each(Vec<Outcome>),
}

/// Delivers batches. Queueing, retry, batching and the deadline are given to it (see [`Delivery`]).
pub trait Exporter: Sized + Send + Sync + 'static {
    /// Its settings, without those that [`Delivery::Queued`] adds.
    type Config: Settings;
    /// What it takes.
    const SIGNALS: &'static [Signal] = ALL;
    /// How data reaches it.
    const DELIVERY: Delivery = Delivery::Queued;
    /// How long one attempt may take where `timeout` is not set; [`Delivery::Queued`] only.
    const TIMEOUT: Duration = Duration::from_secs(5);

    /// Builds it. Opens nothing.
    ///
    /// # Errors
    /// What is wrong with the settings.
    fn build(config: Self::Config, cx: &Build) -> Result<Self, ConfigError>;

    /// Delivers one batch, once.
    fn export(&self, batch: &Batch) -> impl Future<Output = Outcome> + Send;

    /// The same where chunks of a batch can fare differently: what has failed is tried again without the others. Without an own
    /// implementation all fare as [`export`](Self::export) says.
    fn export_each(&self, batch: &Batch) -> impl Future<Output = Outcomes> + Send {
        async move { Outcomes::All(self.export(batch).await) }
    }

    /// Within which lane order holds for a chunk: over retries and restarts the chunks of a lane are delivered in the order in which
    /// they came, one batch at a time. A batch never has chunks of two lanes. Without lanes consumers work side by side.
    fn lane(&self, signal: Signal, chunk: &Chunk) -> Lane {
        let _ = (signal, chunk);
        Lane::None
    }

    /// The request metadata that it looks at, by name: a stream keeps that of what feeds it, and no other.
    fn metadata_keys(&self) -> Vec<String> {
        Vec::new()
    }

    /// Of a sink that keeps what it takes in a registry with snapshots: what the newest of them holds. It is then fed from a
    /// stream in the same storage, one chunk after the other, each stream in its order; what a crash takes from the registry
    /// comes again. It must pass over positions that it has already.
    fn snapshot_watermark(&self) -> Option<Arc<SnapshotWatermark>> {
        None
    }

    /// What it does beside exporting: serving a page, expiring series. Ends when told to stop.
    fn run(&self, mut stop: Stop) -> impl Future<Output = Result<(), Fatal>> + Send {
        async move {
            stop.ready();
            stop.stopped().await;
            Ok(())
        }
    }
}

/// Serves other components rather than data: storage, authentication, health.
pub trait Extension: Sized + Send + Sync + 'static {
    /// Its settings.
    type Config: Settings;

    /// Builds it and puts what it offers into `offers`, where components find it. Opens nothing.
    ///
    /// # Errors
    /// What is wrong with the settings.
    fn build(config: Self::Config, cx: &Build, offers: &mut Services) -> Result<Self, ConfigError>;

    /// Runs until told to stop; extensions start before and stop after everything else.
    fn run(&self, mut stop: Stop) -> impl Future<Output = Result<(), Fatal>> + Send {
        async move {
            stop.ready();
            stop.stopped().await;
            Ok(())
        }
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A [`Receiver`] whose type is erased.
pub trait DynReceiver: Send {
    /// See [`Receiver::EXCLUSIVE`].
    fn is_exclusive(&self) -> bool;
    /// See [`Receiver::run`].
    fn run(self: Box<Self>, out: Output, stop: Stop) -> Boxed<'static, Result<(), Fatal>>;
}

impl<T: Receiver> DynReceiver for T {
    fn is_exclusive(&self) -> bool {
        T::EXCLUSIVE
    }
    fn run(self: Box<Self>, out: Output, stop: Stop) -> Boxed<'static, Result<(), Fatal>> {
        Box::pin(T::run(*self, out, stop))
    }
}

/// An [`Editor`] whose type is erased.
pub trait DynEditor: Send + Sync {
    /// See [`Editor::access`].
    fn access(&self) -> AccessPattern;
    /// See [`Editor::begin`].
    fn begin<'a>(&'a self, signal: Signal, chunk: &'a Chunk) -> Option<Box<dyn Pass + 'a>>;
}

impl<T: Editor> DynEditor for T {
    fn access(&self) -> AccessPattern {
        Editor::access(self)
    }
    fn begin<'a>(&'a self, signal: Signal, chunk: &'a Chunk) -> Option<Box<dyn Pass + 'a>> {
        Editor::begin(self, signal, chunk)
    }
}

/// A [`Processor`] whose type is erased.
pub trait DynProcessor: Send {
    /// See [`Processor::holds`].
    fn holds(&self) -> bool;
    /// See [`Processor::accept`].
    fn accept(&mut self, batch: Batch, out: &mut Emitter);
    /// See [`Processor::wakes_at`].
    fn wakes_at(&self) -> Option<u64>;
    /// See [`Processor::tick`].
    fn tick(&mut self, now: u64, out: &mut Emitter);
    /// See [`Processor::flush`].
    fn flush(&mut self, out: &mut Emitter);
}

impl<T: Processor> DynProcessor for T {
    fn holds(&self) -> bool {
        Processor::holds(self)
    }
    fn accept(&mut self, batch: Batch, out: &mut Emitter) {
        Processor::accept(self, batch, out);
    }
    fn wakes_at(&self) -> Option<u64> {
        Processor::wakes_at(self)
    }
    fn tick(&mut self, now: u64, out: &mut Emitter) {
        Processor::tick(self, now, out);
    }
    fn flush(&mut self, out: &mut Emitter) {
        Processor::flush(self, out);
    }
}

/// An [`Exporter`] whose type is erased.
pub trait DynExporter: Send + Sync {
    /// See [`Exporter::export`].
    fn export<'a>(&'a self, batch: &'a Batch) -> Boxed<'a, Outcome>;
    /// See [`Exporter::export_each`].
    fn export_each<'a>(&'a self, batch: &'a Batch) -> Boxed<'a, Outcomes>;
    /// See [`Exporter::lane`].
    fn lane(&self, signal: Signal, chunk: &Chunk) -> Lane;
    /// See [`Exporter::metadata_keys`].
    fn metadata_keys(&self) -> Vec<String>;
    /// See [`Exporter::snapshot_watermark`].
    fn snapshot_watermark(&self) -> Option<Arc<SnapshotWatermark>>;
    /// See [`Exporter::run`].
    fn run(self: Arc<Self>, stop: Stop) -> Boxed<'static, Result<(), Fatal>>;
}

impl<T: Exporter> DynExporter for T {
    fn export<'a>(&'a self, batch: &'a Batch) -> Boxed<'a, Outcome> {
        Box::pin(Exporter::export(self, batch))
    }
    fn export_each<'a>(&'a self, batch: &'a Batch) -> Boxed<'a, Outcomes> {
        Box::pin(Exporter::export_each(self, batch))
    }
    fn lane(&self, signal: Signal, chunk: &Chunk) -> Lane {
        Exporter::lane(self, signal, chunk)
    }
    fn metadata_keys(&self) -> Vec<String> {
        Exporter::metadata_keys(self)
    }
    fn snapshot_watermark(&self) -> Option<Arc<SnapshotWatermark>> {
        Exporter::snapshot_watermark(self)
    }
    fn run(self: Arc<Self>, stop: Stop) -> Boxed<'static, Result<(), Fatal>> {
        Box::pin(async move { Exporter::run(&*self, stop).await })
    }
}

/// An [`Extension`] whose type is erased.
pub trait DynExtension: Send + Sync {
    /// See [`Extension::run`].
    fn run(self: Arc<Self>, stop: Stop) -> Boxed<'static, Result<(), Fatal>>;
}

impl<T: Extension> DynExtension for T {
    fn run(self: Arc<Self>, stop: Stop) -> Boxed<'static, Result<(), Fatal>> {
        Box::pin(async move { Extension::run(&*self, stop).await })
    }
}
