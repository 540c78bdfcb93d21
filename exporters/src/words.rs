//! What a backend says in its answer, made fit for the log and for senders.

use std::sync::Arc;

use http::header;
use throughline_component::Build;
use throughline_component::port::Mask;
use throughline_net::Answer;
use throughline_net::grpc::Status;

/// The most characters of a backend's words that are repeated.
const MAX_CHARS: usize = 300;
/// The most bytes of an answer that are looked at for words.
const MAX_BYTES: usize = 8 << 10;

/// Repeats what backends say: bounded, on one line, secrets masked.
#[derive(Clone)]
pub(crate) struct Words {
    mask: Option<Arc<dyn Mask>>,
}

impl Words {
    pub(crate) fn new(cx: &Build) -> Self {
        Self { mask: cx.services.get::<dyn Mask>() }
    }

    /// Masks nothing, for tests.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self { mask: None }
    }

    /// A text as it may be repeated.
    pub(crate) fn repeat(&self, text: &str) -> String {
        let mut end = text.len().min(MAX_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        // Masked before it is cut, so that no half of a secret is left that nobody recognises.
        let masked = self.mask.as_ref().and_then(|mask| mask.mask(&text[..end]));
        let text = masked.as_deref().unwrap_or(&text[..end]);
        let mut out = String::with_capacity(text.len().min(4 * MAX_CHARS));
        for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty())
        {
            if !out.is_empty() {
                out.push(' ');
            }
            out.push_str(word);
        }
        if let Some((at, _)) = out.char_indices().nth(MAX_CHARS) {
            out.truncate(at);
            out.push('…');
        }
        out
    }

    /// The status line of an HTTP answer and what its body says: a `google.rpc.Status`, a JSON object with a message, or text.
    /// With it the delay that such a status asks for.
    pub(crate) fn of(&self, answer: &Answer) -> (String, Option<std::time::Duration>) {
        let status = match answer.status.canonical_reason() {
            Some(reason) => format!("HTTP {} {reason}", answer.status.as_u16()),
            None => format!("HTTP {}", answer.status.as_u16()),
        };
        let (said, after) = match content_type(answer) {
            "application/x-protobuf" => Status::decode(&answer.body)
                .map_or((String::new(), None), |status| (status.message, status.retry_after)),
            "application/json" => (json(&answer.body).unwrap_or_else(|| text(&answer.body)), None),
            _ => (text(&answer.body), None),
        };
        match self.repeat(&said) {
            said if said.is_empty() => (status, after),
            said => (format!("{status}: {said}"), after),
        }
    }
}

/// The media type of an answer, in lower case as servers write it, without parameters.
pub(crate) fn content_type(answer: &Answer) -> &str {
    let value =
        answer.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(MAX_BYTES)]).into_owned()
}

/// The words in a JSON answer, under the names that backends use.
fn json(body: &[u8]) -> Option<String> {
    let parsed: serde_json::Value = serde_json::from_slice(body.get(..MAX_BYTES).unwrap_or(body)).ok()?;
    let found = ["message", "error", "errorMessage", "detail"].iter().find_map(|key| parsed[key].as_str());
    found.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, StatusCode};
    use throughline_net::grpc::Code;

    use super::*;

    struct Hides;
    impl Mask for Hides {
        fn mask(&self, text: &str) -> Option<String> {
            text.contains("hunter2").then(|| text.replace("hunter2", "[REDACTED]"))
        }
    }

    fn said(code: u16, kind: &'static str, body: &[u8]) -> String {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
        let (status, body) = (StatusCode::from_u16(code).expect("a status"), body.to_vec().into());
        let answer = Answer { status, headers, body, trailers: HeaderMap::new() };
        Words { mask: Some(Arc::new(Hides)) }.of(&answer).0
    }

    #[test]
    fn a_backends_words_are_read_in_every_form_masked_and_bounded() {
        assert_eq!(said(401, "text/plain", b""), "HTTP 401 Unauthorized");
        assert_eq!(
            said(401, "text/plain; charset=utf-8", b" token\n\x1b expired "),
            "HTTP 401 Unauthorized: token expired"
        );
        let status = Status::new(Code::Internal, "disk full at hunter2").encode();
        let repeated = "HTTP 500 Internal Server Error: disk full at [REDACTED]";
        assert_eq!(said(500, "application/x-protobuf", &status), repeated);
        assert_eq!(
            said(400, "application/json", br#"{"code":3,"message":"no name"}"#),
            "HTTP 400 Bad Request: no name"
        );
        assert_eq!(said(400, "application/json", b"{oops"), "HTTP 400 Bad Request: {oops");
        assert_eq!(said(599, "application/x-protobuf", b"\xff\xff"), "HTTP 599");
        let long = said(500, "text/html", "ä".repeat(1 << 20).as_bytes());
        assert_eq!(long.chars().count(), "HTTP 500 Internal Server Error: ".len() + MAX_CHARS + 1, "{long}");
    }
}
