//! gRPC status: codes, messages, and the details that carry a retry delay.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use http::{HeaderMap, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode, utf8_percent_encode};
use prost::Message;

use crate::{Body, BodyError, Reply};

/// What gRPC percent-encodes in a message: the percent sign, and whatever is not printable ASCII.
const MESSAGE: &AsciiSet = &CONTROLS.add(b'%');

/// A gRPC status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
#[expect(missing_docs, reason = "the names are the specification's")]
pub enum Code {
    Ok = 0,
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

impl Code {
    const ALL: [Self; 17] = [
        Self::Ok,
        Self::Cancelled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// The code of a number; numbers nobody defined are `Unknown`.
    pub fn from_number(number: u32) -> Self {
        Self::ALL.get(number as usize).copied().unwrap_or(Self::Unknown)
    }
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The code.
    pub code: Code,
    /// For a person.
    pub message: String,
    /// When to try again (google.rpc.RetryInfo).
    pub retry_after: Option<Duration>,
}

/// google.rpc.Status, also the body of OTLP/HTTP errors.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

impl Status {
    /// A status with nothing but a message.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after: None }
    }

    /// The same with a delay to ask for.
    #[must_use]
    pub fn retry_after(mut self, delay: Option<Duration>) -> Self {
        self.retry_after = delay;
        self
    }

    /// The status of a body that could not be read.
    pub fn of_body(error: &BodyError) -> Self {
        let code = match error {
            // Without RetryInfo, RESOURCE_EXHAUSTED says: do not send this again (OTLP 1.11).
            BodyError::TooLarge { .. } => Code::ResourceExhausted,
            BodyError::OverBudget { .. } | BodyError::Stalled { .. } => Code::Unavailable,
            BodyError::Corrupt { .. } => Code::InvalidArgument,
            BodyError::UnknownEncoding(_) => Code::Unimplemented,
            BodyError::Broken(_) => Code::Cancelled,
            BodyError::TooSlow(_) => Code::DeadlineExceeded,
        };
        Self::new(code, error.to_string())
    }

    /// The encoded `google.rpc.Status`.
    pub fn encode(&self) -> Vec<u8> {
        let details = self.retry_after.map(|delay| {
            let nanos = i32::try_from(delay.subsec_nanos()).unwrap_or(0);
            let delay = Delay { seconds: i64::try_from(delay.as_secs()).unwrap_or(i64::MAX), nanos };
            Any { type_url: RETRY_INFO.into(), value: RetryInfo { retry_delay: Some(delay) }.encode_to_vec() }
        });
        let status = RpcStatus {
            code: self.code as i32,
            message: self.message.clone(),
            details: details.into_iter().collect(),
        };
        status.encode_to_vec()
    }

    /// Reads an encoded `google.rpc.Status`; `None` if it is none.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let status = RpcStatus::decode(bytes).ok()?;
        let code = u32::try_from(status.code).map_or(Code::Unknown, Code::from_number);
        Some(Self { code, message: status.message, retry_after: retry_delay(bytes) })
    }

    /// The JSON form of the encoded status, as OTLP/HTTP with JSON wants it.
    pub fn to_json(&self) -> String {
        serde_json::json!({ "code": self.code as i32, "message": self.message }).to_string()
    }

    /// A reply without a message: the status in the headers ("trailers only").
    pub fn into_reply(self) -> Reply {
        let mut reply = http::Response::new(Body::default());
        self.write(reply.headers_mut());
        reply.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        reply
    }

    /// Writes it as trailers.
    pub(crate) fn write(&self, into: &mut HeaderMap) {
        into.insert("grpc-status", HeaderValue::from(self.code as u16));
        if !self.message.is_empty()
            && let Ok(message) =
                HeaderValue::from_str(&utf8_percent_encode(&self.message, MESSAGE).to_string())
        {
            into.insert("grpc-message", message);
        }
        if self.retry_after.is_some()
            && let Ok(details) = HeaderValue::from_str(&STANDARD_NO_PAD.encode(self.encode()))
        {
            into.insert("grpc-status-details-bin", details);
        }
    }

    /// Reads it from trailers; `None` if there is no status in them.
    pub fn read(trailers: &HeaderMap) -> Option<Self> {
        let number = trailers.get("grpc-status")?.to_str().ok()?.parse().ok()?;
        let message = trailers.get("grpc-message").map(HeaderValue::as_bytes);
        let message = message.map(|text| percent_decode(text).decode_utf8_lossy().into_owned());
        let details = trailers.get("grpc-status-details-bin").and_then(|value| {
            let text = value.as_bytes().trim_ascii_end();
            let text = text.strip_suffix(b"==").or(text.strip_suffix(b"=")).unwrap_or(text);
            STANDARD_NO_PAD.decode(text).or_else(|_| STANDARD.decode(text)).ok()
        });
        Some(Self {
            code: Code::from_number(number),
            message: message.unwrap_or_default(),
            retry_after: details.and_then(|bytes| retry_delay(&bytes)),
        })
    }
}

fn retry_delay(status: &[u8]) -> Option<Duration> {
    let status = RpcStatus::decode(status).ok()?;
    let info = status.details.iter().find(|any| any.type_url == RETRY_INFO)?;
    let delay = RetryInfo::decode(&*info.value).ok()?.retry_delay.unwrap_or_default();
    let seconds = Duration::from_secs(u64::try_from(delay.seconds).ok()?);
    seconds.checked_add(Duration::from_nanos(u64::try_from(delay.nanos).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_survives_its_trailers_with_delay_and_odd_characters() {
        for message in ["", "plain", "50 % größer\nthan …"] {
            for delay in [None, Some(Duration::from_millis(1500))] {
                let status = Status::new(Code::Unavailable, message).retry_after(delay);
                let mut trailers = HeaderMap::new();
                status.write(&mut trailers);
                assert_eq!(Status::read(&trailers), Some(status));
            }
        }
    }

    #[test]
    fn what_is_no_escape_in_a_message_stays_as_it_is() {
        for (sent, read) in [("50 %", "50 %"), ("%+1", "%+1"), ("a%20b%", "a b%")] {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from(14));
            trailers.insert("grpc-message", HeaderValue::from_static(sent));
            assert_eq!(Status::read(&trailers).expect("there is a status").message, read);
        }
    }

    #[test]
    fn trailers_without_a_status_have_none() {
        assert_eq!(Status::read(&HeaderMap::new()), None);
    }
}
