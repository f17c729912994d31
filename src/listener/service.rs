//! The router as hyper sees it: notes when it was asked, when it answered and when its answer was complete.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::ConnectInfo,
    http::{HeaderValue, Request, Response, header::CONNECTION},
    routing::future::RouteFuture,
};
use hyper::body::{Frame, Incoming, SizeHint};
use tower::Service as _;

use super::progress::Progress;

/// The router, for one connection.
pub(super) struct ConnectionService {
    pub(super) router: Router,
    pub(super) peer: SocketAddr,
    pub(super) progress: Arc<Progress>,
}

impl hyper::service::Service<Request<Incoming>> for ConnectionService {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, mut request: Request<Incoming>) -> Answering {
        self.progress.called();
        request.extensions_mut().insert(ConnectInfo(self.peer));
        Answering { answer: self.router.clone().call(request), progress: Arc::clone(&self.progress) }
    }
}

/// The router at work on one request.
pub(super) struct Answering {
    answer: RouteFuture<Infallible>,
    progress: Arc<Progress>,
}

impl Future for Answering {
    type Output = Result<Response<AnswerBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut answer = ready!(Pin::new(&mut self.answer).poll(cx))?;
        self.progress.answering();
        if self.progress.draining() {
            // RFC 9112 §9.6: tells the client to send its next request elsewhere, and hyper to close after this one.
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let progress = Arc::clone(&self.progress);
        Poll::Ready(Ok(answer.map(|body| AnswerBody { body, progress })))
    }
}

/// An answer's body. Hyper drops it when it has taken all of it.
pub(super) struct AnswerBody {
    body: Body,
    progress: Arc<Progress>,
}

impl hyper::body::Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.progress.answered();
    }
}
