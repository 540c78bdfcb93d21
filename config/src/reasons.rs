//! Options of the Collector that a component does not have, each with its reason, as schemas carry them.
//!
//! `x-not-supported` names what we lack, and what to use instead; `x-without-meaning` what is taken and changes nothing, and why
//! nothing is lost by that.

use std::collections::BTreeMap;

/// Names with their reasons.
pub type Reasons = BTreeMap<&'static str, &'static str>;

/// Names with their reasons, for `#[schemars(extend("x-not-supported" = reasons(&[…])))]`.
pub fn reasons(list: &[(&'static str, &'static str)]) -> Reasons {
    list.iter().copied().collect()
}
