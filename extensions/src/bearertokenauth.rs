//! Bearer tokens (RFC 6750), on both sides: servers check them, clients send one.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use subtle::ConstantTimeEq;
use throughline_component::{Auth, Build, ConfigError, Extension, Factory, Services};
use throughline_config::Secret;
use throughline_net::{Authenticator, Credentials, Unauthenticated};

pub(crate) const FACTORY: Factory =
    Factory::extension::<Bearer>("bearertokenauth").aliases(&["bearer_token_auth"]);

/// Checks and sends bearer tokens.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-not-supported" = ["filename"]))]
pub(crate) struct Config {
    /// The header that carries the token.
    #[serde(default = "authorization")]
    header: String,
    /// What stands before the token.
    #[serde(default = "bearer")]
    scheme: String,
    /// The token.
    token: Option<Secret>,
    /// Several tokens: servers take any of them, clients send the first.
    #[serde(default)]
    tokens: Vec<Secret>,
}

fn authorization() -> String {
    "Authorization".into()
}

fn bearer() -> String {
    "Bearer".into()
}

/// The extension.
pub(crate) struct Bearer;

struct Tokens {
    header: HeaderName,
    scheme: String,
    tokens: Vec<Secret>,
    /// What a client sends.
    sent: HeaderValue,
}

impl Extension for Bearer {
    type Config = Config;

    fn build(config: Config, cx: &Build, offers: &mut Services) -> Result<Self, ConfigError> {
        let header = HeaderName::try_from(&config.header);
        let header = header.map_err(|_| ConfigError::new("header", "not the name of a header"))?;
        let tokens: Vec<Secret> =
            config.token.into_iter().chain(config.tokens).filter(|t| !t.is_empty()).collect();
        let Some(first) = tokens.first() else {
            return Err(ConfigError::new(
                "token",
                "give `token` or `tokens`; an empty one would let everyone in",
            ));
        };
        let text = format!("{} {}", config.scheme, first.expose());
        let sent = HeaderValue::try_from(text.trim_start());
        let mut sent = sent.map_err(|_| ConfigError::new("token", "a token must be printable ASCII"))?;
        sent.set_sensitive(true);
        let tokens = Arc::new(Tokens { header, scheme: config.scheme, tokens, sent });
        offers.offer_as::<dyn Authenticator>(cx.id.clone(), Arc::clone(&tokens) as _);
        offers.offer_as::<dyn Credentials>(cx.id.clone(), tokens);
        Ok(Self)
    }
}

impl Authenticator for Tokens {
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
        let fits = self
            .tokens
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

impl Credentials for Tokens {
    fn apply(&self, headers: &mut HeaderMap) {
        headers.insert(self.header.clone(), self.sent.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens {
        Tokens {
            header: http::header::AUTHORIZATION,
            scheme: "Bearer".into(),
            tokens: vec![Secret::new("one"), Secret::new("two")],
            sent: HeaderValue::from_static("Bearer one"),
        }
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
}
