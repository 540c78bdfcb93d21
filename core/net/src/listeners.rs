//! Listeners outlive the components behind them: a reload swaps routes, never the socket.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use throughline_component::{ComponentId, Fatal, Meter, Stop, Stopper};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::grpc::{Code, Status, is_grpc};
use crate::protocol::{Protocol, detect};
use crate::refusals::Refusals;
use crate::{Authenticator, Body, Limits, Request, ServerSettings};

/// A reply with its body in full.
pub type Reply = http::Response<Body>;

/// HTTP/2 flow control: a request may come whole before its sender hears from us. What a busy agent has not read yet waits in
/// memory that no budget knows of, up to this much a connection; so a connection may send no more than one of its streams.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 2 << 20;
/// One frame for most requests, so that their bytes arrive in one piece.
const FRAME: u32 = 1 << 20;
/// Connections one listener serves at a time; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 4096;
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Answers the requests of one route.
pub trait Handler: Send + Sync {
    /// Answers one request.
    fn call(&self, request: Request) -> Pin<Box<dyn Future<Output = Reply> + Send + '_>>;
}

/// A path and who answers there.
#[derive(Clone)]
pub struct Route {
    /// The exact path, `/v1/traces`.
    pub path: String,
    /// Who answers.
    pub handler: Arc<dyn Handler>,
}

/// All listeners of the process, by address. A service of the graph: components find it in `Build`.
#[derive(Default)]
pub struct Listeners {
    open: Mutex<HashMap<String, Arc<Listener>>>,
    meter: Arc<Meter>,
}

struct Listener {
    address: SocketAddr,
    /// On the account of who opened it: of some requests nobody knows whom they were meant for.
    refusals: Refusals,
    serving: RwLock<Arc<Table>>,
    stopper: Stopper,
}

/// What a listener serves now. Replaced as a whole, read once per request.
struct Table {
    settings: ServerSettings,
    tls: Option<TlsAcceptor>,
    auth: Option<Arc<dyn Authenticator>>,
    limits: Limits,
    routes: HashMap<String, (ComponentId, u64, Arc<dyn Handler>)>,
}

/// Routes in service. Dropping it takes them out again, unless a successor has taken them over; the listener closes
/// with its last route.
pub struct Serving {
    listeners: Arc<Listeners>,
    key: String,
    token: u64,
    address: SocketAddr,
}

impl Listeners {
    /// None yet. What they refuse is counted in `meter`.
    pub fn new(meter: Arc<Meter>) -> Self {
        Self { open: Mutex::default(), meter }
    }

    /// Puts `routes` of component `owner` into service on `settings.endpoint`, and opens the listener unless it is
    /// open already. Several components share an address if their server settings are equal and their paths differ;
    /// a component that opens a path it already owns takes it over from its former self.
    ///
    /// # Errors
    /// The address cannot be had, the settings differ from a sharer's, or a path is taken.
    pub async fn open(
        self: &Arc<Self>,
        settings: &ServerSettings,
        auth: Option<Arc<dyn Authenticator>>,
        owner: &ComponentId,
        routes: Vec<Route>,
    ) -> Result<Serving, Fatal> {
        let key = key(settings, owner, &routes);
        let token = next_token();
        let tls = match settings.tls.as_ref() {
            Some(tls) => {
                Some(tls.config().map_err(|error| Fatal(format!("{}: {error}", settings.endpoint)))?)
            }
            None => None,
        };
        let mut table = Table {
            limits: settings.limits(),
            settings: settings.clone(),
            tls: tls.map(TlsAcceptor::from),
            auth,
            routes: HashMap::new(),
        };
        let existing = self.lock().get(&key).cloned();
        let listener = match existing {
            Some(listener) => listener,
            None => {
                let socket = bind(&settings.endpoint)
                    .await
                    .map_err(|error| Fatal(format!("cannot listen on {}: {error}", settings.endpoint)))?;
                let address = socket.local_addr().map_err(|error| Fatal(error.to_string()))?;
                let (stopper, stop) = Stopper::new();
                table.routes.clear();
                let empty = Arc::new(Table { routes: HashMap::new(), ..table.share() });
                let listener = Arc::new(Listener {
                    address,
                    refusals: Refusals::new(&self.meter, owner),
                    serving: RwLock::new(empty),
                    stopper,
                });
                tokio::spawn(accept(socket, Arc::clone(&listener), stop));
                self.lock().insert(key.clone(), Arc::clone(&listener));
                let path = routes.first().map_or("", |route| &route.path);
                tracing::info!(component = %owner, address = %address, path, "listening");
                listener
            }
        };
        listener.add(table, owner, token, routes)?;
        Ok(Serving { listeners: Arc::clone(self), key, token, address: listener.address })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Listener>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Listeners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.lock().keys()).finish()
    }
}

/// Listeners are told apart by their address; with port 0 every owner and path has one of its own.
fn key(settings: &ServerSettings, owner: &ComponentId, routes: &[Route]) -> String {
    let path = routes.first().map_or("", |route| &route.path);
    match settings.endpoint.rsplit_once(':') {
        Some((_, "0")) => format!("{} {owner} {path}", settings.endpoint),
        _ => settings.endpoint.clone(),
    }
}

/// Binds the address; one without a host is every interface, of both families where the machine has both.
async fn bind(endpoint: &str) -> std::io::Result<TcpListener> {
    match endpoint.strip_prefix(':') {
        None => TcpListener::bind(endpoint).await,
        Some(port) => match TcpListener::bind(format!("[::]:{port}")).await {
            Err(_) => TcpListener::bind(format!("0.0.0.0:{port}")).await,
            bound => bound,
        },
    }
}

fn next_token() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

impl Table {
    fn share(&self) -> Self {
        Self {
            settings: self.settings.clone(),
            tls: self.tls.clone(),
            auth: self.auth.clone(),
            limits: self.limits,
            routes: self.routes.clone(),
        }
    }
}

impl Listener {
    fn table(&self) -> Arc<Table> {
        Arc::clone(&self.serving.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, new: Table, owner: &ComponentId, token: u64, routes: Vec<Route>) -> Result<(), Fatal> {
        let mut slot = self.serving.write().unwrap_or_else(PoisonError::into_inner);
        let foreign = slot.routes.values().any(|(other, ..)| other != owner);
        if foreign && new.settings != slot.settings {
            let endpoint = &new.settings.endpoint;
            return Err(Fatal(format!(
                "{owner} shares {endpoint} with another receiver, but their server settings differ"
            )));
        }
        let mut table = Table { routes: slot.routes.clone(), ..new };
        for Route { path, handler } in routes {
            if let Some((other, ..)) = table.routes.get(&path).filter(|(other, ..)| other != owner) {
                return Err(Fatal(format!(
                    "{owner} and {other} both want {path} on {}",
                    table.settings.endpoint
                )));
            }
            table.routes.insert(path, (owner.clone(), token, handler));
        }
        *slot = Arc::new(table);
        Ok(())
    }

    /// Takes out the routes of `token`; says whether any are left.
    fn remove(&self, token: u64) -> bool {
        let mut slot = self.serving.write().unwrap_or_else(PoisonError::into_inner);
        let mut table = slot.share();
        table.routes.retain(|_, (_, owner, _)| *owner != token);
        let left = !table.routes.is_empty();
        *slot = Arc::new(table);
        left
    }
}

impl Serving {
    /// The address that is really listened on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let mut open = self.listeners.lock();
        let Some(listener) = open.get(&self.key) else { return };
        if !listener.remove(self.token) {
            listener.stopper.stop();
            open.remove(&self.key);
        }
    }
}

impl std::fmt::Debug for Serving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Serving({})", self.address)
    }
}

async fn accept(socket: TcpListener, listener: Arc<Listener>, mut stop: Stop) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = stop.stopped() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (listener, stop) = (Arc::clone(&listener), stop.clone());
                tokio::spawn(async move {
                    connection(stream, peer, listener, stop).await;
                    drop(slot);
                });
            }
            Err(error) => {
                // Out of descriptors, mostly: wait for some to come free rather than spin.
                tracing::warn!(%error, address = %listener.address, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Why a connection was ended that said too little for too long, in self-telemetry.
const SLOW: &str = "slow_connection";

/// Serves one connection.
async fn connection(stream: TcpStream, peer: SocketAddr, listener: Arc<Listener>, stop: Stop) {
    // Small replies must not wait for the client's delayed acknowledgement.
    drop(stream.set_nodelay(true));
    let table = listener.table();
    match &table.tls {
        None => serve(stream, peer, listener, &table.settings, stop).await,
        Some(acceptor) => match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => serve(stream, peer, listener, &table.settings, stop).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
        },
    }
}

/// Finds out which HTTP the peer speaks, and serves it. A peer that does not say so must not hold its slot for longer than
/// headers may take.
async fn serve<S>(
    stream: S,
    peer: SocketAddr,
    listener: Arc<Listener>,
    settings: &ServerSettings,
    mut stop: Stop,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let header_timeout = Some(settings.read_header_timeout.get()).filter(|timeout| !timeout.is_zero());
    let patience = header_timeout.unwrap_or(Duration::MAX);
    let detected = tokio::select! {
        detected = tokio::time::timeout(patience, detect(stream)) => detected,
        () = stop.stopped() => return,
    };
    let Ok(Ok((protocol, stream))) = detected else {
        listener.refusals.count(SLOW);
        return tracing::debug!(%peer, "a connection said too little for too long");
    };
    let builder = auto::Builder::new(TokioExecutor::new());
    let mut builder = match protocol {
        Protocol::Http1 => builder.http1_only(),
        Protocol::Http2 => builder.http2_only(),
    };
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .max_header_list_size(64 << 10)
        .max_concurrent_streams(settings.max_concurrent_streams)
        // A peer that is gone without a word is found out within a minute.
        .keep_alive_interval(Some(Duration::from_secs(40)))
        .keep_alive_timeout(Duration::from_secs(20));
    let refusals = listener.refusals.clone();
    let service = service_fn(move |request| answer(Arc::clone(&listener), peer, request));
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop.stopped() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        if error.downcast_ref().is_some_and(hyper::Error::is_timeout) {
            refusals.count(SLOW);
        }
        tracing::debug!(%peer, %error, "connection ended");
    }
}

async fn answer(
    listener: Arc<Listener>,
    peer: SocketAddr,
    request: http::Request<Incoming>,
) -> Result<Reply, std::convert::Infallible> {
    let table = listener.table();
    let Some((owner, _, handler)) = table.routes.get(request.uri().path()) else {
        let mut paths: Vec<_> = table.routes.keys().map(String::as_str).collect();
        paths.sort_unstable();
        let why = format!("nothing is here; try {}", paths.join(", "));
        listener.refusals.count("no_such_path");
        return Ok(refusal(request.headers(), StatusCode::NOT_FOUND, &Status::new(Code::Unimplemented, why)));
    };
    let auth = match &table.auth {
        None => None,
        Some(authenticator) => match authenticator.check(request.headers()) {
            Ok(auth) => Some(auth),
            Err(why) => {
                listener.refusals.count("unauthenticated");
                let status = Status::new(Code::Unauthenticated, why.0);
                let mut reply = refusal(request.headers(), StatusCode::UNAUTHORIZED, &status);
                let challenge = HeaderValue::from_static(authenticator.challenge());
                reply.headers_mut().insert(http::header::WWW_AUTHENTICATE, challenge);
                return Ok(reply);
            }
        },
    };
    let refusals = listener.refusals.of(owner);
    let request = Request::new(request, peer, auth, table.limits, table.settings.include_metadata, refusals);
    Ok(handler.call(request).await)
}

/// A refusal in the words of whoever asked: gRPC's trailers, OTLP/HTTP's `Status` body in the request's encoding, or text.
fn refusal(headers: &HeaderMap, http: StatusCode, status: &Status) -> Reply {
    if is_grpc(headers) {
        return status.clone().into_reply();
    }
    let asked = headers.get(http::header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let (kind, body) = match asked.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii() {
        b"application/json" => ("application/json", status.to_json().into_bytes()),
        b"application/x-protobuf" => ("application/x-protobuf", status.encode()),
        _ => ("text/plain; charset=utf-8", format!("{}\n", status.message).into_bytes()),
    };
    let mut reply = http::Response::new(Body::new(bytes::Bytes::from(body)));
    *reply.status_mut() = http;
    reply.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static(kind));
    reply
}
