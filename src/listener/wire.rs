//! The socket as hyper sees it: notes progress, and keeps back what hyper says by itself.
//!
//! Hyper answers a malformed or oversized head without asking the service, with no body. Such an answer is known by
//! its time: it is written while the service has no request. One case escapes: garbage behind a request whose answer
//! the client has not taken yet stands in one buffer with that answer, and goes out as hyper made it.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::progress::Progress;

/// How much of an answer a client takes before its time to take the rest starts again.
const PIECE: usize = 64 * 1024;

/// A connection's bytes, watched.
pub(super) struct Wire<I> {
    io: I,
    progress: Arc<Progress>,
    kept_back: Option<StatusCode>,
    taken: usize,
    ended: bool,
}

impl<I> Wire<I> {
    pub(super) fn new(io: I, progress: Arc<Progress>) -> Self {
        Self { io, progress, kept_back: None, taken: 0, ended: false }
    }

    /// The status of the answer that hyper gave by itself; none of it was written.
    pub(super) fn kept_back(&self) -> Option<StatusCode> {
        self.kept_back
    }

    /// Whether the client has ended its side.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    pub(super) fn into_inner(self) -> I {
        self.io
    }

    /// `HTTP/1.1 431 …`: the status is all that is wanted of it.
    fn keep_back(&mut self, head: &[u8]) {
        let status = head.get(9..12).and_then(|code| StatusCode::from_bytes(code).ok());
        self.kept_back.get_or_insert(status.unwrap_or(StatusCode::BAD_REQUEST));
    }

    fn wrote(&mut self, bytes: usize) {
        self.taken += bytes;
        if self.taken >= PIECE {
            self.taken = 0;
            self.progress.took_a_piece();
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Wire<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.progress.received();
        } else {
            self.ended = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Wire<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if !self.progress.in_service() {
            self.keep_back(buf);
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
            self.keep_back(bufs.first().map_or(&[], |head| head));
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, bufs))?;
        self.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// Hyper flushes the wire only when its own buffer is empty: then a complete answer is out.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.progress.flushed();
        Poll::Ready(Ok(()))
    }

    /// Does nothing: the connection closes when it has said everything, which hyper does not know.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
