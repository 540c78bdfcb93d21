//! What has failed is tried again, by one task.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use throughline_component::Outcome;

use super::Sink;
use super::guard::Retrying;
use super::queue::{Next, Queue};

impl Sink {
    /// Sees to it that a task looks after what has failed.
    pub(super) fn look_after(self: &Arc<Self>, queue: MutexGuard<'_, Queue>) {
        let spawn = !self.retrying.swap(true, Ordering::Relaxed);
        drop(queue);
        if spawn {
            tokio::spawn(Arc::clone(self).retry());
        } else {
            self.changed.notify_one();
        }
    }

    /// Tries again what has failed, one batch at a time, until there is none.
    pub(super) async fn retry(self: Arc<Self>) {
        let guard = Retrying(&self);
        let mut stop = self.stop.clone();
        loop {
            if stop.is_stopped() {
                let left = self.queue().clear();
                left.into_iter().for_each(|job| {
                    self.end(job, Outcome::retry("the agent stopped before it was delivered"))
                });
            }
            let next = {
                let mut queue = self.queue();
                let next = queue.next(&self.policy, self.services.clock.monotonic_nanos());
                if matches!(next, Next::Nothing) {
                    self.retrying.store(false, Ordering::Relaxed);
                }
                next
            };
            match next {
                Next::Try(job) => self.attempt(*job).await,
                Next::Expired(jobs) => {
                    let why = Arc::clone(&self.queue().last_words);
                    jobs.into_iter().for_each(|job| self.expire(job, &why));
                    self.go_on();
                }
                Next::Wait(until) => {
                    let wait = until.saturating_sub(self.services.clock.monotonic_nanos());
                    tokio::select! {
                        () = tokio::time::sleep(Duration::from_nanos(wait)) => {}
                        () = self.changed.notified() => {}
                        () = stop.stopped() => {}
                    }
                }
                Next::Nothing => return drop(guard),
            }
        }
    }
}
