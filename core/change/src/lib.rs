//! Entities, domain events and change identity. No I/O, no clock.
//!
//! A *change* is a proposed edit: a pull request, or a commit that never had one. [`Identity`] holds what is claimed about
//! pull requests and commits, and resolves what a signal knows (a SHA, say) to the change it belongs to. What it
//! answers depends on the set of claims alone, never on their order or repetition. [`event`] is the table of domain
//! events and their envelope; [`labels`] are the names users meet.

pub mod event;
mod id;
mod identity;
pub mod labels;
pub mod timeline;

pub use id::{ChangeId, Repository, Sha, change_key};
pub use identity::{Bounds, Claim, Hint, Identity, Learned, Link, RepositoryIndex, Resolution, Superseded};
