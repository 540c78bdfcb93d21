//! How much the long tests do.

/// Whether the long tests do a small part of what they can, always the same: a first look at many mutants.
pub(crate) fn is_small() -> bool {
    std::env::var_os("SMALL_TESTS").is_some()
}

/// Of so many courses of events, how many there is time for.
pub(crate) fn of(all: u64) -> u64 {
    if is_small() { all.div_ceil(20) } else { all }
}
