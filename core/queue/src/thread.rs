//! The thread that writes the log. It goes on whatever befalls a turn.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::time::Duration;

use crate::shared::Shared;

impl Shared {
    /// Takes turns until the log is closed.
    pub(crate) fn run(&self) {
        loop {
            {
                let mut state = self.state();
                while let Some(until) = state.sleep() {
                    let look = Duration::from_nanos(until.saturating_sub(self.now()));
                    if look.is_zero() {
                        break;
                    }
                    let waited = self.wake.wait_timeout(state, look);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                state.wake_up();
            }
            match catch_unwind(AssertUnwindSafe(|| self.flush_group())) {
                Ok(turned) if !turned && self.state().is_closing() => break,
                Ok(_) => {}
                Err(_) => self.mend(),
            }
        }
        let mut io = self.io();
        let entries = self.state().cursor_entries(false, self.now());
        if let Err(error) = self.write_cursors(&mut io, &entries, true) {
            tracing::warn!(%error, "the cursors could not be synced; some data will be delivered again");
        }
        io.writers.seal_all();
        let open: Vec<u64> = io.journals.keys().copied().collect();
        open.into_iter().for_each(|journal| io.note_end(journal));
        if let Err(error) = io.write_manifest() {
            tracing::warn!(%error, "how long the journals are could not be written down; nobody would miss what is cut from them");
        }
        io.warnings.flush(true);
        drop(io);
        self.state().end();
        // What came in between.
        self.flush_group();
    }

    /// A turn panicked, and whoever waited for what was in it was told to try again.
    fn mend(&self) {
        tracing::error!("the thread that writes the log panicked; it goes on");
        self.state().recount_pending();
        // If it does so again and again, not at full speed.
        std::thread::sleep(Duration::from_millis(100));
    }
}
