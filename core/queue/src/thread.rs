//! The thread that writes the log. It goes on whatever befalls a turn.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::time::Duration;

use crate::shared::Shared;
use crate::state::{State, Task};

impl Shared {
    /// Takes turns until the log is closed.
    pub(crate) fn run(&self) {
        loop {
            {
                let mut state = self.state();
                while state.group.is_empty() && !state.moved && !state.pressed && !state.closing {
                    state.asleep = true;
                    let look = Duration::from_nanos(state.next_look.saturating_sub(self.now()));
                    if look.is_zero() {
                        break;
                    }
                    let waited = self.wake.wait_timeout(state, look);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                state.asleep = false;
            }
            match catch_unwind(AssertUnwindSafe(|| self.flush_group())) {
                Ok(turned) if !turned && self.state().closing => break,
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
        self.state().ended = true;
        // What came in between.
        self.flush_group();
    }

    /// A turn panicked, and whoever waited for what was in it was told to try again.
    fn mend(&self) {
        tracing::error!("the thread that writes the log panicked; it goes on");
        let mut state = self.state();
        let size = |task: &Task| match task {
            Task::Append { record, .. } => record.size(),
            _ => 0,
        };
        state.pending_bytes = state.group.iter().map(size).sum();
        let State { group, streams, .. } = &mut *state;
        for (number, stream) in streams {
            let own =
                group.iter().filter(|task| matches!(task, Task::Append { stream, .. } if stream == number));
            stream.set_pending(own.map(size).sum::<usize>() as u64);
        }
        drop(state);
        // If it does so again and again, not at full speed.
        std::thread::sleep(Duration::from_millis(100));
    }
}
