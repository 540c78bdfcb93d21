//! Fake clock, lossy disk, OTLP generators, and the conformance suite every component passes.

mod clock;
mod disk;
mod rng;

pub use clock::FakeClock;
pub use disk::{Fault, Keep, LossyDisk};
pub use rng::Rng;
