//! What puts things right when an exporter panics.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use throughline_component::Lane;

use super::Sink;
use super::queue::Job;
use crate::ledger::add;

/// A batch that is being exported. If the exporter panics it leaves the accounts, and goes back to its sender by being dropped.
pub(super) struct UnderWay<'a> {
    pub(super) sink: &'a Arc<Sink>,
    pub(super) job: Option<Job>,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let Some(job) = self.job.take() else { return };
        let (sink, lane) = (self.sink, job.lane());
        if lane != Lane::None && std::thread::panicking() {
            // Those behind it must not overtake it.
            sink.panicked.store(true, Ordering::Relaxed);
            sink.services.health.died(&sink.part, "it panicked while exporting");
            let mut queue = sink.queue();
            queue.idle(lane);
            return sink.failed(queue, job, None, "it panicked while exporting".into());
        }
        add(&sink.hop(job.batch.signal).returned, job.batch.items());
        sink.leave(&job);
        if std::thread::panicking() {
            sink.panicked.store(true, Ordering::Relaxed);
            sink.services.health.died(&sink.part, "it panicked while exporting");
        }
        // The consumer is gone; another goes on in its place.
        let mut queue = sink.queue();
        queue.idle(lane);
        if let Some(next) = queue.take(sink.consumers) {
            tokio::spawn(Arc::clone(sink).consume(next));
        }
    }
}

/// Notices that the task that looks after failed batches has ended before its time.
pub(super) struct Retrying<'a>(pub(super) &'a Arc<Sink>);

impl Drop for Retrying<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.retrying.store(false, Ordering::Relaxed);
            self.0.look_after(self.0.queue());
        }
    }
}
