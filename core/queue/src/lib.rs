//! The durable log: streams, segments, group commit, cursors, journals. `docs/log-format.md` describes the bytes.
//!
//! A [`Log`] owns one directory. [`Log::append`] puts a record at the end of a named stream and tells its [`Settle`] Done
//! once the record's group is synced; a [`Reader`] yields a stream to one destination from its cursor on, in order, and
//! moves the cursor as deliveries are acknowledged. One thread does all writing: a group forms while the previous one
//! syncs, so there is no timer. [`Storage`] opens the log when it is first needed and hands out journals.
//!
//! [`Settle`]: throughline_component::Settle

mod ahead;
mod commit;
mod cursor;
mod entry;
mod flush_group;
mod frame;
mod garbage;
mod intake;
mod io;
mod journal;
mod limits;
mod listing;
mod log;
mod manifest;
mod name;
mod ports;
mod quota;
mod ranges;
mod reader;
mod record;
mod recover;
mod reserve;
mod room;
mod scan;
mod segment;
mod settings;
mod shared;
mod state;
mod storage;
mod stream;
mod thread;

pub mod sites;

pub use listing::{Backlog, Dropped};
pub use log::Log;
pub use ports::Ports;
pub use reader::{Ack, Delivered, Polled, Reader};
pub use record::Record;
pub use settings::{Durability, Overflow, Settings};
pub use state::Stats;
pub use storage::Storage;
