//! The socket of a connection: notices when it takes no more bytes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::peer::Connection;

/// How many bytes the kernel keeps for a peer that has no room for them.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 64 << 10;

/// What a socket took of what was written.
#[derive(Default)]
pub(super) struct Written {
    bytes: AtomicU64,
    /// Whether `blocked` is set: it is looked at with every write.
    is_blocked: AtomicBool,
    /// Since when it takes nothing, if it does not.
    blocked: Mutex<Option<Instant>>,
    takes_again: Notify,
    given_up: AtomicBool,
}

impl Written {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn blocked(&self) -> Option<Instant> {
        *self.blocked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection is ended without another word: the kernel need not keep what the peer does not read.
    pub(super) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// Resolves once the socket takes bytes. Only for one who is alone in waiting for it.
    pub(super) async fn takes(&self) {
        while self.is_blocked.load(Ordering::Acquire) {
            self.takes_again.notified().await;
        }
    }

    fn note(&self, result: &Poll<io::Result<usize>>) {
        let is_blocked = result.is_pending();
        if let Poll::Ready(Ok(count)) = result {
            self.bytes.fetch_add(*count as u64, Ordering::Relaxed);
        }
        if self.is_blocked.load(Ordering::Relaxed) == is_blocked {
            return;
        }
        *self.blocked.lock().unwrap_or_else(PoisonError::into_inner) = is_blocked.then(Instant::now);
        self.is_blocked.store(is_blocked, Ordering::Release);
        if !is_blocked {
            self.takes_again.notify_one();
        }
    }
}

/// A connection's socket.
pub(super) struct Socket {
    stream: TcpStream,
    costs: Arc<Connection>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, costs: &Arc<Connection>) -> Self {
        // Small replies must not wait for the client's delayed acknowledgement.
        drop(stream.set_nodelay(true));
        // The kernel would take megabytes for a peer that reads slowly, and not say for minutes that it read any.
        #[cfg(target_os = "linux")]
        drop(socket2::SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT));
        Self { stream, costs: Arc::clone(costs) }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.costs.socket.given_up.load(Ordering::Relaxed) {
            drop(self.stream.set_zero_linger());
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.costs.socket.note(&result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.costs.socket.note(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
