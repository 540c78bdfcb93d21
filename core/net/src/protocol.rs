//! Which HTTP a connection speaks, told by its first bytes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// What an HTTP/2 client says first (RFC 9113, section 3.4). No HTTP/1 request starts like it.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// Reads until it is clear which HTTP the peer speaks. Has no clock: whoever calls must not wait for ever.
///
/// # Errors
/// The connection broke, or ended before it said enough.
pub(crate) async fn detect<S: AsyncRead + Unpin>(mut stream: S) -> io::Result<(Protocol, Rewound<S>)> {
    let mut first = [0; PREFACE.len()];
    let mut read = 0;
    let protocol = loop {
        match stream.read(&mut first[read..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => read += more,
        }
        if first[..read] != PREFACE[..read] {
            break Protocol::Http1;
        }
        if read == PREFACE.len() {
            break Protocol::Http2;
        }
    };
    Ok((protocol, Rewound { first, from: 0, to: read, stream }))
}

/// A stream of which the first bytes are read once more.
#[derive(Debug)]
pub(crate) struct Rewound<S> {
    first: [u8; PREFACE.len()],
    from: usize,
    to: usize,
    stream: S,
}

impl<S> Rewound<S> {
    /// Whether the peer began a TLS handshake: a record of type 22, of version 3.
    pub(crate) fn begins_like_tls(&self) -> bool {
        self.first[self.from..self.to].starts_with(&[22, 3])
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.from == self.to {
            return Pin::new(&mut self.stream).poll_read(cx, into);
        }
        let count = into.remaining().min(self.to - self.from);
        into.put_slice(&self.first[self.from..self.from + count]);
        self.from += count;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_bytes_tell_and_are_read_again_however_they_were_cut() {
        let requests = [
            (&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nand frames"[..], Protocol::Http2),
            (b"POST /v1/traces HTTP/1.1\r\n\r\n", Protocol::Http1),
            (b"PRI * HTTP/1.1\r\n\r\n", Protocol::Http1),
        ];
        for (request, expected) in requests {
            for cut in 1..request.len() {
                let (mut client, server) = tokio::io::duplex(cut);
                let sends =
                    tokio::spawn(
                        async move { tokio::io::AsyncWriteExt::write_all(&mut client, request).await },
                    );
                let (protocol, mut stream) = detect(server).await.expect("it says enough");
                let mut all = Vec::new();
                stream.read_to_end(&mut all).await.expect("it ends");
                sends.await.expect("no panic").expect("taken");
                assert_eq!((protocol, all.as_slice()), (expected, request), "cut at {cut}");
            }
        }
    }

    #[tokio::test]
    async fn who_leaves_before_it_is_clear_is_an_error() {
        assert!(detect(&PREFACE[..23]).await.is_err());
        assert!(detect(&b""[..]).await.is_err());
    }
}
