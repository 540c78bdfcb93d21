//! What a connection may make us hold before anybody has looked at it: buffers, windows, streams. A few connections have plenty, many
//! have the least that works, and all together no more than a pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// HTTP/2 flow control: a request may come whole before its sender hears from us. What a busy agent has not read yet waits in
/// memory that no budget knows of, up to this much a connection; so a connection may send no more than one of its streams.
const WINDOW: usize = 2 << 20;
/// What HTTP/2 and every client of it begins with.
const SMALL_WINDOW: usize = 64 << 10;
/// One frame for most requests, so that their bytes arrive in one piece. As much of one that is not whole is kept.
const FRAME: usize = 1 << 20;
/// The least that HTTP/2 knows.
const SMALL_FRAME: usize = 16 << 10;
/// How large the head of a request may be.
const HEAD: usize = 64 << 10;
const SMALL_HEAD: usize = 16 << 10;
/// What is read of an HTTP/1 connection at once; a head must fit.
const BUFFER: usize = 408 << 10;

/// How many HTTP/2 streams all connections may have open, more or less: each costs a few kilobytes as soon as its headers
/// have arrived, before anybody has looked at them.
const STREAMS: usize = 8 << 10;
/// Every connection may have so many of them.
const FEW_STREAMS: usize = 8;

/// How many streams a peer may break before its connection is closed: h2 has a place of half a kilobyte for each, and keeps it.
/// A peer that respects `max_concurrent_streams` breaks none, but for what it sends behind a request that was refused early.
const ERRORS: usize = 1024;
const FEW_ERRORS: usize = 64;

/// A connection gets this part of what is left of a pool.
const PART: usize = 16;

/// What all connections may have together, but for the least that each has.
pub(super) struct Pools {
    bytes: Arc<AtomicUsize>,
    streams: Arc<AtomicUsize>,
}

/// What one of them has; dropping it gives it back.
pub(super) struct Allowance {
    window: Part,
    streams: Part,
}

struct Part {
    granted: usize,
    taken: usize,
    pool: Arc<AtomicUsize>,
}

impl Pools {
    /// Pools of so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        Self { bytes: Arc::new(AtomicUsize::new(bytes)), streams: Arc::new(AtomicUsize::new(STREAMS)) }
    }

    /// What a connection has that would like `streams`.
    pub(super) fn grant(&self, streams: u32) -> Allowance {
        let wanted = (streams as usize).max(1);
        Allowance {
            window: Part::of(&self.bytes, SMALL_WINDOW, WINDOW),
            streams: Part::of(&self.streams, FEW_STREAMS.min(wanted), wanted),
        }
    }
}

impl Part {
    fn of(pool: &Arc<AtomicUsize>, least: usize, most: usize) -> Self {
        let take = |left: usize| Some(left - (left / PART).clamp(least, most).min(left));
        let left = match pool.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(left) | Err(left) => left,
        };
        let granted = (left / PART).clamp(least, most);
        Self { granted, taken: granted.min(left), pool: Arc::clone(pool) }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.pool.fetch_add(self.taken, Ordering::Relaxed);
    }
}

impl Allowance {
    pub(super) fn window(&self) -> u32 {
        small(self.window.granted)
    }

    pub(super) fn frame(&self) -> u32 {
        let ample = self.window.granted >= WINDOW;
        small(if ample { FRAME } else { (self.window.granted / 4).clamp(SMALL_FRAME, FRAME) })
    }

    pub(super) fn head(&self) -> u32 {
        small((self.window.granted / 4).clamp(SMALL_HEAD, HEAD))
    }

    pub(super) fn buffer(&self) -> usize {
        (self.window.granted / 4).clamp(SMALL_HEAD, BUFFER)
    }

    pub(super) fn errors(&self) -> usize {
        (self.streams.granted * 4).clamp(FEW_ERRORS, ERRORS)
    }

    pub(super) fn streams(&self) -> u32 {
        small(self.streams.granted)
    }
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_connections_have_plenty_and_many_no_more_than_the_pool_and_the_least() {
        let pools = Pools::new(40 << 20);
        let first = pools.grant(256);
        assert_eq!((first.window(), first.frame(), first.head()), (2 << 20, 1 << 20, 64 << 10));
        assert_eq!((first.buffer(), first.streams(), first.errors()), (408 << 10, 256, 1024));
        let crowd: Vec<Allowance> = (0..4095).map(|_| pools.grant(256)).collect();
        let sum =
            |of: fn(&Allowance) -> u32| crowd.iter().map(|connection| of(connection) as usize).sum::<usize>();
        assert!(sum(Allowance::window) <= (40 << 20) + 4095 * SMALL_WINDOW);
        assert!(sum(Allowance::frame) <= (20 << 20) + 4095 * SMALL_FRAME);
        assert!(sum(Allowance::streams) <= STREAMS + 4095 * FEW_STREAMS);
        let errors: usize = crowd.iter().map(Allowance::errors).sum();
        assert!(errors <= 4 * STREAMS + 4095 * FEW_ERRORS, "{errors}");
        let last = crowd.last().expect("many");
        assert_eq!((last.window(), last.frame(), last.head()), (64 << 10, 16 << 10, 16 << 10));
        assert_eq!((last.buffer(), last.streams(), pools.grant(3).streams()), (16 << 10, 8, 3));
        drop((first, crowd));
        assert_eq!(pools.bytes.load(Ordering::Relaxed), 40 << 20, "all of it comes back");
        assert_eq!(pools.streams.load(Ordering::Relaxed), STREAMS);
    }
}
