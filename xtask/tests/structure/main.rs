//! Tidiness is a test: the ladder of crates, what they depend on, the size of files, the tour at every crate's root, and that
//! ARCHITECTURE.md names tests that exist.

mod cycles;
mod dependencies;
mod ladder;
mod sizes;
mod sources;
mod words;
