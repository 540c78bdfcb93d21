//! The types of option values that JSON has no word for.

mod byte_size;
mod duration;
mod optional;
mod secret;

pub use byte_size::ByteSize;
pub use duration::Duration;
pub use optional::Optional;
pub use secret::Secret;
