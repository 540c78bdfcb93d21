//! Masking of single texts.

/// Masks secrets in a text that a component is about to rewrite, to lower case say: afterwards nobody could recognise them.
/// All other text is masked on its way through the pipeline. Not offered where masking is turned off.
pub trait Mask: Send + Sync {
    /// The text with the secrets in it masked; `None` if there are none.
    fn mask(&self, text: &str) -> Option<String>;
}
