//! Authentication, as extensions offer it to servers and clients.

use http::HeaderMap;
use throughline_component::Auth;

/// Checks who sent a request. Offered by authenticator extensions under their id.
pub trait Authenticator: Send + Sync {
    /// Looks at a request's headers, before its body is read.
    ///
    /// # Errors
    /// Why the sender was not recognised, in words that reveal nothing of the credentials.
    fn check(&self, headers: &HeaderMap) -> Result<Auth, Unauthenticated>;

    /// The `WWW-Authenticate` value of the refusal.
    fn challenge(&self) -> &'static str;
}

/// Adds our own credentials to what we send. Offered by authenticator extensions under their id.
pub trait Credentials: Send + Sync {
    /// Adds headers to a request.
    fn apply(&self, headers: &mut HeaderMap);
}

/// The sender was not recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unauthenticated(pub &'static str);
