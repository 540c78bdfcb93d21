//! Unary gRPC over HTTP/2, on bytes: messages are handed over undecoded, in the frame they came in.
//!
//! Source: "gRPC over HTTP2" (PROTOCOL-HTTP2.md) and google.rpc.{Status, RetryInfo}.

mod frame;
mod serve;
mod status;

pub use frame::{framed, unframe};
pub use serve::{deadline, is_grpc, read, reply};
pub use status::{Code, Status};
