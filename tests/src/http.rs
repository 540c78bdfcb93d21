//! HTTP/1.1 over a plain socket: nothing corrects what a test sends.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use serde_json::Value as Json;

/// What a server answered.
#[derive(Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, without its transfer encoding.
    pub body: Vec<u8>,
}

impl Reply {
    /// A header's value, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }
}

/// An address of the loopback interface that nobody listens on, for an agent that comes and goes there. It lies below the ports
/// that the kernel gives to connections and to `:0`, so that no other test is given it meanwhile.
pub fn free_address() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = std::process::id() as u16 % 10_000;
    for _ in 0..10_000 {
        let port = 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return format!("127.0.0.1:{port}");
        }
    }
    panic!("the loopback interface has no free port");
}

/// `GET path`.
pub fn get(address: &str, path: &str) -> Reply {
    get_with(address, path, &[])
}

/// `GET path` with headers.
pub fn get_with(address: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
    request(address, "GET", path, headers, b"").expect("the server answers")
}

/// `POST path` with headers and a body.
pub fn post(address: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    request(address, "POST", path, headers, body).expect("the server answers")
}

/// One request on a connection of its own.
///
/// # Errors
///
/// The connection cannot be made or breaks before a whole reply has come.
pub fn request(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Reply> {
    let mut stream = connect(address)?;
    stream.write_all(&head(address, method, path, headers, body.len()))?;
    // A server may answer, and hang up, before it has read all; then the reply counts, not the broken pipe.
    let sent = stream.write_all(body);
    reply(&mut stream).or_else(|error| sent.and(Err(error)))
}

/// A connection on which nothing waits for ever.
///
/// # Errors
///
/// The connection cannot be made.
pub fn connect(address: &str) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The head of a request, for those who send the body their own way.
pub fn head(address: &str, method: &str, path: &str, headers: &[(&str, &str)], length: usize) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {length}\r\n\r\n"));
    head.into_bytes()
}

/// Reads a reply up to the end of the connection.
///
/// # Errors
///
/// The connection breaks, or what comes is no HTTP.
pub fn reply(stream: &mut TcpStream) -> std::io::Result<Reply> {
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    let whole = parse(&bytes);
    // A reset after the reply is how a server hangs up on a client that still sends.
    whole.ok_or_else(|| read.err().unwrap_or_else(|| std::io::ErrorKind::UnexpectedEof.into()))
}

fn parse(bytes: &[u8]) -> Option<Reply> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let header = |line: &str| line.split_once(':').map(|(k, v)| (k.to_lowercase(), v.trim().to_owned()));
    let headers: Vec<_> = lines.filter_map(header).collect();
    let mut reply = Reply { status, headers, body: bytes[end + 4..].to_vec() };
    if reply.header("transfer-encoding") == "chunked" {
        reply.body = unchunk(&reply.body)?;
    }
    Some(reply)
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).ok()?, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(line + 2..line + 2 + size)?);
        rest = rest.get(line + 4 + size..)?;
    }
}

/// A connection that is kept for many requests, one after the other.
#[derive(Debug)]
pub struct KeptAlive {
    stream: std::io::BufReader<TcpStream>,
    address: String,
}

impl KeptAlive {
    /// Connects.
    pub fn open(address: &str) -> Self {
        let stream = connect(address).expect("the server listens");
        Self { stream: std::io::BufReader::new(stream), address: address.to_owned() }
    }

    /// Posts, and gives the status of the answer.
    pub fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> u16 {
        let head =
            String::from_utf8(head(&self.address, "POST", path, headers, body.len())).expect("it is text");
        let head = head.replace("connection: close\r\n", "");
        self.stream.get_mut().write_all(&[head.as_bytes(), body].concat()).expect("it is taken");
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            let read = std::io::BufRead::read_line(&mut self.stream, &mut line).expect("the server answers");
            assert!(read > 0, "the connection ended");
            if status == 0 {
                status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().expect("a length");
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("the body comes");
        status
    }
}
