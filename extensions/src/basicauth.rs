//! Basic authentication (RFC 7617), on both sides.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, header};
use schemars::JsonSchema;
use serde::Deserialize;
use subtle::ConstantTimeEq;
use throughline_component::{Auth, Build, ConfigError, Extension, Factory, Services};
use throughline_config::Secret;
use throughline_net::{Authenticator, Credentials, Unauthenticated};

pub(crate) const FACTORY: Factory = Factory::extension::<Basic>("basicauth").aliases(&["basic_auth"]);

/// Checks and sends user names and passwords.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Who may send, for servers.
    htpasswd: Option<Users>,
    /// Who we are, for clients.
    client_auth: Option<Client>,
}

/// `htpasswd`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-not-supported" = ["file"]))]
struct Users {
    /// Lines of `user:password`, in plain text.
    inline: Secret,
}

/// `client_auth`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-not-supported" = ["username_file", "password_file"]))]
struct Client {
    /// The user.
    username: String,
    /// The password.
    password: Secret,
}

pub(crate) struct Basic;

struct Known(Vec<(String, Secret)>);

struct Sent(HeaderValue);

impl Extension for Basic {
    type Config = Config;

    fn build(config: Config, cx: &Build, offers: &mut Services) -> Result<Self, ConfigError> {
        match (&config.htpasswd, &config.client_auth) {
            (None, None) => {
                return Err(ConfigError::new("", "give `htpasswd` for servers or `client_auth` for clients"));
            }
            (Some(_), Some(_)) => {
                return Err(ConfigError::new("", "give `htpasswd` or `client_auth`, not both"));
            }
            _ => {}
        }
        if let Some(users) = config.htpasswd {
            offers
                .offer_as::<dyn Authenticator>(cx.id.clone(), Arc::new(Known(read(users.inline.expose())?)));
        }
        if let Some(Client { username, password }) = config.client_auth {
            let text = STANDARD.encode(format!("{username}:{}", password.expose()));
            let value = HeaderValue::try_from(format!("Basic {text}"));
            let mut value =
                value.map_err(|_| ConfigError::new("client_auth", "cannot be sent in a header"))?;
            value.set_sensitive(true);
            offers.offer_as::<dyn Credentials>(cx.id.clone(), Arc::new(Sent(value)));
        }
        Ok(Self)
    }
}

/// Reads `user:password` lines. Hashed ones are refused rather than compared as if they were plain.
fn read(lines: &str) -> Result<Vec<(String, Secret)>, ConfigError> {
    let mut users = Vec::new();
    for (number, line) in lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let at =
            |message: &str| ConfigError::new("htpasswd::inline", format!("line {}: {message}", number + 1));
        let (user, password) = line.trim().split_once(':').ok_or_else(|| at("expected user:password"))?;
        if password.starts_with('$') || password.starts_with("{SHA}") {
            return Err(at(
                "hashed passwords are not supported yet; give the password in plain text, from ${env:…}",
            ));
        }
        if user.is_empty() || password.is_empty() {
            return Err(at("user and password must not be empty"));
        }
        users.push((user.to_owned(), Secret::new(password)));
    }
    if users.is_empty() {
        Err(ConfigError::new("htpasswd::inline", "there is no user in it"))
    } else {
        Ok(users)
    }
}

impl Authenticator for Known {
    fn check(&self, headers: &HeaderMap) -> Result<Auth, Unauthenticated> {
        let refused = Unauthenticated("a known user and password are required");
        let given =
            headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or(refused)?;
        let (scheme, encoded) = given.split_once(' ').ok_or(refused)?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(refused);
        }
        let text = STANDARD
            .decode(encoded.trim())
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or(refused)?;
        let (user, password) = text.split_once(':').ok_or(refused)?;
        // All users are compared, so that time does not tell which exist.
        let known = self.0.iter().fold(subtle::Choice::from(0), |known, (name, secret)| {
            known
                | (name.as_bytes().ct_eq(user.as_bytes())
                    & secret.expose().as_bytes().ct_eq(password.as_bytes()))
        });
        if bool::from(known) { Ok(Auth { subject: user.to_owned() }) } else { Err(refused) }
    }

    fn challenge(&self) -> &'static str {
        "Basic realm=\"throughline\", charset=\"UTF-8\""
    }
}

impl Credentials for Sent {
    fn apply(&self, headers: &mut HeaderMap) {
        headers.insert(header::AUTHORIZATION, self.0.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str) -> Result<Auth, Unauthenticated> {
        let known = Known(read("ann:s3cret\n\nbob:pa:ss").expect("two users"));
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().expect("ASCII"));
        known.check(&headers)
    }

    fn basic(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[test]
    fn known_users_are_let_in_by_name() {
        assert_eq!(check(&basic("ann:s3cret")), Ok(Auth { subject: "ann".into() }));
        assert_eq!(check(&basic("bob:pa:ss")), Ok(Auth { subject: "bob".into() }));
        for wrong in ["ann:", "ann:s3cre", "bob:s3cret", "eve:x", "ann"] {
            assert!(check(&basic(wrong)).is_err(), "{wrong}");
        }
        for wrong in ["Basic", "Basic !!!", "Bearer ann:s3cret"] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn lines_that_are_no_users_are_refused_with_their_number() {
        assert!(read("ann:a\nbob").expect_err("no colon").message.starts_with("line 2"));
        assert!(read("ann:$2y$05$abc").expect_err("hashed").message.contains("hashed"));
        assert!(read("\n").is_err());
    }
}
