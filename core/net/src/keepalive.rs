//! How long connections live, and how a peer that is gone without a word is found out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use throughline_config::{self as config, reasons};

/// How connections of a gRPC server are probed and renewed.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("x-without-meaning" = reasons(&[
    ("enforcement_policy", "pings cost next to nothing here, and no client is cut off for them"),
])))]
pub struct KeepaliveServer {
    /// How long connections may live, and how they are probed.
    pub server_parameters: ServerParameters,
}

/// How long connections may live, and how they are probed.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerParameters {
    /// A connection without a request for this long is asked to end. `0s`: never.
    pub max_connection_idle: config::Duration,
    /// A connection of this age is asked to end, so that a load balancer can distribute clients anew. `0s`:
    /// never.
    pub max_connection_age: config::Duration,
    /// How long open requests may take after that. `0s`: no limit.
    pub max_connection_age_grace: config::Duration,
    /// A connection on which nothing arrived for this long is probed.
    pub time: config::Duration,
    /// The connection is closed if the peer does not answer a probe within this time.
    pub timeout: config::Duration,
}

impl Default for ServerParameters {
    fn default() -> Self {
        Self {
            max_connection_idle: config::Duration::from_secs(0),
            max_connection_age: config::Duration::from_secs(0),
            max_connection_age_grace: config::Duration::from_secs(0),
            time: config::Duration::from_secs(40),
            timeout: config::Duration::from_secs(20),
        }
    }
}

/// How connections of a gRPC client are probed.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KeepaliveClient {
    /// A connection on which nothing arrived for this long is probed. `0s`: never.
    pub time: config::Duration,
    /// The connection is closed if the server does not answer a probe within this time; the next request opens
    /// another.
    pub timeout: config::Duration,
    /// Also probes connections without open requests.
    pub permit_without_stream: bool,
}

impl Default for KeepaliveClient {
    fn default() -> Self {
        Self {
            time: config::Duration::from_secs(30),
            timeout: config::Duration::from_secs(20),
            permit_without_stream: false,
        }
    }
}

/// What is asked on one connection.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Activity {
    /// Notes that a request began; it ends when what is returned is dropped.
    pub(crate) fn request(self: &Arc<Self>) -> Asking {
        self.begun.fetch_add(1, Ordering::Relaxed);
        Asking(Arc::clone(self))
    }

    /// Resolves when nothing was asked for so long; never, if that is zero.
    pub(crate) async fn idle_for(&self, long: Duration) {
        if long.is_zero() {
            return std::future::pending().await;
        }
        loop {
            let before = self.begun.load(Ordering::Relaxed);
            tokio::time::sleep(long).await;
            let begun = self.begun.load(Ordering::Relaxed);
            if begun == before && begun == self.ended.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}

/// A request under way.
pub(crate) struct Asking(Arc<Activity>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// Sleeps; for ever, if that is zero.
pub(crate) async fn after(long: Duration) {
    if long.is_zero() {
        return std::future::pending().await;
    }
    tokio::time::sleep(long).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_once_nothing_was_asked_for_so_long() {
        let activity = Arc::<Activity>::default();
        let long = Duration::from_secs(10);
        let asking = activity.request();
        let idle = tokio::time::timeout(Duration::from_secs(95), activity.idle_for(long));
        assert!(idle.await.is_err(), "a request is under way");
        drop(asking);
        let idle = tokio::time::timeout(Duration::from_secs(11), activity.idle_for(long));
        assert!(idle.await.is_ok());
        let never = tokio::time::timeout(Duration::from_secs(1000), activity.idle_for(Duration::ZERO));
        assert!(never.await.is_err());
    }
}
