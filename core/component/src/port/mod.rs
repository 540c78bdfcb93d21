//! Ports: time, randomness and memory come from outside, so that tests can turn them.

mod budget;
mod clock;
mod random;

pub use budget::{Budget, Charge};
pub use clock::{Clock, SystemClock};
pub use random::{Random, SystemRandom};
