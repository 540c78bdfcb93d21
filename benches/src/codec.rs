//! Opaque bytes as gRPC messages: what the forwarder and the load speak.

use bytes::{Buf, BufMut, Bytes};
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Passes messages on undecoded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Opaque;

impl Codec for Opaque {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Opaque {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

impl Decoder for Opaque {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

/// The path of OTLP's trace service.
pub const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// OTLP's log method.
pub const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

/// HTTP/2 settings of forwarder, load and sink: as the issue fixes them.
pub const STREAM_WINDOW: u32 = 4 << 20;
/// The connection's window.
pub const CONNECTION_WINDOW: u32 = 8 << 20;
/// The largest frame.
pub const FRAME: u32 = 1 << 20;
/// The largest message.
pub const MESSAGE: usize = 64 << 20;

/// A gRPC service of one unary method on bytes.
pub trait Unary: Clone + Send + Sync + 'static {
    /// Answers one message.
    fn call(&self, message: Bytes) -> impl Future<Output = Result<Bytes, Status>> + Send;
}

/// Serves `unary` as OTLP's trace service.
#[derive(Clone, Debug)]
pub struct Service<U>(pub U);

impl<U> tonic::server::NamedService for Service<U> {
    const NAME: &'static str = "opentelemetry.proto.collector.trace.v1.TraceService";
}

type Reply = std::pin::Pin<
    Box<dyn Future<Output = Result<http::Response<tonic::body::Body>, std::convert::Infallible>> + Send>,
>;

impl<U: Unary> tower_service::Service<http::Request<tonic::body::Body>> for Service<U> {
    type Response = http::Response<tonic::body::Body>;
    type Error = std::convert::Infallible;
    type Future = Reply;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Reply {
        let method = Method(self.0.clone());
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(Opaque).max_decoding_message_size(MESSAGE);
            Ok(grpc.unary(method, request).await)
        })
    }
}

struct Method<U>(U);

impl<U: Unary> tonic::server::UnaryService<Bytes> for Method<U> {
    type Response = Bytes;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<tonic::Response<Bytes>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let unary = self.0.clone();
        Box::pin(async move { unary.call(request.into_inner()).await.map(tonic::Response::new) })
    }
}

/// A server with the fixed settings.
pub fn server() -> tonic::transport::Server {
    tonic::transport::Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .tcp_nodelay(true)
}

/// A connection with the fixed settings, made on first use.
///
/// # Panics
/// If `address` is no address.
pub fn channel(address: &str) -> tonic::transport::Channel {
    tonic::transport::Endpoint::from_shared(format!("http://{address}"))
        .expect("an address")
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .tcp_nodelay(true)
        .connect_lazy()
}

/// Sends one request of spans over a channel.
///
/// # Errors
/// What the server answered.
pub async fn send(channel: tonic::transport::Channel, message: Bytes) -> Result<Bytes, Status> {
    unary(channel, TRACES, message).await
}

/// Sends one request of log records over a channel.
///
/// # Errors
/// What the server answered.
pub async fn send_logs(channel: tonic::transport::Channel, message: Bytes) -> Result<Bytes, Status> {
    unary(channel, LOGS, message).await
}

async fn unary(
    channel: tonic::transport::Channel,
    path: &'static str,
    message: Bytes,
) -> Result<Bytes, Status> {
    let mut grpc = tonic::client::Grpc::new(channel).max_decoding_message_size(MESSAGE);
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = http::uri::PathAndQuery::from_static(path);
    Ok(grpc.unary(tonic::Request::new(message), path, Opaque).await?.into_inner())
}
