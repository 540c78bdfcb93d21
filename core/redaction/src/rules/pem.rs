//! PEM blocks with a private key, over several lines, one line, or with `\n` spelled out. RFC 7468.

use memchr::memmem;
use throughline_otlp::steps;

use super::{Found, Rule};

const DASHES: &[u8] = b"-----";
const FOOTER: &[u8] = b"-----END ";
/// Of the label of an end this much is looked at: if it is longer, all that follows goes too.
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

/// Where the body of the block starts whose `BEGIN ` stands at `at`, if it is one with a private key. Its label goes on to the next
/// dashes, however far they are, or to the end of the line: no two labels share a byte.
pub(super) fn header(text: &[u8], at: usize) -> Option<usize> {
    at.checked_sub(DASHES.len()).filter(|start| &text[*start..at] == DASHES)?;
    let label = &text[at..];
    let label = &label[..memmem::find(label, DASHES).unwrap_or(label.len())];
    steps::add(label.len());
    let line = &label[..memchr::memchr2(b'\n', b'\r', label).unwrap_or(label.len())];
    memmem::find(line, b"PRIVATE KEY")?;
    Some(at + line.len())
}
