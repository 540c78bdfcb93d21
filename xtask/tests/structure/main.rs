//! Tidiness is a test: the ladder of crates, the size of files, the tour at every crate's root, and that
//! ARCHITECTURE.md names tests that exist.

mod ladder;
mod sizes;
mod sources;
mod words;
