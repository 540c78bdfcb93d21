//! Bearer tokens (RFC 6750), on both sides: servers check them, clients send one.

use std::path::PathBuf;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use subtle::ConstantTimeEq;
use throughline_component::{Auth, Build, ConfigError, Extension, Factory, Services};
use throughline_config::Secret;
use throughline_net::{Authenticator, Credentials, FileReloader, Unauthenticated};

use crate::files;

pub(crate) const FACTORY: Factory =
    Factory::extension::<Bearer>("bearertokenauth").aliases(&["bearer_token_auth"]);

/// Checks and sends bearer tokens.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The header that carries the token.
    #[serde(default = "authorization")]
    header: String,
    /// The word before the token.
    #[serde(default = "bearer")]
    scheme: String,
    /// The token.
    token: Option<Secret>,
    /// Several tokens: servers take any of them, clients send the first.
    #[serde(default)]
    tokens: Vec<Secret>,
    /// A file with one token on each line, instead of `token` and `tokens`; read again when it changes.
    filename: Option<PathBuf>,
}

fn authorization() -> String {
    "Authorization".into()
}

fn bearer() -> String {
    "Bearer".into()
}

/// The extension.
pub(crate) struct Bearer;

struct Bearers {
    header: HeaderName,
    scheme: String,
    tokens: FileReloader<Tokens>,
}

struct Tokens {
    known: Vec<Secret>,
    /// What a client sends.
    sent: HeaderValue,
}

impl Extension for Bearer {
    type Config = Config;

    fn build(config: Config, cx: &Build, offers: &mut Services) -> Result<Self, ConfigError> {
        let bearers = Arc::new(Bearers::new(config, cx)?);
        offers.offer_as::<dyn Authenticator>(cx.id.clone(), Arc::clone(&bearers) as _);
        offers.offer_as::<dyn Credentials>(cx.id.clone(), bearers);
        Ok(Self)
    }
}

impl Bearers {
    fn new(config: Config, cx: &Build) -> Result<Self, ConfigError> {
        let Config { header, scheme, token, tokens, filename } = config;
        let header = HeaderName::try_from(&header);
        let header = header.map_err(|_| ConfigError::new("header", "not the name of a header"))?;
        let listed: Vec<Secret> = token.into_iter().chain(tokens).collect();
        let prefix = scheme.clone();
        let tokens = match filename {
            None => FileReloader::new(None, move || Tokens::new(&prefix, listed.clone(), "token")),
            Some(_) if !listed.is_empty() => {
                Err(ConfigError::new("filename", "give `filename`, or `token` and `tokens`, not both"))
            }
            Some(path) => {
                let read = move || {
                    let text = files::read(&path, "filename")?;
                    let tokens = text.lines().map(|line| Secret::new(line.trim())).collect();
                    Tokens::new(&prefix, tokens, "filename")
                };
                let otherwise = || Tokens::new("", vec![Secret::new("unread")], "filename");
                FileReloader::build(cx, Some(files::INTERVAL), read, otherwise)
            }
        };
        Ok(Self { header, scheme, tokens: tokens? })
    }
}

impl Tokens {
    fn new(scheme: &str, mut known: Vec<Secret>, key: &str) -> Result<Self, ConfigError> {
        known.retain(|token| !token.is_empty());
        let first = known.first().ok_or_else(|| match key {
            "filename" => ConfigError::here(key, "there is no token in it"),
            _ => ConfigError::new(
                key,
                "give `token`, `tokens` or `filename`; an empty one would let everyone in",
            ),
        })?;
        let text = format!("{scheme} {}", first.expose());
        let sent = HeaderValue::try_from(text.trim_start());
        let mut sent = sent.map_err(|_| ConfigError::new(key, "a token must be printable ASCII"))?;
        sent.set_sensitive(true);
        Ok(Self { known, sent })
    }
}

impl Authenticator for Bearers {
    fn check(&self, headers: &HeaderMap) -> Result<Auth, Unauthenticated> {
        let given =
            headers.get(&self.header).ok_or(Unauthenticated("a bearer token is required"))?.as_bytes();
        let given = match self.scheme.is_empty() {
            true => Some(given),
            // The scheme's name is case-insensitive (RFC 9110 §11.1).
            false => given.split_at_checked(self.scheme.len()).and_then(|(scheme, rest)| {
                scheme.eq_ignore_ascii_case(self.scheme.as_bytes()).then_some(rest.trim_ascii_start())
            }),
        };
        let given = given.ok_or(Unauthenticated("another authentication scheme is required"))?;
        // All tokens are compared, so that time tells nothing of which one came close.
        let tokens = self.tokens.current();
        let fits = tokens
            .known
            .iter()
            .fold(subtle::Choice::from(0), |fits, token| fits | token.expose().as_bytes().ct_eq(given));
        if bool::from(fits) {
            Ok(Auth { subject: String::new() })
        } else {
            Err(Unauthenticated("the token is not known"))
        }
    }

    fn challenge(&self) -> &'static str {
        "Bearer"
    }
}

impl Credentials for Bearers {
    fn apply(&self, headers: &mut HeaderMap) {
        headers.insert(self.header.clone(), self.tokens.current().sent.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Bearers {
        Bearers::new(config(r#"{"tokens": ["one", "two"]}"#), &cx()).expect("two tokens")
    }

    /// What a component is built with that is to be run.
    fn cx() -> Build {
        Build {
            id: throughline_component::ComponentId::new("bearertokenauth"),
            clock: Arc::new(throughline_component::port::SystemClock::default()),
            random: Arc::new(throughline_component::port::SystemRandom::default()),
            services: Services::default(),
        }
    }

    fn config(text: &str) -> Config {
        serde_json::from_str(text).expect("settings")
    }

    fn check(value: &'static str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::AUTHORIZATION, HeaderValue::from_static(value));
        tokens().check(&headers).is_ok()
    }

    #[test]
    fn any_of_the_tokens_is_taken_and_nothing_else() {
        assert!(check("Bearer one") && check("bearer two") && check("Bearer  one"));
        for wrong in ["Bearer", "Bearer ", "Bearer on", "Bearer onee", "Basic one", "one", ""] {
            assert!(!check(wrong), "{wrong:?}");
        }
        assert!(tokens().check(&HeaderMap::new()).is_err());
    }

    #[test]
    fn what_a_client_sends_a_server_takes() {
        let mut headers = HeaderMap::new();
        tokens().apply(&mut headers);
        assert!(tokens().check(&headers).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_follow_their_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tokens");
        std::fs::write(&path, "one\n\n two \n").expect("written");
        let bearers =
            Bearers::new(config(&format!(r#"{{"filename": {path:?}}}"#)), &cx()).expect("two tokens");
        let takes = |token: &str| {
            let value = format!("Bearer {token}").parse().expect("ASCII");
            bearers.check(&HeaderMap::from_iter([(http::header::AUTHORIZATION, value)])).is_ok()
        };
        assert!(takes("one") && takes("two") && !takes("") && !takes("three"));
        std::fs::write(&path, "three").expect("written");
        tokio::time::advance(files::INTERVAL).await;
        assert!(takes("three") && !takes("one"));
        let mut headers = HeaderMap::new();
        bearers.apply(&mut headers);
        assert_eq!(headers["authorization"], "Bearer three");
        std::fs::write(&path, "\n").expect("written");
        tokio::time::advance(files::INTERVAL).await;
        assert!(takes("three") && !takes(""), "an empty file lets nobody else in");
    }

    #[test]
    fn settings_that_name_no_token_are_refused() {
        for (wrong, key) in [
            ("{}", "token"),
            (r#"{"token": ""}"#, "token"),
            (r#"{"filename": "/nowhere/tokens"}"#, "filename"),
            (r#"{"filename": "/nowhere/tokens", "token": "a"}"#, "filename"),
            (r#"{"token": "a", "header": "a b"}"#, "header"),
        ] {
            let error = Bearers::new(config(wrong), &cx()).err().expect(wrong);
            assert_eq!(error.path, [key], "{wrong}: {error}");
        }
    }
}
