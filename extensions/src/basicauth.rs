//! Basic authentication (RFC 7617), on both sides.

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, header};
use schemars::JsonSchema;
use serde::Deserialize;
use subtle::ConstantTimeEq;
use throughline_component::{Auth, Build, ConfigError, Extension, Factory, Services};
use throughline_config::Secret;
use throughline_net::{Authenticator, Credentials, FileReloader, Unauthenticated};

use crate::files;

pub(crate) const FACTORY: Factory = Factory::extension::<Basic>("basicauth").aliases(&["basic_auth"]);

/// Checks and sends user names and passwords.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// The users whom receivers accept.
    htpasswd: Option<Users>,
    /// The credentials that exporters send.
    client_auth: Option<Client>,
}

/// `htpasswd`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Users {
    /// A file of `user:password` lines, in plain text; read again when it changes.
    file: Option<PathBuf>,
    /// Lines of `user:password`, in plain text. For a user who is also in the file, this password is used.
    inline: Secret,
}

/// `client_auth`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Client {
    /// The user.
    username: String,
    /// The password.
    password: Secret,
    /// A file with the user's name, instead of `username`; read again when it changes.
    username_file: Option<PathBuf>,
    /// A file with the password, instead of `password`; read again when it changes.
    password_file: Option<PathBuf>,
}

pub(crate) struct Basic;

/// Users and their passwords.
struct KnownUsers(FileReloader<Vec<(String, Secret)>>);

/// The header of a client.
struct ClientHeader(FileReloader<HeaderValue>);

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
            let interval = users.file.is_some().then_some(files::INTERVAL);
            let unread = || Ok(vec![("unread".to_owned(), Secret::new("unread"))]);
            let known = KnownUsers(FileReloader::build(cx, interval, move || users.read(), unread)?);
            offers.offer_as::<dyn Authenticator>(cx.id.clone(), Arc::new(known));
        }
        if let Some(client) = config.client_auth {
            let interval =
                (client.username_file.is_some() || client.password_file.is_some()).then_some(files::INTERVAL);
            let header = move || client.header().map_err(|error| error.under("client_auth"));
            let sent = ClientHeader(FileReloader::build(cx, interval, header, || {
                Ok(HeaderValue::from_static("Basic unread"))
            })?);
            offers.offer_as::<dyn Credentials>(cx.id.clone(), Arc::new(sent));
        }
        Ok(Self)
    }
}

impl Users {
    fn read(&self) -> Result<Vec<(String, Secret)>, ConfigError> {
        let mut users = lines(self.inline.expose(), "htpasswd::inline")?;
        if let Some(path) = &self.file {
            let more = lines(&files::read(path, "htpasswd::file")?, "htpasswd::file")?;
            users.extend(
                more.into_iter()
                    .filter(|(name, _)| !users.iter().any(|(known, _)| known == name))
                    .collect::<Vec<_>>(),
            );
        }
        if users.is_empty() {
            return Err(ConfigError::new("htpasswd", "there is no user in it; give `file` or `inline`"));
        }
        Ok(users)
    }
}

impl Client {
    fn header(&self) -> Result<HeaderValue, ConfigError> {
        let user = either("username", &self.username, self.username_file.as_ref())?;
        let password = either("password", self.password.expose(), self.password_file.as_ref())?;
        if user.contains(':') {
            return Err(ConfigError::new("username", "must not contain `:`, which ends it (RFC 7617 §2)"));
        }
        let text = STANDARD.encode(format!("{user}:{password}"));
        let value = HeaderValue::try_from(format!("Basic {text}"));
        let mut value = value.map_err(|_| ConfigError::new("", "cannot be sent in a header"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// The text of `{key}` or `{key}_file`, whichever is given.
fn either(key: &str, inline: &str, file: Option<&PathBuf>) -> Result<String, ConfigError> {
    let file_key = format!("{key}_file");
    match file {
        None if inline.is_empty() => Err(ConfigError::new(key, format!("give `{key}` or `{file_key}`"))),
        None => Ok(inline.to_owned()),
        Some(_) if !inline.is_empty() => {
            Err(ConfigError::new(&file_key, format!("give `{key}` or `{file_key}`, not both")))
        }
        Some(path) => match files::read(path, &file_key)?.trim() {
            "" => Err(ConfigError::new(&file_key, "it is empty")),
            text => Ok(text.to_owned()),
        },
    }
}

/// Reads `user:password` lines. Hashed ones are refused rather than compared as if they were plain.
fn lines(text: &str, key: &str) -> Result<Vec<(String, Secret)>, ConfigError> {
    let line = |(number, line): (usize, &str)| {
        let at = |message: &str| ConfigError::new(key, format!("line {}: {message}", number + 1));
        let (user, password) = line.trim().split_once(':').ok_or_else(|| at("expected user:password"))?;
        if password.starts_with('$') || password.starts_with("{SHA}") {
            return Err(at(
                "hashed passwords are not supported yet; give the password in plain text, from ${env:…} or a file",
            ));
        }
        if user.is_empty() || password.is_empty() {
            return Err(at("user and password must not be empty"));
        }
        Ok((user.to_owned(), Secret::new(password)))
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(line).collect()
}

impl Authenticator for KnownUsers {
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
        let known = self.0.current().iter().fold(subtle::Choice::from(0), |known, (name, secret)| {
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

impl Credentials for ClientHeader {
    fn apply(&self, headers: &mut HeaderMap) {
        headers.insert(header::AUTHORIZATION, HeaderValue::clone(&self.0.current()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str) -> Result<Auth, Unauthenticated> {
        let users = Users { inline: Secret::new("ann:s3cret\n\nbob:pa:ss"), file: None };
        let known = KnownUsers(FileReloader::new(None, move || users.read()).expect("two users"));
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
        let read = |text| lines(text, "htpasswd::inline");
        assert!(read("ann:a\nbob").expect_err("no colon").message.starts_with("line 2"));
        assert!(read("ann:$2y$05$abc").expect_err("hashed").message.contains("hashed"));
        assert!(Users { inline: Secret::new("\n"), file: None }.read().is_err());
    }

    #[test]
    fn a_file_adds_users_to_those_inline() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("htpasswd");
        std::fs::write(&path, "ann:other\neve:x\n").expect("written");
        let users = Users { inline: Secret::new("ann:s3cret"), file: Some(path) }.read().expect("two users");
        let users: Vec<_> = users.iter().map(|(name, secret)| (&**name, secret.expose())).collect();
        assert_eq!(users, [("ann", "s3cret"), ("eve", "x")]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_follows_its_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let (user, password) = (folder.path().join("user"), folder.path().join("password"));
        std::fs::write(&user, "ann\n").expect("written");
        std::fs::write(&password, "s3cret\n").expect("written");
        let client =
            Client { username_file: Some(user), password_file: Some(password.clone()), ..Client::default() };
        let sent = ClientHeader(
            FileReloader::new(Some(files::INTERVAL), move || client.header()).expect("both files"),
        );
        let header = || {
            let mut headers = HeaderMap::new();
            sent.apply(&mut headers);
            headers["authorization"].to_str().expect("ASCII").to_owned()
        };
        assert_eq!(header(), basic("ann:s3cret"));
        std::fs::write(&password, "changed").expect("written");
        tokio::time::advance(files::INTERVAL).await;
        assert_eq!(header(), basic("ann:changed"));
    }

    #[test]
    fn a_client_needs_each_half_once() {
        for (client, key) in [
            (r#"{"password": "a"}"#, "username"),
            (r#"{"username": "a"}"#, "password"),
            (r#"{"username": "a", "password": "b", "password_file": "c"}"#, "password_file"),
            (r#"{"username": "a", "password_file": "/nowhere"}"#, "password_file"),
            (r#"{"username": "a:b", "password": "c"}"#, "username"),
        ] {
            let client: Client = serde_json::from_str(client).expect("settings");
            assert_eq!(client.header().expect_err("half of it").path, [key]);
        }
    }
}
