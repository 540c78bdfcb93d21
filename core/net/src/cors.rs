//! Cross-origin requests: pages of other origins may send, if `cors` names them (the Fetch standard, "CORS protocol").

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::Body;
use crate::listeners::Reply;

/// Which pages of other origins may send.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CorsSettings {
    /// Origins whose pages may send, `https://shop.example`; a `*` stands for any text. None: no page may.
    pub allowed_origins: Vec<String>,
    /// Headers that pages may send beside those that are always allowed; `*` allows all.
    pub allowed_headers: Vec<String>,
    /// Headers of a reply that pages may read.
    pub exposed_headers: Vec<String>,
    /// For how many seconds a browser may cache the answer (`Access-Control-Max-Age`). `0`: the browser's
    /// default.
    pub max_age: u32,
}

impl CorsSettings {
    /// The answer to a browser that asks before it sends; `None` if this is no such question.
    pub(crate) fn preflight(&self, method: &Method, asked: &HeaderMap) -> Option<Reply> {
        if method != Method::OPTIONS || !asked.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
            return None;
        }
        let mut reply = http::Response::new(Body::default());
        *reply.status_mut() = StatusCode::NO_CONTENT;
        let headers = reply.headers_mut();
        headers.insert(
            header::VARY,
            HeaderValue::from_static("origin, access-control-request-method, access-control-request-headers"),
        );
        let wanted = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
        let post = asked.get(header::ACCESS_CONTROL_REQUEST_METHOD).is_some_and(|method| method == "POST");
        if let Some(origin) = asked.get(header::ORIGIN).filter(|origin| self.allows(origin))
            && post
            && wanted.is_none_or(|wanted| self.takes(wanted))
        {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
            if let Some(wanted) = wanted {
                headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
            }
            if self.max_age > 0 {
                headers.insert(header::ACCESS_CONTROL_MAX_AGE, self.max_age.into());
            }
        }
        Some(reply)
    }

    /// Lets the page that sent a request read the reply.
    pub(crate) fn allow(&self, origin: Option<&HeaderValue>, reply: &mut Reply) {
        let headers = reply.headers_mut();
        headers.append(header::VARY, HeaderValue::from_static("origin"));
        let Some(origin) = origin.filter(|origin| self.allows(origin)) else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        if let Ok(exposed) = HeaderValue::from_str(&self.exposed_headers.join(", "))
            && !exposed.is_empty()
        {
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        let Ok(origin) = origin.to_str() else { return false };
        self.allowed_origins.iter().any(|pattern| matches(pattern, origin))
    }

    /// Whether a page may send these headers. What every form may send, and OTLP's content type, needs no mention.
    fn takes(&self, wanted: &HeaderValue) -> bool {
        let Ok(wanted) = wanted.to_str() else { return false };
        let always = ["accept", "content-type", "x-requested-with", "origin"];
        let mut wanted = wanted.split(',').map(str::trim).filter(|name| !name.is_empty());
        wanted.all(|name| {
            let same = |other: &str| other == "*" || other.eq_ignore_ascii_case(name);
            always.into_iter().any(same) || self.allowed_headers.iter().any(|allowed| same(allowed))
        })
    }
}

/// Whether a text fits a pattern in which `*` stands for any text. Letters of any case are the same.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_ascii_lowercase(), text.to_ascii_lowercase());
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(head) else { return false };
    let (middle, tail) = rest.rsplit_once('*').map_or(("", rest), |(middle, tail)| (middle, tail));
    for part in middle.split('*').filter(|part| !part.is_empty()) {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> CorsSettings {
        CorsSettings {
            allowed_origins: vec!["https://*.example.com".into(), "http://localhost".into()],
            allowed_headers: vec!["X-Team".into()],
            exposed_headers: Vec::new(),
            max_age: 600,
        }
    }

    fn asked(origin: &'static str, wanted: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
        headers.insert(header::ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("POST"));
        headers.insert(header::ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_static(wanted));
        headers
    }

    #[test]
    fn only_named_origins_and_headers_are_allowed() {
        for (origin, wanted, allowed) in [
            ("https://shop.example.com", "content-type,x-team", true),
            ("https://SHOP.example.com", "content-type", true),
            ("http://localhost", "", true),
            ("https://shop.example.com", "authorization", false),
            ("https://example.com.evil.org", "content-type", false),
            ("https://evilexample.com", "content-type", false),
            ("http://localhost:80", "", false),
        ] {
            let reply = settings().preflight(&Method::OPTIONS, &asked(origin, wanted)).expect("a preflight");
            assert_eq!(reply.status(), StatusCode::NO_CONTENT);
            let given = reply.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
            assert_eq!(given.is_some(), allowed, "{origin} {wanted}");
        }
        assert!(settings().preflight(&Method::POST, &asked("http://localhost", "")).is_none());
    }

    #[test]
    fn a_star_stands_for_any_text() {
        assert!(matches("*", "https://anything"));
        assert!(matches("a*b*c", "a-b-c"));
        assert!(!matches("a*b*c", "a-c"));
        assert!(!matches("ab*ba", "aba"));
    }
}
