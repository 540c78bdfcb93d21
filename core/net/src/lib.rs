//! Server and client settings: listeners, TLS, authentication, limits, compression, retry. The transport hides behind it.
//!
//! Components give [`Listeners`] their routes and get [`Request`]s whose bodies are counted as they arrive, before and
//! after decompression; they hand a [`Client`] a [`Rope`] and get an answer. That hyper does the work shows nowhere else.

mod auth;
mod body;
mod client;
mod compression;
mod connect;
mod cors;
mod file_reloader;
pub mod grpc;
mod keepalive;
mod listeners;
mod peer;
mod protocol;
mod refusals;
mod request;
mod retry;
mod rope;
mod server;
mod telemetry;
mod tls;
mod written;

pub use auth::{Authenticator, Credentials, Unauthenticated};
pub use body::{Body, BodyError, Outgoing};
pub use client::{Answer, Client, ClientSettings, Connections, SendError};
pub use compression::{Compression, CompressionSettings, accepts_gzip, gzip};
pub use connect::Protocol;
pub use cors::CorsSettings;
pub use file_reloader::FileReloader;
pub use keepalive::{KeepaliveClient, KeepaliveServer, ServerParameters};
pub use listeners::{ASIDE, Addresses, Handler, Listeners, Reply, Resources, Route, ServedPath, Serving};
pub use request::Request;
pub use retry::{Backoff, retry_after};
pub use rope::Rope;
pub use server::{AuthSettings, Limits, ServerSettings};
pub use telemetry::TelemetryRoutes;
pub use tls::{ClientTls, ServerTls};
