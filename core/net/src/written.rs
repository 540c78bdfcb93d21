//! What a connection's socket took of what was written to it, and since when it takes nothing.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Poll;

use tokio::sync::Notify;
use tokio::time::Instant;

/// What a socket took of what was written.
#[derive(Default)]
pub(crate) struct Written {
    bytes: AtomicU64,
    /// Whether `blocked` is set: it is looked at with every write.
    is_blocked: AtomicBool,
    /// Since when it takes nothing, if it does not.
    blocked: Mutex<Option<Instant>>,
    takes_again: Notify,
    given_up: AtomicBool,
}

impl Written {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn blocked(&self) -> Option<Instant> {
        *self.blocked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection is ended without another word: the kernel need not keep what the peer does not read.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// Whether it is ended so.
    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    /// Resolves once the socket takes bytes. Only for one who is alone in waiting for it.
    pub(crate) async fn takes(&self) {
        while self.is_blocked.load(Ordering::Acquire) {
            self.takes_again.notified().await;
        }
    }

    /// Notes what came of a write.
    pub(crate) fn note(&self, result: &Poll<io::Result<usize>>) {
        let is_blocked = result.is_pending();
        if let Poll::Ready(Ok(count)) = result {
            self.bytes.fetch_add(*count as u64, Ordering::Relaxed);
        }
        if self.is_blocked.load(Ordering::Relaxed) == is_blocked {
            return;
        }
        *self.blocked.lock().unwrap_or_else(PoisonError::into_inner) = is_blocked.then(Instant::now);
        self.is_blocked.store(is_blocked, Ordering::Release);
        if !is_blocked {
            self.takes_again.notify_one();
        }
    }
}
