//! Any bytes: what is masked is masked once, text stays text, JSON stays JSON, what is masked in a part is seen in the whole, and
//! the work is linear in the input.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use throughline_otlp::steps;
use throughline_redaction::{Counts, Scanner, Settings, TagKey};

/// Steps a byte that the worst families of `core/redaction/tests/linear.rs` stay below by far.
const STEPS: u64 = 4_000;

static SCANNER: LazyLock<Scanner> = LazyLock::new(|| Scanner::new(&Settings::default(), TagKey::new(&[7; 32])));

fuzz_target!(|data: &[u8]| {
    let Some((&cut, text)) = data.split_first() else { return };
    let mut counts = Counts::default();
    let mut masked = None;
    let steps = steps::of(|| {
        drop(SCANNER.hits(text));
        drop(SCANNER.overwrite(text, &mut counts));
        masked = SCANNER.mask(text, &mut counts);
    });
    assert!(steps <= STEPS * (text.len() as u64 + 64), "{steps} steps for {} bytes", text.len());
    let part = &text[text.len() * usize::from(cut) / 256..];
    if SCANNER.mask(part, &mut counts).is_some() {
        assert!(!SCANNER.is_clean(text), "what is masked in a part is not seen in the whole");
    }
    let Some(masked) = masked else { return };
    assert_eq!(SCANNER.mask(&masked, &mut counts), None, "it is masked once more");
    assert!(std::str::from_utf8(text).is_err() || std::str::from_utf8(&masked).is_ok(), "text stays text");
    let is_json = |text: &[u8]| serde_json::from_slice::<&RawValue>(text).is_ok();
    assert!(!is_json(text) || is_json(&masked), "JSON stays JSON");
});
