//! Admission: one walk that makes bytes trustworthy.
//!
//! The walk answers *canonical* or not, and counts; only when it says no, `diagnose` finds out what is
//! broken, and `rewrite` puts in order what is merely out of order.

mod diagnose;
mod rewrite;
mod walk;

use std::fmt;

use bytes::Bytes;

use crate::Signal;

/// Bounds of what is admitted.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How deep messages may nest, the request being level 0. Values above 90 are taken as 90.
    pub depth: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 64 }
    }
}

impl Limits {
    /// What the stack of a small thread, and decoders behind us (prost stops at 100), can bear.
    const DEEPEST: u32 = 90;

    fn depth(self) -> u32 {
        self.depth.min(Self::DEEPEST)
    }
}

/// A request that was let in.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// Canonical bytes: those that came in, unless [`Self::rewritten`].
    pub bytes: Bytes,
    /// How many spans, log records or metric data points they hold.
    pub items: u32,
    /// How many items were cut out because of invalid UTF-8.
    pub rejected: u32,
    /// Why the first of them was cut out.
    pub why: Option<String>,
    /// Whether the bytes had to be put in order.
    pub rewritten: bool,
}

/// A request that cannot be let in, in words for the person who sent it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Malformed {
    /// The byte at which the broken field starts.
    pub at: usize,
    /// What is wrong with it.
    pub what: String,
}

/// Checks an export request: framing, wire types, depth, the UTF-8 of every string. What views rely on is put in order:
/// singular fields given more than once are merged, a resource and a scope come before what they are about. Unknown fields are kept.
///
/// A record with invalid UTF-8 is cut out and counted (a metric with all its points); invalid UTF-8 in a scope or a resource
/// cuts all that is below it.
///
/// # Errors
/// [`Malformed`] if the bytes are no legal protobuf, have a field of the wrong wire type or nest too deep.
pub fn admit(signal: Signal, bytes: Bytes, limits: &Limits) -> Result<Admitted, Malformed> {
    let request = signal.request();
    if let Some(items) = walk::tidy_items(request, &bytes, limits.depth()) {
        return Ok(Admitted { bytes, items, rejected: 0, why: None, rewritten: false });
    }
    diagnose::framing(request, &bytes, limits.depth())?;
    let rewritten = rewrite::request(request, &bytes);
    Ok(Admitted {
        items: crate::batch::count(signal, &rewritten.bytes),
        bytes: rewritten.bytes.into(),
        rejected: rewritten.rejected,
        why: rewritten.why,
        rewritten: true,
    })
}

/// `field `name` of Span`.
struct FieldName(&'static crate::schema::Message, &'static crate::schema::Field);

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "field `{}` of {}", self.1.name, self.0.name)
    }
}
