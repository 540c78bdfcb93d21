//! What the agent itself has to tell: posted by components, emitted by the `internal` receiver.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::ComponentId;

/// How many notices may wait. What comes on top is counted, not kept: a notice about an overload must not add to it.
const CAPACITY: usize = 1024;

/// Something a component has to tell beyond the data that flows through it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Who tells it.
    pub from: ComponentId,
    /// The event's name, `change.identity.superseded`.
    pub event_name: String,
    /// When it happened, in nanoseconds since the Unix epoch.
    pub occurred_at: u64,
    /// The event's attributes.
    pub attributes: Vec<(String, String)>,
    /// For a person.
    pub body: String,
}

/// The bounded mailbox between components and the `internal` receiver. A service of the graph.
#[derive(Debug, Default)]
pub struct Internal {
    waiting: Mutex<VecDeque<Notice>>,
    lost: AtomicU64,
    arrived: Notify,
}

impl Internal {
    /// Posts a notice; never waits.
    pub fn post(&self, notice: Notice) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() == CAPACITY {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.push_back(notice);
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Takes all that wait, once there is one.
    pub async fn take(&self) -> Vec<Notice> {
        loop {
            let taken: Vec<_> =
                self.waiting.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
            if !taken.is_empty() {
                return taken;
            }
            self.arrived.notified().await;
        }
    }

    /// How many notices found no room.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(body: usize) -> Notice {
        let (event_name, attributes) = ("test".to_owned(), Vec::new());
        Notice {
            from: ComponentId::new("test"),
            event_name,
            occurred_at: 0,
            attributes,
            body: body.to_string(),
        }
    }

    #[tokio::test]
    async fn notices_wait_in_order_until_they_are_taken_and_those_that_find_no_room_are_counted() {
        let internal = Internal::default();
        (0..CAPACITY).for_each(|number| internal.post(notice(number)));
        assert_eq!(internal.lost(), 0);
        internal.post(notice(CAPACITY));
        internal.post(notice(CAPACITY + 1));
        assert_eq!(internal.lost(), 2);
        assert_eq!(internal.take().await, (0..CAPACITY).map(notice).collect::<Vec<_>>());
        let (taken, ()) = tokio::join!(internal.take(), async { internal.post(notice(7)) });
        assert_eq!(taken, [notice(7)], "who waits hears of it");
    }
}
