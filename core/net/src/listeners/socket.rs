//! The socket of a connection: notices when it takes no more bytes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::peer::Connection;

/// How many bytes the kernel keeps for a peer that has no room for them.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 64 << 10;

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
        if self.costs.socket.is_given_up() {
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
