//! A request as a handler sees it, and the reading of its body.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::request::Parts;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use throughline_component::port::{Account, Budget, Charge};
use throughline_component::{Auth, Metadata};
use tokio::time::{Instant, Sleep};

use crate::refusals::Refusals;
use crate::{BodyError, Compression, Limits};

/// One HTTP request (gRPC's too), authenticated if the server asks for it, its body not yet read.
#[derive(Debug)]
pub struct Request {
    parts: Parts,
    body: Incoming,
    peer: SocketAddr,
    auth: Option<Auth>,
    limits: Limits,
    include_metadata: bool,
    refusals: Refusals,
    account: Arc<Account>,
    /// For the head.
    charge: Charge,
}

impl Request {
    pub(crate) fn new(
        request: http::Request<Incoming>,
        peer: SocketAddr,
        auth: Option<Auth>,
        limits: Limits,
        include_metadata: bool,
        (refusals, account, charge): (Refusals, Arc<Account>, Charge),
    ) -> Self {
        let (parts, body) = request.into_parts();
        Self { parts, body, peer, auth, limits, include_metadata, refusals, account, charge }
    }

    /// A charge to the budget for the data, on the account of this request's connection. It holds what the head costs already.
    pub fn charge(&mut self, budget: &Arc<Budget>) -> Charge {
        if self.charge.is_to(budget) {
            return std::mem::take(&mut self.charge);
        }
        budget.charge_to(&self.account)
    }

    /// The method.
    pub fn method(&self) -> &http::Method {
        &self.parts.method
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// A header's text; `None` if it is absent or not ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// The path, as it was sent.
    pub fn path(&self) -> &str {
        self.parts.uri.path()
    }

    /// The query string, without the question mark.
    pub fn query(&self) -> &str {
        self.parts.uri.query().unwrap_or_default()
    }

    /// The sender's address.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// What the authenticator found.
    pub fn auth(&self) -> Option<Auth> {
        self.auth.clone()
    }

    /// The limits of this server.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The headers that travel with the data; empty unless the server's `include_metadata` is set.
    pub fn metadata(&self) -> Metadata {
        let mut metadata = Metadata::default();
        if self.include_metadata {
            for (name, value) in &self.parts.headers {
                // Credentials are the authenticator's business and never travel.
                if let Ok(value) = value.to_str()
                    && *name != http::header::AUTHORIZATION
                    && *name != http::header::COOKIE
                {
                    metadata.0.entry(name.as_str().to_owned()).or_default().push(value.to_owned());
                }
            }
        }
        metadata
    }

    /// Counts this request as refused, for self-telemetry; what [`Self::read`] refuses is counted there.
    pub fn refused(&self, reason: &'static str) {
        self.refusals.count(reason);
    }

    /// Reads the whole body and undoes its `content-encoding`. Bytes are charged as they arrive.
    ///
    /// # Errors
    /// See [`BodyError`].
    pub async fn read(&mut self, charge: &mut Charge) -> Result<Bytes, BodyError> {
        let body = self.read_decoded(charge).await;
        body.inspect_err(|error| self.refused(error.reason()))
    }

    async fn read_decoded(&mut self, charge: &mut Charge) -> Result<Bytes, BodyError> {
        let encoding = self.parts.headers.get(http::header::CONTENT_ENCODING);
        let codec = Compression::named(encoding.map(http::HeaderValue::as_bytes))?;
        let limit = self.limits.max_body;
        let raw = self.read_raw(charge, limit).await?;
        codec.decompress(raw, limit, |more| grow(charge, more, limit))
    }

    /// Reads the whole body as it is, at most `limit` bytes.
    pub(crate) async fn read_raw(&mut self, charge: &mut Charge, limit: usize) -> Result<Bytes, BodyError> {
        let wait = self.limits.read_timeout;
        if wait.is_zero() {
            return self.collect(charge, limit).await;
        }
        tokio::time::timeout(wait, self.collect(charge, limit)).await.map_err(|_| BodyError::TooSlow(wait))?
    }

    async fn collect(&mut self, charge: &mut Charge, limit: usize) -> Result<Bytes, BodyError> {
        // A declared length is checked before a byte is read, but believed only as an upper hint.
        let declared = usize::try_from(self.body.size_hint().lower()).unwrap_or(usize::MAX);
        if declared > limit {
            return Err(BodyError::TooLarge { limit });
        }
        let mut first = Bytes::new();
        let mut rest: Vec<u8> = Vec::new();
        let mut pace = Pace::new(self.limits.min_transfer_rate);
        while let Some(frame) = pace.frame(&mut self.body).await? {
            let frame = frame.map_err(|error| BodyError::Broken(error.to_string()))?;
            let Ok(data) = frame.into_data() else { continue };
            pace.arrived += data.len() as u64;
            if first.len() + rest.len() + data.len() > limit {
                return Err(BodyError::TooLarge { limit });
            }
            grow(charge, data.len(), limit)?;
            if rest.is_empty() && first.is_empty() {
                first = data; // most bodies are one frame: no copy
                continue;
            }
            if rest.is_empty() {
                rest.reserve_exact(declared.max(first.len() + data.len()));
                rest.extend_from_slice(&first);
                first = Bytes::new();
            }
            rest.extend_from_slice(&data);
        }
        Ok(if rest.is_empty() { first } else { rest.into() })
    }
}

/// Over how long a body's rate is measured.
const WINDOW: Duration = Duration::from_secs(5);

/// Sees to it that a body arrives at some rate.
struct Pace {
    least: u64,
    arrived: u64,
    window: Pin<Box<Sleep>>,
    /// What had arrived when the window began.
    before: u64,
}

impl Pace {
    fn new(least: u64) -> Self {
        Self { least, arrived: 0, window: Box::pin(tokio::time::sleep(WINDOW)), before: 0 }
    }

    /// The body's next frame.
    async fn frame(
        &mut self,
        body: &mut Incoming,
    ) -> Result<Option<Result<http_body::Frame<Bytes>, hyper::Error>>, BodyError> {
        loop {
            tokio::select! {
                biased;
                frame = body.frame() => return Ok(frame),
                () = self.window.as_mut(), if self.least > 0 => {
                    if self.arrived - self.before < self.least.saturating_mul(WINDOW.as_secs()) {
                        return Err(BodyError::Stalled { least: self.least, window: WINDOW });
                    }
                    self.before = self.arrived;
                    self.window.as_mut().reset(Instant::now() + WINDOW);
                }
            }
        }
    }
}

pub(crate) fn grow(charge: &mut Charge, more: usize, limit: usize) -> Result<(), BodyError> {
    if charge.grow(more) {
        Ok(())
    } else {
        Err(BodyError::OverBudget { limit: charge.limit().unwrap_or(limit) })
    }
}
