//! The server's side of a unary call.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use throughline_component::port::Charge;

use super::{Status, framed, unframe};
use crate::request::grow;
use crate::{Body, BodyError, Compression, Reply, Request, Rope};

/// Whether a request speaks gRPC (not gRPC-Web).
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    kind == b"application/grpc"
        || kind.starts_with(b"application/grpc+")
        || kind.starts_with(b"application/grpc;")
}

/// How long the client waits (`grpc-timeout`), if it says so.
pub fn deadline(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count.saturating_mul(3600)),
        "M" => Duration::from_secs(count.saturating_mul(60)),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

/// Reads a unary call's message, decompressed. The limit counts after decompression.
///
/// # Errors
/// The status to answer with.
pub async fn read(request: &mut Request, charge: &mut Charge) -> Result<Bytes, Status> {
    read_message(request, charge).await.map_err(|refused| {
        let (reason, status) = match &refused {
            Refused::Body(error) => (error.reason(), Status::of_body(error)),
            Refused::Frame(status) => ("bad_frame", status.clone()),
        };
        request.refused(reason);
        status
    })
}

/// Why a message could not be had.
enum Refused {
    Body(BodyError),
    Frame(Status),
}

impl From<BodyError> for Refused {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

async fn read_message(request: &mut Request, charge: &mut Charge) -> Result<Bytes, Refused> {
    let encoding = request.headers().get("grpc-encoding").map(HeaderValue::as_bytes);
    let codec = Compression::named(encoding)?;
    let limit = request.limits().max_body;
    // Five bytes of prefix come on top of the message.
    let body = request.read_raw(charge, limit.saturating_add(5)).await?;
    let (message, codec) = unframe(&body, codec).map_err(Refused::Frame)?;
    Ok(codec.decompress(message, limit, |more| grow(charge, more, limit))?)
}

/// The reply of a call that succeeded.
pub fn reply(message: impl Into<Rope>) -> Reply {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let mut reply = http::Response::new(Body::new(framed(message.into(), false)).with_trailers(trailers));
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_have_the_units_of_the_specification() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().expect("ASCII"));
            deadline(&headers)
        };
        assert_eq!(read("10S"), Some(Duration::from_secs(10)));
        assert_eq!(read("250m"), Some(Duration::from_millis(250)));
        assert_eq!(read("2M"), Some(Duration::from_secs(120)));
        for bad in ["", "S", "10", "10x", "-1S"] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}
