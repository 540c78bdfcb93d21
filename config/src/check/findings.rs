//! What checking a document finds.

use crate::error::{Error, Warning};

/// Errors and warnings, in the order in which they are found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) errors: Vec<Error>,
    pub(crate) warnings: Vec<Warning>,
}

/// Names of options, and values, that the Collector knows and we lack; with each, what to use instead.
pub(crate) const NOT_SUPPORTED: &str = "x-not-supported";
/// Names of the Collector's options that change nothing here; with each, why nothing is lost.
pub(crate) const WITHOUT_MEANING: &str = "x-without-meaning";

/// A reason behind a colon, if there is one.
pub(super) fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}
