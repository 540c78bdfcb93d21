//! From an address to a connection: by a proxy, if one is in between, and to each of a name's addresses in resolver.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use throughline_component::ConfigError;
use tokio::net::TcpStream;
use tower_service::Service;

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, or HTTP/2 if TLS settles on it.
    Http,
    /// HTTP/2 from the first byte, as gRPC does.
    Http2,
}

/// To how many of a name's addresses requests are spread.
pub(crate) const MOST_ADDRESSES: usize = 16;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Opens connections, with TLS still to come.
#[derive(Clone)]
pub(crate) struct Connector {
    tcp: HttpConnector<RoundRobinResolver>,
    proxies: Arc<Proxies>,
    protocol: Protocol,
}

impl Connector {
    pub(crate) fn new(resolver: RoundRobinResolver, proxies: Arc<Proxies>, protocol: Protocol) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(resolver);
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(Duration::from_secs(10)));
        tcp.set_keepalive(Some(Duration::from_secs(30)));
        Self { tcp, proxies, protocol }
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = Failure;
    type Future = Boxed<Result<Stream, Failure>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        // A service that was polled ready is used, and a copy left in its place.
        let tcp = self.tcp.clone();
        let mut tcp = std::mem::replace(&mut self.tcp, tcp);
        let Some(proxy) = self.proxies.between(&to) else {
            return Box::pin(async move { Ok(Stream { tcp: tcp.call(to).await?, proxied: false }) });
        };
        if self.protocol == Protocol::Http && to.scheme_str() == Some("http") {
            // Asked for the whole address, the proxy sends the request itself.
            let proxy = proxy.uri;
            return Box::pin(async move { Ok(Stream { tcp: tcp.call(proxy).await?, proxied: true }) });
        }
        let mut tunnel = Tunnel::new(proxy.uri, tcp);
        if let Some(auth) = proxy.auth {
            tunnel = tunnel.with_auth(auth);
        }
        Box::pin(async move { Ok(Stream { tcp: tunnel.call(with_port(to)).await?, proxied: false }) })
    }
}

/// A tunnel needs to be told the port.
fn with_port(to: Uri) -> Uri {
    if to.port().is_some() {
        return to;
    }
    let port = if to.scheme_str() == Some("http") { 80 } else { 443 };
    let authority = to.host().map(|host| format!("{host}:{port}"));
    let mut parts = to.clone().into_parts();
    parts.authority = authority.and_then(|authority| authority.parse().ok());
    Uri::from_parts(parts).unwrap_or(to)
}

/// Which proxy is between us and an address.
#[derive(Debug, Default)]
pub(crate) struct Proxies {
    /// What the settings say; everything goes through it.
    set: Option<Matcher>,
    /// What the environment says: `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`, in either case.
    environment: Option<Matcher>,
}

/// A proxy on the way.
pub(crate) struct Proxy {
    pub(crate) uri: Uri,
    pub(crate) auth: Option<http::HeaderValue>,
}

impl Proxies {
    /// `url`: the setting `proxy_url`; without one the environment is asked, as the Collector does.
    pub(crate) fn new(url: Option<&str>) -> Result<Self, ConfigError> {
        let Some(url) = url.filter(|url| !url.is_empty()) else {
            return Ok(Self { set: None, environment: Some(Matcher::from_env()) });
        };
        let parsed =
            url.parse::<Uri>().ok().filter(|uri| uri.scheme_str() == Some("http") && uri.host().is_some());
        if parsed.is_none() {
            let message = "expected the address of an HTTP proxy, such as `http://proxy:3128`";
            return Err(ConfigError::new("proxy_url", message));
        }
        Ok(Self { set: Some(Matcher::builder().all(url.to_owned()).build()), environment: None })
    }

    pub(crate) fn between(&self, to: &Uri) -> Option<Proxy> {
        let found = match (&self.set, &self.environment) {
            (Some(set), _) => set.intercept(to),
            (None, Some(environment)) if !is_here(to) => environment.intercept(to),
            _ => None,
        }?;
        Some(Proxy { uri: found.uri().clone(), auth: found.basic_auth().cloned() })
    }
}

/// Whether an address is on this machine: the environment's proxy is not for those.
fn is_here(to: &Uri) -> bool {
    let host = to.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Looks names up, and begins with another of their addresses for each client.
#[derive(Clone, Debug, Default)]
pub(crate) struct RoundRobinResolver {
    /// Which address to begin with; `None`: as the system has them.
    first: Option<usize>,
    found: Arc<AtomicUsize>,
}

impl RoundRobinResolver {
    /// One for each of the clients that share what was found.
    pub(crate) fn for_clients(clients: usize) -> Vec<Self> {
        let found = Arc::<AtomicUsize>::default();
        let resolver = |first| Self { first: Some(first).filter(|_| clients > 1), found: Arc::clone(&found) };
        (0..clients).map(resolver).collect()
    }

    /// How many addresses the name had when it was looked up last; 1 before that.
    pub(crate) fn addresses(&self) -> usize {
        self.found.load(Ordering::Relaxed).max(1)
    }
}

impl Service<Name> for RoundRobinResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Boxed<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolver = self.clone();
        Box::pin(async move {
            let looked_up = tokio::task::spawn_blocking(move || (name.as_str(), 0).to_socket_addrs());
            let mut addresses: Vec<_> = looked_up.await.map_err(io::Error::other)??.collect();
            if let (Some(first), Some(kind)) = (resolver.first, addresses.first().map(SocketAddr::is_ipv4)) {
                // Those of the other kind are mostly the same servers once more.
                addresses.sort_unstable_by_key(|address| (address.is_ipv4() != kind, *address));
                addresses.dedup();
                let same = addresses.partition_point(|address| address.is_ipv4() == kind);
                resolver.found.store(same, Ordering::Relaxed);
                addresses[..same].rotate_left(first % same.max(1));
            }
            Ok(addresses.into_iter())
        })
    }
}

/// A connection before TLS.
pub(crate) struct Stream {
    tcp: TokioIo<TcpStream>,
    proxied: bool,
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.tcp.connected().proxy(self.proxied)
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, into)
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_that_is_set_is_between_and_one_of_the_environment_not_to_this_machine() {
        let to = |text: &str| text.parse::<Uri>().expect("an address");
        let set = Proxies::new(Some("http://user:word@proxy:3128")).expect("an address");
        let proxy = set.between(&to("https://backend:4318")).expect("it is in between");
        assert_eq!(proxy.uri.authority().map(http::uri::Authority::as_str), Some("proxy:3128"));
        assert!(proxy.auth.is_some());
        assert!(set.between(&to("http://localhost:4318")).is_some(), "who sets it means it");
        for here in ["http://localhost:4318", "https://127.0.0.1:1", "http://[::1]:1"] {
            assert!(is_here(&to(here)), "{here}");
        }
        for bad in ["proxy:3128", "socks5://proxy:1", "http://"] {
            assert!(Proxies::new(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_tunnel_is_told_the_port() {
        assert_eq!(with_port(Uri::from_static("https://backend/x")).port_u16(), Some(443));
        assert_eq!(with_port(Uri::from_static("http://backend:4317/x")).port_u16(), Some(4317));
    }

    #[tokio::test]
    async fn each_client_begins_with_another_address() {
        let resolvers = RoundRobinResolver::for_clients(3);
        let mut firsts = Vec::new();
        for mut resolver in resolvers.clone() {
            let name = "localhost".parse().expect("a name");
            firsts.extend(resolver.call(name).await.expect("every machine has it").next());
        }
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts.len(), resolvers[0].addresses().min(3));
    }
}
