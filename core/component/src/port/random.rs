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

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(u64);

    impl Random for Fixed {
        fn bits(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn a_unit_is_at_least_zero_and_less_than_one() {
        assert_eq!(Fixed(0).unit(), 0.0);
        assert_eq!(Fixed(1 << 63).unit(), 0.5);
        let most = Fixed(u64::MAX).unit();
        assert!(most < 1.0 && most > 0.999_999, "{most}");
    }

    #[test]
    fn bits_are_never_the_same_twice_in_a_row() {
        let random = SystemRandom::default();
        let bits: Vec<u64> = (0..100).map(|_| random.bits()).collect();
        assert!(bits.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
