//! A backend that answers as a test tells it to: real ones cannot be made to refuse in every way.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// What the backend says to a request: a status and a text; nothing at all, for as long as the client waits.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A reply. Headers are whole lines.
    Reply(u16, Vec<String>, Vec<u8>),
    /// Silence.
    Never,
}

impl Answer {
    /// Success.
    pub fn ok() -> Self {
        Self::status(200, "")
    }

    /// A status with a text.
    pub fn status(code: u16, text: &str) -> Self {
        Self::Reply(code, Vec::new(), text.as_bytes().to_vec())
    }
}

type Script = dyn Fn(&[u8]) -> Answer + Send + Sync;

/// An HTTP/1.1 server on a free port of the loopback interface.
pub struct Backend {
    address: SocketAddr,
    accepted: Arc<Mutex<Vec<Vec<u8>>>>,
    attempts: Arc<Mutex<u64>>,
    connections: Arc<AtomicU64>,
}

impl Backend {
    /// Serves until the test ends; `script` is given each body.
    pub fn start(script: impl Fn(&[u8]) -> Answer + Send + Sync + 'static) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").expect("the loopback interface has a free port");
        let address = socket.local_addr().expect("it is bound");
        let (accepted, attempts) = (Arc::<Mutex<Vec<Vec<u8>>>>::default(), Arc::<Mutex<u64>>::default());
        let connections = Arc::<AtomicU64>::default();
        let backend = Self {
            address,
            accepted: Arc::clone(&accepted),
            attempts: Arc::clone(&attempts),
            connections: Arc::clone(&connections),
        };
        let script: Arc<Script> = Arc::new(script);
        std::thread::spawn(move || {
            for stream in socket.incoming().flatten() {
                connections.fetch_add(1, Ordering::Relaxed);
                let (script, accepted, attempts) =
                    (Arc::clone(&script), Arc::clone(&accepted), Arc::clone(&attempts));
                std::thread::spawn(move || drop(serve(stream, &*script, &accepted, &attempts)));
            }
        });
        backend
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The bodies that were answered with success.
    pub fn accepted(&self) -> Vec<Vec<u8>> {
        self.accepted.lock().expect("no server thread panics").clone()
    }

    /// How many requests came.
    pub fn attempts(&self) -> u64 {
        *self.attempts.lock().expect("no server thread panics")
    }
}

impl Backend {
    /// How many connections were opened.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Backend({})", self.address)
    }
}

fn serve(
    stream: TcpStream,
    script: &Script,
    accepted: &Mutex<Vec<Vec<u8>>>,
    attempts: &Mutex<u64>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    loop {
        let (mut length, mut line) = (0, String::new());
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let (name, value) = line.split_once(':').unwrap_or((line.trim(), ""));
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap_or(0);
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        *attempts.lock().expect("no server thread panics") += 1;
        match script(&body) {
            Answer::Never => loop {
                // Until the client gives up.
                if reader.read(&mut [0; 64])? == 0 {
                    return Ok(());
                }
            },
            Answer::Reply(code, headers, text) => {
                if (200..300).contains(&code) {
                    accepted.lock().expect("no server thread panics").push(body);
                }
                let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
                let head =
                    format!("HTTP/1.1 {code} Scripted\r\n{headers}content-length: {}\r\n\r\n", text.len());
                writer.write_all(&[head.as_bytes(), &text].concat())?;
            }
        }
    }
}
