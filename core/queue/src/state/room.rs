//! Whether there is room, and who waits to hear that there is some again. A log that refuses looks for room by itself: behind a
//! readiness probe no sender comes who could try.

use std::panic::{AssertUnwindSafe, catch_unwind};

use throughline_component::port::Clock;

use super::{State, Waiter};
use crate::io::Io;
use crate::log::Log;
use crate::shared::Shared;

/// How often it is looked for room, in nanoseconds.
const LOOK: u64 = 1_000_000_000;
/// No more than this is written to find out whether the disk takes it.
const MOST: u64 = 1 << 20;

impl Log {
    /// Calls `tell` once a record of this size would be taken in by a stream. The log looks every second, also where no
    /// record comes.
    pub fn when_open(&self, stream: u64, size: usize, tell: impl FnOnce() + Send + 'static) {
        let shared = self.shared();
        let soon = shared.now().saturating_add(LOOK);
        let mut state = shared.state();
        state.waiters.push(Waiter { stream, size: size as u64, tell: Box::new(tell) });
        state.next_look = state.next_look.min(soon);
        shared.wake(state);
    }
}

impl State {
    /// Whether nothing is taken in since the disk is full.
    pub(crate) fn is_disk_full(&self) -> bool {
        self.short || self.unwritten || self.no_space
    }

    /// Somebody is refused, or would be.
    pub(crate) fn is_in_need(&self) -> bool {
        self.is_disk_full() || self.failing || !self.waiters.is_empty()
    }

    /// Records of so many bytes could not be written. That they cannot be still is looked at later.
    pub(crate) fn could_not_write(&mut self, bytes: usize, is_full: bool, now: u64) {
        self.failing = true;
        self.tried = bytes as u64;
        self.next_probe = now.saturating_add(LOOK);
        self.no_space |= is_full;
        self.pressed |= is_full;
        self.wants_room |= is_full;
    }

    /// The disk takes records.
    pub(crate) fn could_write(&mut self) {
        (self.failing, self.no_space) = (false, false);
    }

    fn is_open(&self, waiter: &Waiter, clock: &dyn Clock) -> bool {
        let (size, overflow, quota) = (self.size(waiter), self.limits.overflow, self.quota);
        let stream = self.streams.get(&waiter.stream);
        let takes = stream.is_none_or(|stream| stream.is_open(size, overflow, quota, clock));
        takes && !self.failing && !self.lacks_room(waiter)
    }

    /// Whether orphans are to make room.
    fn lacks_room(&self, waiter: &Waiter) -> bool {
        let stored = self.stored_bytes + self.pending_bytes as u64;
        self.is_disk_full() || stored + self.size(waiter) > self.limits.max_bytes
    }

    /// What is larger than anybody may keep waiting is refused whatever there is.
    fn size(&self, waiter: &Waiter) -> u64 {
        waiter.size.min(self.quota / 8).min(self.limits.max_bytes / 8)
    }
}

impl Shared {
    /// The end of a turn: says who can send again, and when to look the next time if nothing else happens.
    pub(crate) fn look_for_room(&self, io: &Io) {
        self.probe(io);
        let now = self.now();
        let mut state = self.state();
        state.next_look = state.next_look.min(io.next_look());
        let is_full = state.is_disk_full();
        let was_full = std::mem::replace(&mut state.was_full, is_full);
        let waiters = std::mem::take(&mut state.waiters);
        let (open, closed): (Vec<_>, Vec<_>) =
            waiters.into_iter().partition(|waiter| state.is_open(waiter, &*self.ports.clock));
        state.wants_room |= closed.iter().any(|waiter| state.lacks_room(waiter));
        state.waiters = closed;
        if state.is_in_need() {
            state.next_look = state.next_look.min(now.saturating_add(LOOK));
        }
        drop(state);
        if was_full && !is_full {
            tracing::info!("the disk has room again");
        }
        for waiter in open {
            if catch_unwind(AssertUnwindSafe(waiter.tell)).is_err() {
                tracing::error!("somebody who was told that there is room panicked");
            }
        }
    }

    /// Finds out, once a second, whether a disk that took no records takes as much now.
    fn probe(&self, io: &Io) {
        let now = self.now();
        let bytes = {
            let mut state = self.state();
            if !state.failing || state.short || now < state.next_probe {
                return;
            }
            state.next_probe = now.saturating_add(LOOK);
            state.tried.clamp(1, MOST)
        };
        let taken = io.reserve.try_room(&*self.ports.disk, bytes);
        let mut state = self.state();
        match taken {
            Ok(()) => state.could_write(),
            Err(_) => state.wants_room |= state.no_space,
        }
    }
}
