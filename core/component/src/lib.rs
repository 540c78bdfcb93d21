//! The contracts between components and the graph, and the ports to the outside world.
//!
//! A [`Receiver`] turns what arrives into [`Chunk`]s and awaits their settlement; [`Editor`]s change records in one
//! shared walk; a [`Processor`] (or a connector, which is one whose emitter leads into other pipelines) sees whole
//! batches; an [`Exporter`] delivers them and answers with an [`Outcome`]. A [`Factory`] erases a component's type once.
//! Nothing here knows the graph, and no component knows another.

mod build;
mod chunk;
mod component;
mod context;
mod delivery;
mod factory;
mod health;
mod id;
mod internal;
mod journaled;
mod machine;
mod meter;
mod outcome;
mod output;
pub mod port;
mod settle;
mod snapshot_watermark;
mod state;
mod stop;
mod warnings;

pub use build::{Build, Services};
pub use chunk::{Batch, Chunk, Position};
pub use component::{
    AccessPattern, DynEditor, DynExporter, DynExtension, DynProcessor, DynReceiver, Editor, Emitter,
    Exporter, Extension, Fatal, Lane, Outcomes, Pass, Processor, Receiver, Verdict,
};
pub use context::{Auth, Context, Metadata, Transport};
pub use delivery::{Delivery, DeliverySettings, OnPermanentError, QueueSettings, RetrySettings, Sizer};
pub use factory::{Built, Factory};
pub use health::{Failing, Health};
pub use id::ComponentId;
pub use internal::{Internal, Notice};
pub use journaled::{Guard, Journaled, Openings, ReadGuard, Replay, Unreadable};
pub use machine::{MachineCheck, can_write};
pub use meter::{Counter, Histogram, Meter, Reading, Readings, Value};
pub use outcome::{Outcome, RejectKind};
pub use output::{Origin, Output, Sender};
pub use settle::{Barrier, Dividing, Settle, Ticket};
pub use snapshot_watermark::SnapshotWatermark;
pub use state::States;
pub use stop::{Stop, Stopper};
pub use throughline_config::{ConfigError, Kind};
pub use warnings::Warnings;
