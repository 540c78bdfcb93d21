//! The one body type that goes out, as a reply or as a request.

use std::convert::Infallible;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Buf;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use crate::Rope;
use crate::peer::UnsentReply;

/// A body that is there in full: one data frame, and trailers if the protocol has them.
#[derive(Debug, Default)]
pub struct Body {
    data: Option<Rope>,
    trailers: Option<HeaderMap>,
    /// Its bytes are accounted for by whoever made it.
    shared: bool,
    /// Notices when the reply is sent.
    unsent: Option<UnsentReply>,
}

/// The bytes of a body on their way out.
#[derive(Debug)]
pub struct Outgoing {
    rope: Rope,
    /// Notices each byte that is written, and the last.
    unsent: Option<UnsentReply>,
}

impl Buf for Outgoing {
    fn remaining(&self) -> usize {
        self.rope.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.rope.chunk()
    }

    fn chunks_vectored<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        self.rope.chunks_vectored(into)
    }

    fn advance(&mut self, count: usize) {
        self.rope.advance(count);
        if let Some(unsent) = &self.unsent {
            unsent.wrote(count);
        }
    }
}

/// Why a request's body could not be had.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is (or became, once decompressed) larger than the limit.
    #[error("the body is larger than {limit} bytes once decompressed")]
    TooLarge {
        /// The limit that it broke.
        limit: usize,
    },
    /// The agent holds as many bytes as it may.
    #[error("the agent holds as much data as its memory budget of {limit} bytes allows")]
    OverBudget {
        /// The budget.
        limit: usize,
    },
    /// It does not decompress.
    #[error("the body does not decompress as {encoding}: {why}")]
    Corrupt {
        /// The codec.
        encoding: &'static str,
        /// What the codec said.
        why: String,
    },
    /// Nobody here knows the codec.
    #[error(
        "content encoding `{0}` is not supported; use gzip, deflate, zstd, snappy, x-snappy-framed, lz4 or none"
    )]
    UnknownEncoding(String),
    /// The sender went away or broke the protocol.
    #[error("the body ended early: {0}")]
    Broken(String),
    /// The sender took too long.
    #[error("the body did not arrive within {0:?}")]
    TooSlow(std::time::Duration),
    /// The sender sends next to nothing, and holds memory meanwhile.
    #[error("less than {least} bytes a second of the body arrived for {window:?}")]
    Stalled {
        /// What would have been enough.
        least: u64,
        /// For how long it did not come.
        window: std::time::Duration,
    },
}

impl BodyError {
    /// Its name in self-telemetry.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too_large",
            Self::OverBudget { .. } => "over_budget",
            Self::Corrupt { .. } => "corrupt",
            Self::UnknownEncoding(_) => "unknown_encoding",
            Self::Broken(_) => "broken",
            Self::TooSlow(_) => "too_slow",
            Self::Stalled { .. } => "stalled",
        }
    }

    /// The HTTP status to answer with.
    pub fn status(&self) -> http::StatusCode {
        match self {
            Self::TooLarge { .. } => http::StatusCode::PAYLOAD_TOO_LARGE,
            // Nothing is wrong with the data: the sender keeps it. 408 would be final in OTLP.
            Self::OverBudget { .. } | Self::TooSlow(_) | Self::Stalled { .. } => {
                http::StatusCode::SERVICE_UNAVAILABLE
            }
            Self::UnknownEncoding(_) => http::StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Corrupt { .. } | Self::Broken(_) => http::StatusCode::BAD_REQUEST,
        }
    }
}

impl Body {
    /// A body of these bytes.
    pub fn new(data: impl Into<Rope>) -> Self {
        Self { data: Some(data.into()), ..Self::default() }
    }

    /// The same body with trailers behind it.
    #[must_use]
    pub fn with_trailers(mut self, trailers: HeaderMap) -> Self {
        self.trailers = Some(trailers);
        self
    }

    /// The same body, of bytes that several replies share and their maker accounts for: they are not charged once more.
    #[must_use]
    pub fn shared(self) -> Self {
        Self { shared: true, ..self }
    }

    /// What is charged for its bytes until they are sent.
    pub(crate) fn costs(&self) -> usize {
        self.data.as_ref().filter(|_| !self.shared).map_or(0, Buf::remaining)
    }

    /// The same body, which lets go of `unsent` when it is sent, or never will be.
    #[must_use]
    pub(crate) fn watched(mut self, unsent: UnsentReply) -> Self {
        self.unsent = Some(unsent);
        self
    }
}

impl http_body::Body for Body {
    type Data = Outgoing;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Outgoing>, Infallible>>> {
        if let Some(rope) = self.data.take().filter(Buf::has_remaining) {
            // Whoever sends it may be done with this body long before the peer has read a byte.
            let unsent = self.unsent.take();
            return Poll::Ready(Some(Ok(Frame::data(Outgoing { rope, unsent }))));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.data.as_ref().is_none_or(|data| !data.has_remaining()) && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.data.as_ref().map_or(0, |data| data.remaining() as u64))
    }
}
