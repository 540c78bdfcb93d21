//! What the graph promises whatever its components do: a real graph of small components that a test tells what to do.

mod drops;
mod entry;
mod handover;
mod heard;
mod holder;
mod kept;
mod lanes;
mod stored;
mod supervision;
mod world;
