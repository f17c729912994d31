//! What a service leaves unread of a request's body.
//!
//! A service may refuse a request before it has read the body. Where the body is still on its way then, hyper answers
//! and closes the connection without a word, and the client's next request on it is lost. So the rest is taken off the
//! wire before the answer goes out, if it is small and comes soon; otherwise the answer says that the connection ends
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

/// The most that is taken off the wire for the connection's sake, and how long that may take.
const MOST: u64 = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(1);

/// Where a connection's requests leave what is unread of their bodies; one at a time, as HTTP/1.1 has it.
pub(super) type Leftover = Arc<Mutex<Option<Incoming>>>;

/// A request's body, lent to the service.
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

/// Takes the leftover of the request that was just answered.
pub(super) fn take(leftover: &Leftover) -> Option<Draining> {
    let body = leftover.lock().unwrap_or_else(PoisonError::into_inner).take()?;
    Some(Draining { body, taken: 0, patience: None })
}

/// The rest of a body on its way to nowhere.
pub(super) struct Draining {
    body: Incoming,
    taken: u64,
    /// Runs from the first time that the rest was not there yet.
    patience: Option<Pin<Box<Sleep>>>,
}

/// Whether the connection can be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drained {
    /// Nothing is left of the body.
    Clean,
    /// The rest is too long or too late: the connection must end.
    NotReusable,
}

impl Draining {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Drained> {
        // A length that is known to be too much need not be waited for.
        if self.body.size_hint().lower() > MOST {
            return Poll::Ready(Drained::NotReusable);
        }
        while let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            match frame {
                None => return Poll::Ready(Drained::Clean),
                Some(Err(_)) => return Poll::Ready(Drained::NotReusable),
                Some(Ok(frame)) => self.taken += frame.data_ref().map_or(0, |data| data.len() as u64),
            }
            if self.taken > MOST {
                return Poll::Ready(Drained::NotReusable);
            }
        }
        let patience = self.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(PATIENCE)));
        patience.as_mut().poll(cx).map(|()| Drained::NotReusable)
    }
}
