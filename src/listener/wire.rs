//! Socket as hyper sees it: records progress, and withholds the answers that hyper makes by itself.
//!
//! hyper answers a malformed or oversized head without asking the service, with no body. Such an answer is recognised
//! by its time: hyper writes it while the service has no request. One case is not recognised: an answer to garbage
//! that follows a request whose answer the client has not taken yet. Both answers are in one buffer then, and are
//! sent.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    head::has_boundless_length,
    progress::{Phase, Progress},
    transport::Transport,
};

/// Number of bytes that a client takes of an answer before its time to take the rest starts again.
const PIECE: usize = 64 * 1024;

/// Byte stream of a connection, whose progress is recorded.
pub(super) struct Wire<I> {
    io: I,
    progress: Arc<Progress>,
    withheld: Option<StatusCode>,
    taken: usize,
    ended: bool,
    boundless_length: bool,
}

impl<I> Wire<I> {
    pub(super) fn new(io: I, progress: Arc<Progress>) -> Self {
        Self { io, progress, withheld: None, taken: 0, ended: false, boundless_length: false }
    }

    /// Returns the status of the answer that hyper made by itself; none of it was written.
    pub(super) fn withheld(&self) -> Option<StatusCode> {
        self.withheld
    }

    /// Returns true where the client has ended its side.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    pub(super) fn into_inner(self) -> I {
        self.io
    }

    /// Records the status of `HTTP/1.1 431 …`; the rest is not needed.
    fn withhold(&mut self, head: &[u8]) {
        let status = head.get(9..12).and_then(|code| StatusCode::from_bytes(code).ok());
        let status = match status {
            // hyper takes such a length for no number (400), or for a head that is too large (431).
            _ if self.boundless_length => StatusCode::PAYLOAD_TOO_LARGE,
            Some(status) => status,
            None => StatusCode::BAD_REQUEST,
        };
        self.withheld.get_or_insert(status);
    }

    fn wrote(&mut self, bytes: usize) {
        self.taken += bytes;
        if self.taken >= PIECE {
            self.taken = 0;
            self.progress.took_a_piece();
        }
    }
}

impl<I: Transport> Wire<I> {
    /// Returns true where bytes have arrived that hyper has not read.
    pub(super) fn has_unread(&self) -> bool {
        self.io.has_unread()
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Wire<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.progress.received();
            if self.progress.phase() == Phase::Header {
                self.boundless_length = has_boundless_length(&buf.filled()[before..]);
            }
        } else {
            self.ended = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Wire<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if !self.progress.in_service() {
            self.withhold(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, buf))?;
        self.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.progress.in_service() {
            self.withhold(bufs.first().map_or(&[], |head| head));
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, bufs))?;
        self.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// hyper flushes the wire only when its own buffer is empty: a complete answer has gone out then.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.progress.flushed();
        Poll::Ready(Ok(()))
    }

    /// Does nothing: `connection` closes the socket, after the answer that it may have to add.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
