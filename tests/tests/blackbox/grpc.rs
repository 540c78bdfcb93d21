//! OTLP/gRPC from the client's side: opaque bytes in, the status out.

use bytes::{Buf, BufMut, Bytes};
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tower_service::Service;

/// How to call.
#[derive(Clone, Default)]
pub(crate) struct Call {
    pub(crate) compression: Option<CompressionEncoding>,
    /// Headers to send.
    pub(crate) metadata: Vec<(&'static str, String)>,
}

/// Exports to a service, `trace.v1.TraceService`.
///
/// # Errors
///
/// The call's status, or that of a connection that cannot be made.
pub(crate) fn export(address: &str, service: &str, body: Bytes, call: &Call) -> Result<Bytes, tonic::Status> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(async {
        let unreachable = |error: tonic::transport::Error| tonic::Status::unavailable(format!("{error:?}"));
        let endpoint = Channel::from_shared(format!("http://{address}")).expect("an address");
        let channel = endpoint.connect().await.map_err(unreachable)?;
        let mut client = tonic::client::Grpc::new(channel).max_decoding_message_size(16 << 20);
        if let Some(encoding) = call.compression {
            client = client.send_compressed(encoding);
        }
        client.ready().await.map_err(unreachable)?;
        let mut request = tonic::Request::new(body);
        for (name, value) in &call.metadata {
            request.metadata_mut().insert(*name, value.parse().expect("a header's value"));
        }
        let path = format!("/opentelemetry.proto.collector.{service}/Export");
        let path = http::uri::PathAndQuery::try_from(path).expect("a path");
        client.unary(request, path, Opaque).await.map(tonic::Response::into_inner)
    })
}

/// A connection that is kept, for several calls at a time.
pub(crate) struct Connection {
    runtime: tokio::runtime::Runtime,
    channel: Channel,
}

impl Connection {
    /// Connects. If the server ends the connection the next call makes another.
    pub(crate) fn open(address: &str) -> Self {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        let endpoint = Channel::from_shared(format!("http://{address}")).expect("an address");
        let channel = runtime.block_on(endpoint.connect()).expect("the agent listens");
        Self { runtime, channel }
    }

    /// Exports all of them at once, each in a stream of its own; the answers in the same order.
    pub(crate) fn export_together(
        &self,
        service: &str,
        bodies: Vec<Bytes>,
    ) -> Vec<Result<Bytes, tonic::Status>> {
        let path = format!("/opentelemetry.proto.collector.{service}/Export");
        let path = http::uri::PathAndQuery::try_from(path).expect("a path");
        let call = |body: Bytes| {
            let (mut client, path) = (tonic::client::Grpc::new(self.channel.clone()), path.clone());
            async move {
                let unreachable =
                    |error: tonic::transport::Error| tonic::Status::unavailable(error.to_string());
                client.ready().await.map_err(unreachable)?;
                client.unary(tonic::Request::new(body), path, Opaque).await.map(tonic::Response::into_inner)
            }
        };
        self.runtime.block_on(async {
            let calls: Vec<_> = bodies.into_iter().map(|body| tokio::spawn(call(body))).collect();
            let mut answers = Vec::new();
            for call in calls {
                answers.push(call.await.expect("no call panics"));
            }
            answers
        })
    }
}

/// A message in its frame, flagged as compressed or not.
pub(crate) fn frame(compressed: bool, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("messages of tests are small").to_be_bytes();
    [&[u8::from(compressed)], &length[..], message].concat()
}

/// Calls a service with a body as it is, frame and all, that must be refused: the status that says why.
pub(crate) fn call(address: &str, service: &str, encoding: &str, body: &[u8]) -> tonic::Status {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    let request =
        http::Request::post(format!("http://{address}/opentelemetry.proto.collector.{service}/Export"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-encoding", encoding)
            .body(tonic::body::Body::new(http_body_util::Full::new(Bytes::copy_from_slice(body))))
            .expect("a request");
    runtime.block_on(async {
        let endpoint = Channel::from_shared(format!("http://{address}")).expect("an address");
        let mut channel = endpoint.connect().await.expect("the agent listens");
        std::future::poll_fn(|cx| channel.poll_ready(cx)).await.expect("the connection stands");
        let reply = channel.call(request).await.expect("an answer");
        tonic::Status::from_header_map(reply.headers()).expect("a refusal has its status in the headers")
    })
}

/// Messages as they are.
struct Opaque;

impl Codec for Opaque {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Opaque {
    type Item = Bytes;
    type Error = tonic::Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), tonic::Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Opaque {
    type Item = Bytes;
    type Error = tonic::Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, tonic::Status> {
        let length = buffer.remaining();
        Ok(Some(buffer.copy_to_bytes(length)))
    }
}
