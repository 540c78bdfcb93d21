//! What stands in a secret's place.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use throughline_otlp::steps;

use crate::Rule;

/// How a replacement starts.
const OPEN: &[u8] = b"[REDACTED:";
/// Hexadecimal digits of a tag: 64 bits.
const DIGITS: usize = 16;

/// The key under which tags are made. It cannot be printed or read back: who has it can test guesses of a secret.
#[derive(Clone)]
pub struct TagKey(Hmac<Sha256>);

impl TagKey {
    /// Takes a key; 32 random bytes or more are worth having.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        // HMAC takes keys of any length; an error cannot come.
        Self(<Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes keys of any length"))
    }

    /// Appends `[REDACTED:rule:tag]`. Equal secrets get equal tags as long as the key is the same.
    pub(crate) fn replace(&self, rule: Rule, secret: &[u8], out: &mut Vec<u8>) {
        steps::add(secret.len());
        let mut mac = self.0.clone();
        // So that a tag is of no use to anything else that would use the same key.
        mac.update(b"throughline.redaction.v1\0");
        mac.update(secret);
        out.extend_from_slice(OPEN);
        out.extend_from_slice(rule.name().as_bytes());
        out.push(b':');
        for byte in &mac.finalize().into_bytes()[..DIGITS / 2] {
            out.extend([byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[digit as usize]));
        }
        out.push(b']');
    }
}

impl fmt::Debug for TagKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TagKey(…)")
    }
}

/// The length of the replacement that `bytes` start with, if they start with one.
pub(crate) fn replacement(bytes: &[u8]) -> Option<usize> {
    let rest = bytes.strip_prefix(OPEN)?;
    let colon = rest.iter().take(24).position(|byte| *byte == b':')?;
    Rule::ALL.iter().find(|rule| rule.name().as_bytes() == &rest[..colon])?;
    let tag = rest.get(colon + 1..colon + 2 + DIGITS)?;
    let (digits, close) = tag.split_at(DIGITS);
    let hex = digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    (hex && close == b"]").then_some(OPEN.len() + colon + 2 + DIGITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(key: &[u8], rule: Rule, secret: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        TagKey::new(key).replace(rule, secret, &mut out);
        out
    }

    #[test]
    fn a_replacement_names_the_rule_and_joins_equal_secrets_under_one_key_only() {
        let one = replaced(b"key one", Rule::Github, b"secret");
        assert_eq!(one, replaced(b"key one", Rule::Github, b"secret"));
        assert_ne!(one, replaced(b"key two", Rule::Github, b"secret"));
        assert_ne!(one, replaced(b"key one", Rule::Github, b"secret!"));
        assert!(one.starts_with(b"[REDACTED:github:"));
        assert_eq!(replacement(&one), Some(one.len()));
    }

    #[test]
    fn what_only_looks_like_a_replacement_is_none() {
        for text in [
            "[REDACTED:github:0123]",
            "[REDACTED:nothing:0123456789abcdef]",
            "[REDACTED:github:0123456789ABCDEF]",
        ] {
            assert_eq!(replacement(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_key_does_not_print() {
        assert_eq!(format!("{:?}", TagKey::new(b"very secret")), "TagKey(…)");
    }
}
