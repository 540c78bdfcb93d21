//! Listeners: shared by path, taken over on reload, closed with their last route, not held by silent peers.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use throughline_component::port::SystemClock;
use throughline_component::{ComponentId, Warnings};
use throughline_net::{Body, Handler, Listeners, Reply, Request, Resources, Route, ServerSettings, Serving};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Says(&'static str);

impl Handler for Says {
    fn call(&self, _: Request) -> Pin<Box<dyn Future<Output = Reply> + Send + '_>> {
        Box::pin(async { http::Response::new(Body::new(Bytes::from_static(self.0.as_bytes()))) })
    }
}

fn listeners() -> Arc<Listeners> {
    let warnings = Arc::new(Warnings::new(Arc::new(SystemClock::default())));
    Arc::new(Listeners::new(Resources::unbounded(Arc::default(), warnings)))
}

async fn open(
    listeners: &Arc<Listeners>,
    settings: &ServerSettings,
    owner: &str,
    path: &str,
    says: &'static str,
) -> Result<Serving, String> {
    let routes = vec![Route { path: path.to_owned(), handler: Arc::new(Says(says)) }];
    let opened = listeners.open(settings, None, &ComponentId::new(owner), routes).await;
    opened.map_err(|error| error.to_string())
}

/// A free address. Another process could take it before we do; the kernel rarely gives one out twice in a row.
fn settings() -> ServerSettings {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    ServerSettings::on(&free.local_addr().expect("bound").to_string())
}

#[tokio::test]
async fn an_address_without_a_host_is_every_interface() {
    let listeners = listeners();
    let serving = open(&listeners, &ServerSettings::on(":0"), "a", "/", "hello").await.expect("a port");
    let port = serving.address().port();
    let answer = get(SocketAddr::from(([127, 0, 0, 1], port)), "/").await.expect("an answer");
    assert!(answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn with_port_0_the_address_stays_as_long_as_one_of_its_routes_does() {
    let listeners = listeners();
    let routes = |paths: &[&str]| -> Vec<Route> {
        let route = |path: &&str| Route { path: (*path).to_owned(), handler: Arc::new(Says("")) };
        paths.iter().map(route).collect()
    };
    let (settings, owner) = (ServerSettings::on("127.0.0.1:0"), ComponentId::new("otlp"));
    let open = async |listeners: &Listeners, paths: &[&str]| {
        listeners.open(&settings, None, &owner, routes(paths)).await.expect("a port")
    };
    let first = open(&listeners, &["/traces", "/logs"]).await;
    let other = open(&listeners, &["/grpc"]).await;
    assert_ne!(first.address(), other.address(), "two servers of one receiver");
    let next = listeners.next();
    let second = open(&next, &["/logs"]).await;
    next.commit().await.expect("nothing to bind");
    assert_eq!(second.address(), first.address(), "its first route went");
    drop(first);
    let next = next.next();
    let third = open(&next, &["/metrics", "/traces", "/logs"]).await;
    next.commit().await.expect("nothing to bind");
    assert_eq!(third.address(), second.address(), "others came");
}

async fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn components_share_an_address_by_path_and_others_are_told_what_is_there() {
    let (listeners, settings) = (listeners(), settings());
    let one = open(&listeners, &settings, "otlp", "/one", "first").await.expect("free");
    let two = open(&listeners, &settings, "github", "/two", "second").await.expect("shared");
    assert_eq!(one.address(), two.address());
    assert!(get(one.address(), "/one").await.expect("served").ends_with("first"));
    assert!(get(one.address(), "/two").await.expect("served").ends_with("second"));
    let nowhere = get(one.address(), "/three").await.expect("served");
    assert!(nowhere.starts_with("HTTP/1.1 404") && nowhere.contains("/one, /two"), "{nowhere}");
}

#[tokio::test]
async fn a_path_has_one_owner_and_an_address_one_way_of_serving() {
    let (listeners, settings) = (listeners(), settings());
    let _one = open(&listeners, &settings, "otlp", "/x", "").await.expect("free");
    let taken = open(&listeners, &settings, "github", "/x", "").await.expect_err("taken");
    assert!(taken.contains("otlp") && taken.contains("/x"), "{taken}");
    let other = ServerSettings { max_concurrent_streams: 1, ..settings };
    let differs = open(&listeners, &other, "github", "/y", "").await.expect_err("differs");
    assert!(differs.contains("settings differ"), "{differs}");
}

#[tokio::test]
async fn a_successor_takes_over_and_the_last_one_closes_the_address() {
    let (listeners, settings) = (listeners(), settings());
    let old = open(&listeners, &settings, "otlp", "/x", "old").await.expect("free");
    let new = open(&listeners, &settings, "otlp", "/x", "new").await.expect("its own");
    let address = new.address();
    drop(old);
    assert!(get(address, "/x").await.expect("served").ends_with("new"));
    drop(new);
    // The accepting task hears of it in its own time.
    for _ in 0..1000 {
        if TcpStream::connect(address).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it is still listened on");
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_let_go() {
    let patience = throughline_config::Duration::from_millis(50);
    let settings = ServerSettings { read_header_timeout: patience, ..settings() };
    let listeners = listeners();
    let serving = open(&listeners, &settings, "otlp", "/x", "here").await.expect("free");
    let mut silent = TcpStream::connect(serving.address()).await.expect("accepted");
    let mut half = TcpStream::connect(serving.address()).await.expect("accepted");
    half.write_all(b"GET /x HT").await.expect("taken");
    let mut preface = TcpStream::connect(serving.address()).await.expect("accepted");
    preface.write_all(b"PRI * HTTP/2.0\r\n\r\nSM").await.expect("taken");
    let mut rest = Vec::new();
    for (who, stream) in [("silent", &mut silent), ("half", &mut half), ("half a preface", &mut preface)] {
        let closed = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "{who} still holds its slot");
    }
    assert!(get(serving.address(), "/x").await.expect("served").ends_with("here"));
}
