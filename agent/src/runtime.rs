//! The runtime that fits the cores there are.

use std::io;
use std::num::NonZero;
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Runtime};

/// A runtime of one thread where there is one core, be it by a quota or an affinity, and of one a core where there are more.
/// What that saves stands in `docs/adr/0005-runtime.md`.
pub(crate) fn start() -> io::Result<Runtime> {
    let cores = available_parallelism().map_or(1, NonZero::get);
    let mut builder = if cores == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    builder.enable_all().build()
}
