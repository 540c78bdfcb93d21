//! PEM blocks with a private key, over several lines, one line, or with `\n` spelled out. RFC 7468.

use memchr::memmem;
use throughline_otlp::steps;

use super::{Found, Rule};

const DASHES: &[u8] = b"-----";
const FOOTER: &[u8] = b"-----END ";
/// `BEGIN ` to `-----`: labels are short.
const LABEL: usize = 64;

/// The block whose `BEGIN ` stands at `at`. A block that does not end reaches to the end of the text: what is cut off cannot
/// be told from what is not.
pub(super) fn find(text: &[u8], at: usize) -> Option<Found> {
    let body = header(text, at)?;
    let end = memmem::find(&text[body..], FOOTER).map_or(text.len(), |footer| {
        let after = body + footer + FOOTER.len();
        let label = &text[after..text.len().min(after + LABEL + DASHES.len())];
        memmem::find(label, DASHES).map_or(text.len(), |more| after + more + DASHES.len())
    });
    steps::add(end - at);
    Some(Found::new(Rule::Pem, at - DASHES.len()..end))
}

/// Where the body of the block starts whose `BEGIN ` stands at `at`, if it is one with a private key.
pub(super) fn header(text: &[u8], at: usize) -> Option<usize> {
    at.checked_sub(DASHES.len()).filter(|start| &text[*start..at] == DASHES)?;
    let label = &text[at..text.len().min(at + LABEL)];
    let label = &label[..memmem::find(label, DASHES).unwrap_or(label.len())];
    steps::add(label.len());
    memmem::find(label, b"PRIVATE KEY")?;
    Some(at + label.len())
}
