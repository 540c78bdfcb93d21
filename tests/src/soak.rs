//! How long tests that could go on for ever do: for seconds in CI, for minutes in `cargo xtask soak`.

/// So many rounds, or as many as are asked for in a soak.
pub fn rounds(usual: usize, soaking: usize) -> usize {
    if std::env::var_os("THROUGHLINE_SOAK").is_some() { soaking } else { usual }
}
