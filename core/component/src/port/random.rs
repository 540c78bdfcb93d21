//! Randomness.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// Where randomness comes from: jitter and ids, never keys.
pub trait Random: Send + Sync {
    /// 64 random bits.
    fn bits(&self) -> u64;

    /// A number in `[0, 1)`.
    fn unit(&self) -> f64 {
        // The upper 53 bits are what an f64 can hold exactly.
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Seeded from the operating system once; not for cryptography.
#[derive(Debug)]
pub struct SystemRandom {
    keys: RandomState,
    count: AtomicU64,
}

impl Default for SystemRandom {
    fn default() -> Self {
        Self { keys: RandomState::new(), count: AtomicU64::new(0) }
    }
}

impl Random for SystemRandom {
    fn bits(&self) -> u64 {
        self.keys.hash_one(self.count.fetch_add(1, Ordering::Relaxed))
    }
}
