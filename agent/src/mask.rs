//! Masking outside of pipelines: for the agent's own log, and for text that components rewrite.

use std::sync::{Arc, LazyLock};

use throughline_component::port::Mask;
use throughline_redaction::{Counts, Scanner, Settings, TagKey};

/// The scanner with all rules and a key of this process.
pub(crate) fn scanner() -> Arc<Scanner> {
    static SCANNER: LazyLock<Arc<Scanner>> = LazyLock::new(|| {
        let mut key = [0; 32];
        // Without randomness tags can be guessed, but what they stand for is still masked; there must be a log.
        getrandom::fill(&mut key).unwrap_or_default();
        Arc::new(Scanner::new(&Settings::default(), TagKey::new(&key)))
    });
    Arc::clone(&SCANNER)
}

/// Masks with [`scanner`].
pub(crate) struct Masker;

impl Mask for Masker {
    fn mask(&self, text: &str) -> Option<String> {
        let masked = scanner().mask(text.as_bytes(), &mut Counts::default())?;
        Some(String::from_utf8_lossy(&masked).into_owned())
    }
}
