//! Changing a request in one walk.
//!
//! [`rewrite`] visits each resource, then its scopes, then their records, at the levels asked for. What is not changed
//! is not copied one by one: runs of untouched records are copied whole, and a request in which nothing was changed is returned as the bytes
//! it came in. A record that is changed lives at the end of the output while it is being edited, so that whatever
//! is read from it is what was written.

mod by_path;
mod fresh;
mod level;
mod lists;
mod nested;
mod record;
mod splicer;
mod strings;
mod walk;
mod written;

use bytes::Bytes;

use crate::Signal;

pub use level::{Level, Levels};
pub use record::Record;
pub use strings::{Leaf, Rewrite};
pub use walk::rewrite_within;

/// What becomes of a record after its edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It stays.
    Yes,
    /// It goes; a resource or scope goes with all that is below it. The number says why, for [`Rewritten::dropped`].
    No(u32),
}

/// What [`rewrite`] made.
#[derive(Clone, Debug)]
pub struct Rewritten {
    /// The request, canonical as before.
    pub bytes: Bytes,
    /// How many items it has fewer than before.
    pub dropped_items: u32,
    /// Of these, how many went with records that were dropped, by the number that was given with [`Keep::No`]. (The others are
    /// points that edits took out of a metric.)
    pub dropped: Vec<(u32, u32)>,
    /// Whether anything is different.
    pub changed: bool,
}

/// Shows every string, and every field that the schema does not know, of the request and its resource and scope groups
/// (schema URLs, that is) to `edit`: what [`rewrite`] shows to nobody. `None` if all stays as it is.
pub fn rewrite_groups(
    signal: Signal,
    bytes: &Bytes,
    edit: &mut dyn FnMut(Leaf<'_>) -> Rewrite,
) -> Option<Bytes> {
    strings::rewrite_groups(signal, bytes, edit)
}

/// Lets `edit` look at and change every resource, scope and record of a canonical request at the given levels, in this
/// order. A group whose resource or scope is missing is visited with an empty one, which comes into being
/// if it is changed. Groups that lose all their records go too.
pub fn rewrite(
    signal: Signal,
    bytes: &Bytes,
    levels: Levels,
    edit: &mut dyn FnMut(&mut Record<'_>) -> Keep,
) -> Rewritten {
    let rewritten = rewrite_within(signal, bytes, levels, &mut |_| Some(usize::MAX), edit);
    rewritten.unwrap_or_else(|| Rewritten {
        bytes: bytes.clone(),
        dropped_items: 0,
        dropped: Vec::new(),
        changed: false,
    })
}
