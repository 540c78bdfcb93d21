//! What tests stand on: a clock that is turned by hand, a disk that forgets what was not synced, directory entries included,
//! and a random generator whose whole course follows from a printed seed. A dev-dependency only.

mod clock;
pub mod conformance;
mod disk;
mod rng;

pub use clock::FakeClock;
pub use disk::{Damage, Fault, Keep, LossyDisk};
pub use rng::Rng;

/// The page on writing a component, compiled and run as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/new-component.md")]
pub struct NewComponent;
