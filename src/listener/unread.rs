//! Part of a request's body that the service leaves unread.
//!
//! A service may refuse a request before it has read the body. Where the body has not arrived then, hyper answers and
//! closes the connection without announcing it, and the client's next request on it is lost. So the rest is read and
//! discarded before the answer is sent, if it is small and arrives soon; otherwise the answer announces the close
//! (RFC 9112 §9.6).

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Sleep;

/// Largest number of bytes that are read and discarded so that the connection can be used again.
const MAX_DRAINED: u64 = 64 * 1024;
/// Longest time for those bytes to arrive.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Unread body of a connection's present request; there is one at a time in HTTP/1.1.
pub(super) type Leftover = Arc<Mutex<Option<Incoming>>>;

/// Body of a request, which becomes the connection's leftover if the service drops it unread.
pub(super) struct TrackedBody {
    body: Option<Incoming>,
    leftover: Leftover,
}

impl TrackedBody {
    pub(super) fn new(body: Incoming, leftover: &Leftover) -> Self {
        Self { body: Some(body), leftover: Arc::clone(leftover) }
    }
}

impl Body for TrackedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        if let Poll::Ready(None | Some(Err(_))) = polled {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for TrackedBody {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            *self.leftover.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}

/// Takes the leftover of the request that was just answered, if there is one.
pub(super) fn take(leftover: &Leftover) -> Option<Draining> {
    let body = leftover.lock().unwrap_or_else(PoisonError::into_inner).take()?;
    Some(Draining { body, taken: 0, timeout: None })
}

/// Rest of a body that is read and discarded.
pub(super) struct Draining {
    body: Incoming,
    taken: u64,
    /// Starts when the rest has not arrived at the first attempt.
    timeout: Option<Pin<Box<Sleep>>>,
}

/// State of the connection after the rest of a body was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drained {
    /// Nothing is left of the body.
    Clean,
    /// The rest is too long or too late: the connection must end.
    NotReusable,
}

impl Draining {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Drained> {
        // A body that is known to be too long is not waited for.
        if self.body.size_hint().lower() > MAX_DRAINED {
            return Poll::Ready(Drained::NotReusable);
        }
        while let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            match frame {
                None => return Poll::Ready(Drained::Clean),
                Some(Err(_)) => return Poll::Ready(Drained::NotReusable),
                Some(Ok(frame)) => self.taken += frame.data_ref().map_or(0, |data| data.len() as u64),
            }
            if self.taken > MAX_DRAINED {
                return Poll::Ready(Drained::NotReusable);
            }
        }
        let timeout = self.timeout.get_or_insert_with(|| Box::pin(tokio::time::sleep(DRAIN_TIMEOUT)));
        timeout.as_mut().poll(cx).map(|()| Drained::NotReusable)
    }
}
