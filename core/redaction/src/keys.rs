//! Names of attributes, headers and variables whose values are secret.

use smallvec::SmallVec;
use throughline_otlp::steps;

use crate::rules::is_directory;

/// What a secret name ends in, word by word. Words are split at separators and at capitals: `dbPassword`, `DB_PASSWORD`
/// and `db.password` are the same two words, `token_count` ends in `count`.
pub(crate) const PHRASES: &[&str] = &[
    "password",
    "passwords",
    "passwd",
    "passphrase",
    "pwd",
    "pass",
    "secret",
    "token",
    "apikey",
    "api key",
    "authorization",
    "cookie",
    "cookies",
    "private key",
    "privatekey",
    "access key",
    "accesskey",
    "secret key",
    "secretkey",
    "account key",
    "accountkey",
    "shared key",
    "encryption key",
    "signing key",
    "master key",
    "connection string",
    "connectionstring",
    "credential",
    "credentials",
    "kubeconfig",
    "kube config",
    "dockerconfigjson",
    "client key",
    "application key",
    "app key",
];

/// One word that runs into others: `PGPASSWORD`, `authtoken`.
const ENDINGS: &[&str] = &["password", "passwd", "passphrase", "secret", "token", "apikey"];

/// Not secret, though they end like it.
const HARMLESS: &[&str] = &["page token", "continuation token", "cancellation token"];

/// Words that say nothing of what a value is.
pub(crate) const NEUTRAL: &[&str] = &[
    "value",
    "b64",
    "base64",
    "raw",
    "plain",
    "plaintext",
    "text",
    "data",
    "old",
    "new",
    "current",
    "previous",
];

/// Longer names are on no list of allowed ones.
const LONGEST: usize = 256;

/// Which names are secret.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys {
    extra: Vec<Words>,
    allow: Vec<Words>,
}

/// A name in lower case with one blank between its words.
type Words = SmallVec<[u8; 64]>;

impl Keys {
    pub(crate) fn new(extra: &[String], allow: &[String]) -> Self {
        let words = |list: &[String]| list.iter().map(|key| words(key.as_bytes())).collect();
        Self { extra: words(extra), allow: words(allow) }
    }

    /// Whether what stands under this name is secret.
    pub(crate) fn is_sensitive(&self, name: &[u8]) -> bool {
        if is_directory(name) {
            return false;
        }
        let words = words(name);
        // A name that long may have been cut: what is before it is not known.
        if name.len() < LONGEST && self.allow.contains(&words) {
            return false;
        }
        let ends = |phrase: &[u8]| ends_in(&words, phrase);
        if self.extra.iter().any(|extra| ends(extra)) {
            return true;
        }
        let core = without_neutral(&words);
        let ends = |phrase: &&str| ends_in(core, phrase.as_bytes());
        (PHRASES.iter().any(ends) || ENDINGS.iter().any(|ending| core.ends_with(ending.as_bytes())))
            && !HARMLESS.iter().any(ends)
    }
}

/// Whether a name says that its value is a PagerDuty key if it looks like one.
pub(crate) fn is_pagerduty(name: &[u8]) -> bool {
    let words = words(name);
    ["routing key", "integration key", "service key"].iter().any(|phrase| ends_in(&words, phrase.as_bytes()))
}

fn ends_in(words: &[u8], phrase: &[u8]) -> bool {
    words.strip_suffix(phrase).is_some_and(|rest| rest.is_empty() || rest.ends_with(b" "))
}

fn without_neutral(mut words: &[u8]) -> &[u8] {
    while let Some(blank) = words.iter().rposition(|byte| *byte == b' ') {
        let last = &words[blank + 1..];
        if !NEUTRAL.iter().any(|word| word.as_bytes() == last) && !last.iter().all(u8::is_ascii_digit) {
            break;
        }
        words = &words[..blank];
    }
    while let [rest @ .., b'0'..=b'9'] = words {
        words = rest;
    }
    words
}

fn words(name: &[u8]) -> Words {
    steps::add(name.len());
    let mut out = Words::new();
    for (index, &byte) in name.iter().enumerate() {
        if !byte.is_ascii_alphanumeric() && byte < 0x80 {
            if !out.is_empty() && out.last() != Some(&b' ') {
                out.push(b' ');
            }
            continue;
        }
        let before = index.checked_sub(1).map(|before| name[before]);
        let after = name.get(index + 1);
        let starts = byte.is_ascii_uppercase()
            && before.is_some_and(|before| {
                before.is_ascii_lowercase()
                    || before.is_ascii_digit()
                    || before.is_ascii_uppercase() && after.is_some_and(u8::is_ascii_lowercase)
            });
        if starts {
            out.push(b' ');
        }
        out.push(byte.to_ascii_lowercase());
    }
    if out.last() == Some(&b' ') {
        out.pop();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sensitive(name: &str) -> bool {
        Keys::default().is_sensitive(name.as_bytes())
    }

    #[test]
    fn names_that_end_in_a_secret_word_are_secret_in_every_spelling() {
        for name in [
            "password",
            "Password",
            "PASSWORD",
            "db.password",
            "dbPassword",
            "DB_PASSWORD",
            "PGPASSWORD",
            "passwd",
            "secret",
            "client_secret",
            "clientSecret",
            "ClientSecret",
            "token",
            "access-token",
            "authToken",
            "authtoken",
            "api_key",
            "apikey",
            "apiKey",
            "APIKey",
            "API-KEY",
            "x-api-key",
            "DD-API-KEY",
            "authorization",
            "Authorization",
            "http.request.header.authorization",
            "proxy-authorization",
            "cookie",
            "Set-Cookie",
            "private_key",
            "privateKey",
            "aws_secret_access_key",
            "AccountKey",
            "connection_string",
            "ConnectionString",
            "kubeconfig",
            "KUBECONFIG",
            "credentials",
            "password2",
            "PASSWORD_1",
            "password_value",
            "secret-b64",
            ".dockerconfigjson",
            "client-key-data",
            "DB_PASS",
            "pwd",
        ] {
            assert!(sensitive(name), "{name}");
        }
    }

    #[test]
    fn names_that_only_speak_of_secrets_are_not() {
        for name in [
            "token_count",
            "secret_name",
            "tokenizer",
            "tokens",
            "gen_ai.usage.input_tokens",
            "k8s.secret.name",
            "password_hash_rounds",
            "passed",
            "tests_passed",
            "compass",
            "PWD",
            "secretary",
            "cookie_policy",
            "key",
            "sort_key",
            "idempotency_key",
            "next_page_token",
            "aws_access_key_id",
            "messaging.rabbitmq.destination.routing_key",
            "authorization_mode",
            "",
            "credential_type",
        ] {
            assert!(!sensitive(name), "{name}");
        }
    }

    #[test]
    fn names_can_be_added_and_allowed() {
        let keys = Keys::new(&["tenant-code".into()], &["session_token".into()]);
        assert!(keys.is_sensitive(b"x.tenantCode"));
        assert!(!keys.is_sensitive(b"tenant_code_kind"));
        assert!(!keys.is_sensitive(b"sessionToken"));
        assert!(keys.is_sensitive(b"my_session_token"));
    }
}
