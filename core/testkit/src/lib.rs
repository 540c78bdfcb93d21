//! Fake clock, lossy disk, OTLP generators, and the conformance suite every component passes.

mod clock;
mod disk;
mod rng;

pub use clock::FakeClock;
pub use disk::{Fault, Keep, LossyDisk};
pub use rng::Rng;

/// The page on writing a component, compiled and run as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/new-component.md")]
pub struct NewComponent;
