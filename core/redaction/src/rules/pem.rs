//! PEM blocks with a private key, over several lines, one line, or with `\n` spelled out. RFC 7468.

use super::{Found, Rule};

const DASHES: &[u8] = b"-----";
/// `BEGIN ` to `-----`: labels are short.
const LABEL: usize = 64;

/// The block whose `BEGIN ` stands at `at`. A block that does not end reaches to the end of the text: what is cut off cannot
/// be told from what is not.
pub(super) fn find(text: &[u8], at: usize) -> Option<Found> {
    let start = at.checked_sub(DASHES.len()).filter(|start| &text[*start..at] == DASHES)?;
    let label = &text[at..text.len().min(at + LABEL)];
    let label = &label[..position(label, DASHES).unwrap_or(label.len())];
    position(label, b"PRIVATE KEY")?;
    let body = at + label.len();
    let end =
        text[body..].windows(9).position(|window| window == b"-----END ").map_or(text.len(), |footer| {
            let after = body + footer + 9;
            position(&text[after..], DASHES)
                .filter(|more| *more <= LABEL)
                .map_or(text.len(), |more| after + more + 5)
        });
    Some(Found { rule: Rule::Pem, range: start..end })
}

fn position(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}
