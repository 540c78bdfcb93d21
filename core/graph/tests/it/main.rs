//! What the graph promises whatever its components do: a real graph of small components that a test tells what to do.

mod drops;
mod entry;
mod handover;
mod harness;
mod heard;
mod holder;
mod lanes;
mod snapshot_watermark;
mod stored;
mod supervision;
