//! Load: a sink that accepts, and clients that keep a number of requests in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tonic::Status;

use crate::codec::{self, Service, Unary};

/// Accepts everything, and counts; or never answers.
#[derive(Clone, Debug, Default)]
pub struct Sink {
    /// Bytes that arrived.
    pub bytes: Arc<AtomicU64>,
    /// Whether it holds its answers back.
    pub silent: Arc<AtomicBool>,
}

impl Unary for Sink {
    async fn call(&self, message: Bytes) -> Result<Bytes, Status> {
        self.bytes.fetch_add(message.len() as u64, Ordering::Relaxed);
        if self.silent.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        Ok(Bytes::new())
    }
}

impl Sink {
    /// Serves on a free port of the loopback interface; gives its address.
    ///
    /// # Errors
    /// There is no port.
    pub async fn serve(&self) -> std::io::Result<String> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
        let router = codec::server().add_service(Service(self.clone()));
        tokio::spawn(router.serve_with_incoming(incoming));
        Ok(address)
    }
}

/// What a run of load saw.
#[derive(Clone, Debug, Default)]
pub struct LoadResult {
    /// Requests that succeeded.
    pub done: u64,
    /// Requests that did not.
    pub failed: u64,
    /// How long the run took.
    pub took: Duration,
    /// How long each request took, sorted.
    pub latencies: Vec<Duration>,
}

impl LoadResult {
    /// The latency that this share of requests did not exceed.
    pub fn quantile(&self, share: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get((last as f64 * share) as usize).copied().unwrap_or_default()
    }
}

/// How a request is sent.
pub trait Send: Clone + std::marker::Send + 'static {
    /// Sends one request; says whether it was accepted.
    fn send(&self, request: Bytes) -> impl Future<Output = bool> + std::marker::Send;
}

/// Over gRPC.
#[derive(Clone, Debug)]
pub struct Grpc(pub tonic::transport::Channel);

impl Send for Grpc {
    async fn send(&self, request: Bytes) -> bool {
        codec::send(self.0.clone(), request).await.is_ok()
    }
}

type HttpClient = hyper_util::client::legacy::Client<
    hyper_util::client::legacy::connect::HttpConnector,
    http_body_util::Full<Bytes>,
>;

/// Over HTTP/1.1.
#[derive(Clone, Debug)]
pub struct Http {
    client: HttpClient,
    uri: http::Uri,
}

impl Http {
    /// Posts to `http://{address}/v1/traces`.
    ///
    /// # Panics
    /// If `address` is no address.
    pub fn new(address: &str) -> Self {
        let client =
            hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
        Self { client, uri: format!("http://{address}/v1/traces").parse().expect("an address") }
    }
}

impl Send for Http {
    async fn send(&self, request: Bytes) -> bool {
        let request = http::Request::post(self.uri.clone())
            .header("content-type", "application/x-protobuf")
            .body(http_body_util::Full::new(request));
        let Ok(request) = request else { return false };
        match self.client.request(request).await {
            Ok(answer) => {
                let good = answer.status().is_success();
                good && http_body_util::BodyExt::collect(answer.into_body()).await.is_ok()
            }
            Err(_) => false,
        }
    }
}

/// Sends the corpus over and over for `span` of time, `in_flight` requests at once.
pub async fn run(via: impl Send, corpus: &[Bytes], in_flight: usize, span: Duration) -> LoadResult {
    #[expect(clippy::disallowed_methods, reason = "a measuring program")]
    let start = Instant::now();
    let corpus: Arc<[Bytes]> = corpus.into();
    let workers: Vec<_> = (0..in_flight)
        .map(|worker| {
            let (via, corpus) = (via.clone(), Arc::clone(&corpus));
            tokio::spawn(async move {
                let mut seen = LoadResult::default();
                let mut next = worker;
                while start.elapsed() < span {
                    let before = start.elapsed();
                    if via.send(corpus[next % corpus.len()].clone()).await {
                        seen.done += 1;
                        seen.latencies.push(start.elapsed().saturating_sub(before));
                    } else {
                        seen.failed += 1;
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    next += 1;
                }
                seen
            })
        })
        .collect();
    let mut all = LoadResult::default();
    for worker in workers {
        if let Ok(seen) = worker.await {
            all.done += seen.done;
            all.failed += seen.failed;
            all.latencies.extend(seen.latencies);
        }
    }
    all.took = start.elapsed();
    all.latencies.sort_unstable();
    all
}

/// Sends so many requests a second, each at its time whether earlier ones are answered or not; a latency counts from the
/// time a request was due, so that who stalls is not spared what waits behind it.
pub async fn paced(address: &str, corpus: &[Bytes], per_second: f64, span: Duration) -> LoadResult {
    let via = Grpc(codec::channel(address));
    drop(run(via.clone(), &corpus[..1], 1, span / 10).await);
    let start = tokio::time::Instant::now();
    let requests: Vec<_> = (0..(span.as_secs_f64() * per_second) as usize)
        .map(|index| {
            let due = start + Duration::from_secs_f64(index as f64 / per_second);
            let (via, request) = (via.clone(), corpus[index % corpus.len()].clone());
            tokio::spawn(async move {
                tokio::time::sleep_until(due).await;
                via.send(request).await.then(|| due.elapsed())
            })
        })
        .collect();
    let mut seen = LoadResult { took: span, ..LoadResult::default() };
    for request in requests {
        match request.await {
            Ok(Some(latency)) => seen.latencies.push(latency),
            _ => seen.failed += 1,
        }
    }
    seen.done = seen.latencies.len() as u64;
    seen.latencies.sort_unstable();
    seen
}

/// Offers so many requests a second over eight connections, whether they are answered or not; each is given up after a
/// second.
pub async fn offer(address: &str, corpus: &[Bytes], per_second: f64, span: Duration) {
    #[expect(clippy::disallowed_methods, reason = "a measuring program")]
    let start = Instant::now();
    let channels: Vec<_> = (0..8).map(|_| codec::channel(address)).collect();
    let mut sent = 0_usize;
    while start.elapsed() < span {
        let due = (start.elapsed().as_secs_f64() * per_second) as usize;
        for index in sent..due {
            let (channel, request) =
                (channels[index % channels.len()].clone(), corpus[index % corpus.len()].clone());
            tokio::spawn(tokio::time::timeout(Duration::from_secs(1), codec::send(channel, request)));
        }
        sent = due;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// An HTTP/1.1 server that reads everything and answers 200; its address.
///
/// # Errors
/// There is no port.
pub async fn http_sink() -> std::io::Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(stream.set_nodelay(true));
            tokio::spawn(async move {
                let service =
                    hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| async {
                        let mut body = request.into_body();
                        while let Some(frame) = http_body_util::BodyExt::frame(&mut body).await {
                            drop(frame?);
                        }
                        Ok::<_, hyper::Error>(http::Response::new(http_body_util::Empty::<Bytes>::new()))
                    });
                let io = hyper_util::rt::TokioIo::new(stream);
                drop(hyper::server::conn::http1::Builder::new().serve_connection(io, service).await);
            });
        }
    });
    Ok(address)
}
