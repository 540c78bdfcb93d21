//! JSON Web Tokens: a base64url header that decodes to JSON with `alg` or `enc`, a dot, and more. RFC 7519, 7515, 7516.

use super::{Found, Rule};
use crate::base64;
use crate::class::{BASE64URL, DOTTED};

/// `{"` before the first letters of the header fields that exist, `{ "`, and the start of a signed token's second part.
pub(super) const ANCHORS: [&str; 10] =
    ["eyJh", "eyJ0", "eyJr", "eyJl", "eyJj", "eyJq", "eyJ4", "eyJ6", "eyAi", ".eyJ"];

/// Headers are short; a longer run is something else.
const HEADER: usize = 1024;
const TOKEN: usize = 64 * 1024;

/// The token around an anchor at `at`.
pub(super) fn find(text: &[u8], at: usize) -> Option<Found> {
    let start = match text[at] {
        b'.' => at - BASE64URL.run_before(text, at, HEADER),
        _ => at,
    };
    let header = BASE64URL.run(text, start, HEADER);
    // Grafana's older keys, one part only, start with their own letter; all others have a dot behind their header.
    if text.get(start + header) != Some(&b'.') && !text[start..].starts_with(b"eyJr") {
        return None;
    }
    let decoded = base64::decode(&text[start..start + header]);
    let holds = |name: &[u8]| decoded.windows(name.len()).any(|window| window == name);
    if decoded.first() != Some(&b'{') {
        return None;
    }
    // Grafana's older keys: `{"k":"…","n":"…","id":1}`, all of it in one part.
    if holds(b"\"k\":") && holds(b"\"n\":") {
        return Some(Found { rule: Rule::Grafana, range: start..start + header });
    }
    if !holds(b"\"alg\"") && !holds(b"\"enc\"") {
        return None;
    }
    let end = start + header;
    let rest = DOTTED.run(text, end, TOKEN);
    (text.get(end) == Some(&b'.') && rest >= 8).then_some(Found { rule: Rule::Jwt, range: start..end + rest })
}
