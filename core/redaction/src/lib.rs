//! Secret rules and the scanner that finds them. No I/O, no clock, no randomness.
//!
//! Two stages: one pass with vector instructions over undivided bytes finds *anchors*, short literals that are rare
//! elsewhere; behind each a hand-written run over a class of bytes decides. What is found becomes
//! `[REDACTED:rule:tag]`, where equal secrets have equal tags. The rules, with examples: `docs/masking.md`.
//!
//! ```
//! use throughline_redaction::{Counts, Scanner, Settings, TagKey};
//!
//! let scanner = Scanner::new(&Settings::default(), TagKey::new(&[7; 32]));
//! let mut counts = Counts::default();
//! let masked = scanner.mask(b"cloning https://bot:hunter2@example.org/repo", &mut counts).expect("there is a password");
//! assert!(masked.starts_with(b"cloning https://bot:[REDACTED:userinfo:"));
//! assert!(masked.ends_with(b"]@example.org/repo"));
//! assert!(scanner.is_clean(b"cloning https://example.org/repo"));
//! ```

mod allow;
mod anchors;
mod base64;
mod buckets;
mod class;
mod counts;
mod escape;
mod json;
mod keys;
mod rules;
mod scanner;
mod tag;
mod words;

pub use counts::Counts;
pub use rules::Rule;
pub use scanner::{Scanner, Settings};
pub use tag::TagKey;
