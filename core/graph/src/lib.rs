//! Plan, a pure function from settings to a picture, and run, which keeps the picture alive.
//!
//! [`Plan::new`] turns the wiring of a configuration and the roles of its components into pipelines of fused walks,
//! steps and sinks. [`Graph::start`] runs it: data goes from a receiver's [`Output`](throughline_component::Output)
//! through admission, walks and steps to the sinks' queues in one synchronous call, so that only a sink is ever awaited.
//! The graph knows no component: factories are handed to it.

mod assembly;
mod entry;
mod feeder;
mod ledger;
mod panics;
mod pipeline;
mod plan;
mod resend;
mod reuse;
mod run;
mod running_processor;
mod setup;
mod share;
mod sink;
mod stream;
mod supervisor;
mod unreadable;
mod walk;

pub use ledger::{Direction, Hop, Imbalance, Ledger, Row};
pub use plan::{Masking, Pipeline as PlannedPipeline, Plan, Role, Roles, Stage, Stored, Wire, Wiring};
pub use run::Graph;
pub use setup::{Make, Reused, Setup};
