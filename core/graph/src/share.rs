//! Memory for what is read from streams.
//!
//! Every reader has a share of its own, so that a destination that takes nothing holds neither what senders may use nor what
//! other destinations read with. All shares together are half of the memory budget, but none is so small that it slows a
//! destination down.

use std::sync::Arc;

use throughline_component::Counter;
use throughline_component::port::{Budget, Charge};
use tokio::sync::Notify;

/// The smallest share.
const LEAST: usize = 1 << 20;
/// What a record takes besides its bytes.
const RECORD: usize = 512;

/// What one reader may hold of records that are not settled.
pub(crate) struct Share {
    /// None: it is not bounded here.
    budget: Option<Arc<Budget>>,
    freed: Notify,
    /// How often it had to wait.
    waits: Counter,
}

/// Bytes of a record, until it is settled.
pub(crate) struct Taken {
    share: Arc<Share>,
    charge: Option<Charge>,
}

impl Share {
    /// One of `readers` equal shares.
    pub(crate) fn of(memory: Option<&Arc<Budget>>, readers: usize, waits: Counter) -> Arc<Self> {
        let share = |memory: &Arc<Budget>| Budget::new((memory.limit() / 2 / readers.max(1)).max(LEAST));
        Arc::new(Self { budget: memory.map(share), freed: Notify::new(), waits })
    }

    /// Takes room for a record, once there is some. One that is alone has room, however large it is.
    pub(crate) async fn take(self: &Arc<Self>, bytes: usize) -> Taken {
        let mut charge = self.budget.as_ref().map_or_else(Charge::none, Budget::charge);
        let bytes = bytes.saturating_add(RECORD);
        if !charge.grow(bytes) {
            self.waits.add(1);
            loop {
                // Made before looking, so that nothing that is given back in between is missed.
                let freed = self.freed.notified();
                if charge.grow(bytes) {
                    break;
                }
                freed.await;
            }
        }
        Taken { share: Arc::clone(self), charge: Some(charge) }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        drop(self.charge.take());
        self.share.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn taken(share: &Arc<Share>, bytes: usize) -> Taken {
        match poll(pin!(share.take(bytes))) {
            Poll::Ready(taken) => taken,
            Poll::Pending => panic!("there is no room for {bytes}"),
        }
    }

    fn held(share: &Share) -> usize {
        share.budget.as_ref().map_or(0, |budget| budget.used())
    }

    #[test]
    fn a_reader_waits_while_its_share_is_used_up_and_others_go_on() {
        let memory = Budget::new(8 << 20);
        let waits = Counter::default();
        let [dead, well] = [(); 2].map(|()| Share::of(Some(&memory), 2, waits.clone()));
        let first = taken(&dead, 1_500_000);
        let mut second = pin!(dead.take(1_500_000));
        assert!(poll(second.as_mut()).is_pending(), "2 MiB are its share");
        assert!(held(&dead) <= 2 << 20);
        drop(taken(&well, 1_500_000));
        assert_eq!(memory.used(), 0, "senders have all of theirs");
        assert_eq!(waits.get(), 1);
        drop(first);
        let second = poll(second.as_mut());
        assert!(second.is_ready());
        drop(second);
        assert_eq!(held(&dead), 0);
    }

    #[test]
    fn shares_are_half_of_the_memory_together_and_none_is_too_small() {
        let share = |memory: usize, readers: usize| {
            let share = Share::of(Some(&Budget::new(memory)), readers, Counter::default());
            share.budget.as_ref().map(|budget| budget.limit())
        };
        assert_eq!(share(64 << 20, 4), Some(8 << 20));
        assert_eq!(share(64 << 20, 0), Some(32 << 20));
        assert_eq!(share(64 << 20, 100), Some(1 << 20));
        assert_eq!(held(&Share::of(None, 1, Counter::default())), 0);
        let unbounded = Share::of(None, 1, Counter::default());
        let _all = [taken(&unbounded, usize::MAX), taken(&unbounded, usize::MAX)];
    }

    #[test]
    fn a_record_that_is_larger_than_the_share_is_read_when_it_is_alone() {
        let share = Share::of(Some(&Budget::new(1)), 1, Counter::default());
        let large = taken(&share, 64 << 20);
        assert!(poll(pin!(share.take(1))).is_pending());
        drop(large);
        drop(taken(&share, 1));
    }
}
