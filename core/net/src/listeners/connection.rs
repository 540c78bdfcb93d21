//! Accepting connections and answering their requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use throughline_component::Stop;
use throughline_component::port::Charge;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};

use super::socket::Socket;
use super::table::Table;
use super::{ASIDE, Listener, Reply};
use crate::grpc::{Code, Status, is_grpc};
use crate::keepalive::{Activity, after};
use crate::peer::Connection;
use crate::protocol::{Protocol, detect};
use crate::{Body, Request, ServerSettings};

/// How many streams one connection may have to health and self-telemetry.
const STREAMS_ASIDE: u32 = 16;
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Why a connection was ended that said too little for too long, in self-telemetry.
const SLOW: &str = "slow_connection";

/// Accepts connections until told to stop; then the socket is closed. The connections go on.
pub(super) async fn accept(socket: TcpListener, listener: Arc<Listener>, mut stop: Stop) {
    let most = listener.table().settings.max_connections.max(1) as usize;
    let most = if listener.is_aside { most.min(ASIDE / 2) } else { most };
    let slots = Arc::new(Semaphore::new(most));
    let both = || async {
        let own = Arc::clone(&slots).acquire_owned().await;
        (own, listener.descriptors().acquire_owned().await)
    };
    let crowd = Arc::new(Notify::new());
    // Health and self-telemetry: whoever comes is served at once, and where there is no place the connection that has been there for
    // longest goes. A probe says what it wants right away; those that say nothing are the oldest.
    let make_room = || async {
        if slots.available_permits() == 0 {
            crowd.notify_one();
        }
        both().await
    };
    loop {
        let slot = if listener.is_aside {
            None
        } else {
            tokio::select! {
                slot = both() => Some(slot),
                () = stop.stopped() => return,
            }
        };
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = stop.stopped() => return,
        };
        let slot = match slot {
            Some(slot) => slot,
            None => tokio::select! {
                slot = make_room() => slot,
                () = stop.stopped() => return,
            },
        };
        match accepted {
            Ok((stream, peer)) => {
                let listener = Arc::clone(&listener);
                let crowd = Arc::clone(&crowd);
                tokio::spawn(async move {
                    // In the order in which they came: the one that waits for longest hears of it first.
                    let crowded = async {
                        if listener.is_aside {
                            crowd.notified().await;
                        } else {
                            std::future::pending::<()>().await;
                        }
                    };
                    tokio::select! {
                        biased;
                        () = crowded => listener.refusals.count("crowded"),
                        () = connection(stream, peer, Arc::clone(&listener)) => {}
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                // Out of descriptors, mostly: wait for some to come free rather than spin.
                listener.refusals.accept_failed(&error);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// ServedRoutes one connection.
async fn connection(stream: TcpStream, peer: SocketAddr, listener: Arc<Listener>) {
    let costs = listener.process.peers.connection(peer.ip(), listener.process.budget.as_ref());
    let stream = Socket::new(stream, &costs);
    let table = listener.table();
    let (settings, superseded) = (&table.settings, table.superseded());
    let who = PeerContext { peer, costs, superseded };
    match &table.tls {
        // Apart, so that a connection that waits costs no more than what it waits for.
        None => Box::pin(serve(stream, listener, settings, who)).await,
        Some(acceptor) => match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => Box::pin(serve(Box::new(stream), listener, settings, who)).await,
            Ok(Err(error)) if speaks_plain_text(&error) => listener.refusals.plain_text(),
            Ok(Err(error)) => {
                listener.refusals.count("tls_handshake");
                listener.refusals.note("a TLS handshake failed", &error);
            }
            Err(_) => listener.refusals.count(SLOW),
        },
    }
}

/// Lets a peer that speaks TLS see that this is none: a connection that is just closed tells it nothing.
async fn answer_in_plain_text<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let said = async {
        stream.write_all(PLAIN).await?;
        stream.shutdown().await?;
        // What is left unread would reset the connection before the peer has read this.
        let mut rest = [0; 1024];
        while stream.read(&mut rest).await? > 0 {}
        std::io::Result::Ok(())
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), said).await;
}

/// Whether a TLS handshake failed since the peer does not speak TLS at all.
fn speaks_plain_text(error: &std::io::Error) -> bool {
    let error = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(error, Some(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)))
}

/// PeerContext is at the other end of a connection.
struct PeerContext {
    peer: SocketAddr,
    costs: Arc<Connection>,
    /// The settings under which the connection began are in force no more.
    superseded: Stop,
}

/// Finds out which HTTP the peer speaks, and serves it. A peer that does not say so must not hold its slot for longer than
/// headers may take.
async fn serve<S>(stream: S, listener: Arc<Listener>, settings: &ServerSettings, who: PeerContext)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let PeerContext { peer, costs, mut superseded } = who;
    let mut stop = listener.stop.clone();
    let header_timeout = Some(settings.read_header_timeout.get()).filter(|timeout| !timeout.is_zero());
    let patience = header_timeout.unwrap_or(Duration::MAX);
    let detected = tokio::select! {
        detected = tokio::time::timeout(patience, detect(stream)) => detected,
        () = stop.stopped() => return,
    };
    let (protocol, mut stream) = match detected {
        Ok(Ok(detected)) => detected,
        // A probe that connects and leaves: nothing was refused.
        Ok(Err(_)) => return,
        Err(_) => return listener.refusals.count(SLOW),
    };
    if stream.begins_like_tls() {
        listener.refusals.tls();
        return answer_in_plain_text(&mut stream).await;
    }
    let wanted =
        settings.max_concurrent_streams.min(if listener.is_aside { STREAMS_ASIDE } else { u32::MAX });
    let allowance = listener.process.pools.grant(wanted);
    let lives = &settings.keepalive.server_parameters;
    let builder = auto::Builder::new(TokioExecutor::new());
    let mut builder = match protocol {
        Protocol::Http1 => builder.http1_only(),
        Protocol::Http2 => builder.http2_only(),
    };
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(allowance.buffer())
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(allowance.window())
        .initial_connection_window_size(allowance.window())
        .max_frame_size(allowance.frame())
        .max_header_list_size(allowance.head())
        .max_concurrent_streams(allowance.streams())
        .max_local_error_reset_streams(allowance.errors())
        // A peer that is gone without a word is found out within a minute.
        .keep_alive_interval(Some(lives.time.get()).filter(|time| !time.is_zero()))
        .keep_alive_timeout(lives.timeout.get());
    builder.http1().keep_alive(settings.keep_alives_enabled);
    let activity = Arc::<Activity>::default();
    let refusals = listener.refusals.clone();
    let mut cut_short = listener.process.cut_short.1.clone();
    let of_requests = Arc::clone(&costs);
    let asked = Arc::clone(&activity);
    let service = service_fn(move |request| {
        let asking = asked.request();
        let answer = answer(Arc::clone(&listener), peer, Arc::clone(&of_requests), protocol, request);
        async move {
            let _asking = asking;
            answer.await
        }
    });
    let mut connection = Box::pin(builder.serve_connection(TokioIo::new(stream), service));
    let over = async {
        tokio::select! {
            () = stop.stopped() => {}
            () = superseded.stopped() => {}
            () = activity.idle_for(lives.max_connection_idle.get()) => {}
            () = activity.idle_for(settings.idle_timeout.get()) => {}
            () = after(lives.max_connection_age.get()) => return lives.max_connection_age_grace.get(),
        }
        Duration::ZERO
    };
    let served = async {
        let grace = tokio::select! {
            result = connection.as_mut() => return result,
            grace = over => grace,
        };
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            result = connection.as_mut() => result,
            () = after(grace) => Ok(()),
        }
    };
    let cut = async {
        cut_short.stopped().await;
        costs.cut_short();
        std::future::pending::<()>().await;
    };
    let result = tokio::select! {
        result = served => result,
        () = cut => return,
        () = costs.is_ignored(settings.min_transfer_rate.bytes()) => return refusals.count("replies_not_read"),
    };
    if let Err(error) = result {
        if error.downcast_ref().is_some_and(hyper::Error::is_timeout) {
            refusals.count(SLOW);
        }
        refusals.note("a connection ended with an error", &error);
    }
}

async fn answer(
    listener: Arc<Listener>,
    peer: SocketAddr,
    costs: Arc<Connection>,
    protocol: Protocol,
    request: http::Request<Incoming>,
) -> Result<Reply, std::convert::Infallible> {
    let asked = request.headers().get(header::CONTENT_TYPE).cloned();
    let reply = tokio::select! {
        biased;
        reply = charged(&listener, peer, &costs, request) => reply,
        () = costs.is_cut_short() => {
            let asked = asked.map(|kind| (header::CONTENT_TYPE, kind)).into_iter().collect();
            out_of_service(&listener, &asked, "the agent ends before it could deliver this; try again")
        }
    };
    if protocol == Protocol::Http1 {
        // Heads of replies without a body would pile up as long as there are more requests in one stream.
        costs.socket.takes().await;
    }
    let on_its_way = costs.replied(reply.body().costs());
    Ok(reply.map(|body| body.watched(on_its_way)))
}

async fn charged(
    listener: &Listener,
    peer: SocketAddr,
    costs: &Connection,
    request: http::Request<Incoming>,
) -> Reply {
    // Health and self-telemetry answer however full the budget is.
    let charge = if listener.is_aside { Some(Charge::none()) } else { costs.asked(request.headers()) };
    match charge {
        Some(charge) => reply(listener, peer, (costs, charge), request).await,
        None => no_room(listener, request.headers()),
    }
}

async fn reply(
    listener: &Listener,
    peer: SocketAddr,
    (costs, charge): (&Connection, Charge),
    request: http::Request<Incoming>,
) -> Reply {
    let table = listener.table();
    let cors = table.settings.cors.as_ref();
    if let Some(reply) = cors.and_then(|cors| cors.preflight(request.method(), request.headers())) {
        return reply;
    }
    let origin = cors.and_then(|_| request.headers().get(header::ORIGIN).cloned());
    let mut reply = routed(listener, &table, peer, (costs, charge), request).await;
    if let Some(cors) = cors {
        cors.allow(origin.as_ref(), &mut reply);
    }
    if !table.added.is_empty() {
        reply.headers_mut().extend(table.added.clone());
    }
    reply
}

async fn routed(
    listener: &Listener,
    table: &Table,
    peer: SocketAddr,
    (costs, charge): (&Connection, Charge),
    request: http::Request<Incoming>,
) -> Reply {
    let Some((owner, handler)) = table.find(request.uri().path()) else {
        return nobody(listener, &table.paths(), request.uri().path(), request.headers());
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
                reply.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
                return reply;
            }
        },
    };
    let books = (listener.refusals.of(owner), Arc::clone(costs.account()), charge);
    let request = Request::new(request, peer, auth, table.limits, table.settings.include_metadata, books);
    handler.call(request).await
}

/// The answer for a path that nobody serves. If somebody did, the sender must keep its data: the agent is stopping, or a reload
/// has taken the route away, and 404 is final in OTLP.
fn nobody(
    listener: &Listener,
    paths: &std::collections::BTreeSet<&str>,
    path: &str,
    headers: &HeaderMap,
) -> Reply {
    if listener.has_served(path) {
        return out_of_service(listener, headers, "this path is out of service now; try again");
    }
    let paths: Vec<&str> = paths.iter().copied().collect();
    let why = format!("nothing is here; try {}", paths.join(", "));
    listener.refusals.count("no_such_path");
    refusal(headers, StatusCode::NOT_FOUND, &Status::new(Code::Unimplemented, why))
}

fn out_of_service(listener: &Listener, headers: &HeaderMap, why: &str) -> Reply {
    listener.refusals.count("out_of_service");
    let status = Status::new(Code::Unavailable, why).retry_after(Some(Duration::from_secs(1)));
    let mut reply = refusal(headers, StatusCode::SERVICE_UNAVAILABLE, &status);
    reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    reply
}

fn no_room(listener: &Listener, headers: &HeaderMap) -> Reply {
    listener.refusals.count("over_budget");
    let status = Status::new(Code::Unavailable, "the agent holds as much data as its memory budget allows");
    refusal(headers, StatusCode::SERVICE_UNAVAILABLE, &status)
}

/// A refusal in the words of whoever asked: gRPC's trailers, OTLP/HTTP's `Status` body in the request's encoding, or text.
fn refusal(headers: &HeaderMap, http: StatusCode, status: &Status) -> Reply {
    if is_grpc(headers) {
        return status.clone().into_reply();
    }
    let asked = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let (kind, body) = match asked.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii() {
        b"application/json" => ("application/json", status.to_json().into_bytes()),
        b"application/x-protobuf" => ("application/x-protobuf", status.encode()),
        _ => ("text/plain; charset=utf-8", format!("{}\n", status.message).into_bytes()),
    };
    let mut reply = http::Response::new(Body::new(bytes::Bytes::from(body)));
    *reply.status_mut() = http;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    reply
}
