//! Where a chunk came from.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::ComponentId;

/// What a receiver knows about a request beyond its bytes. Shared by all that stems from it; never changed.
#[derive(Clone, Debug)]
pub struct Context {
    /// The receiver, or the connector that made the data.
    pub source: ComponentId,
    /// How it came in.
    pub transport: Transport,
    /// The sender's address, where there is one.
    pub peer: Option<SocketAddr>,
    /// Request metadata, kept only where the receiver's `include_metadata` asks for it.
    pub metadata: Metadata,
    /// What an authenticator found. Never written to disk.
    pub auth: Option<Auth>,
    /// When the request was accepted, in nanoseconds since the Unix epoch.
    pub received_at: u64,
}

impl Context {
    /// The context of data that a component made itself.
    pub fn internal(source: ComponentId, received_at: u64) -> Self {
        Self {
            source,
            transport: Transport::Internal,
            peer: None,
            metadata: Metadata::default(),
            auth: None,
            received_at,
        }
    }
}

/// How data came into the agent. Self-telemetry tells its receivers' accounts apart by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// gRPC.
    Grpc,
    /// HTTP, webhooks among it.
    Http,
    /// It was made in here.
    Internal,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Grpc, Self::Http, Self::Internal];

    /// Its name; the first two are the Collector's.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
            Self::Internal => "internal",
        }
    }
}

/// Request headers by lower-case name, several values a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata(pub BTreeMap<String, Vec<String>>);

/// Who sent a request, as an authenticator extension established it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// The authenticated name (basic auth's user, say); empty where the scheme knows none.
    pub subject: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_transport_has_a_name_of_its_own() {
        assert_eq!(Transport::ALL.map(Transport::as_str), ["grpc", "http", "internal"]);
    }
}
