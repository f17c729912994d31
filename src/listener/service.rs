//! Router as hyper sees it: records the call, the answer and the end of the answer's body, and reads the rest of a
//! request's body before the answer is sent.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{
        HeaderValue, Request, Response, StatusCode,
        header::{CONNECTION, EXPECT},
    },
    routing::future::RouteFuture,
};
use hyper::body::{Frame, Incoming, SizeHint};
use tower::Service as _;

use super::{
    RawRefusal, head,
    peer::Peer,
    progress::Progress,
    unread::{Drained, Draining, Leftover, TrackedBody, take},
};

/// Router, for one connection.
pub(super) struct ConnectionService {
    pub(super) router: Router,
    pub(super) raw_refusal: RawRefusal,
    pub(super) peer: Peer,
    pub(super) progress: Arc<Progress>,
    pub(super) leftover: Leftover,
}

impl hyper::service::Service<Request<Incoming>> for ConnectionService {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, mut request: Request<Incoming>) -> Answering {
        self.progress.called();
        self.peer.extend(request.extensions_mut());
        let expects_continue = request.headers().contains_key(EXPECT);
        let step = if let Some(status) = head::fault(&request) {
            Step::Refused(self.refuse(status))
        } else {
            let request = request.map(|body| TrackedBody::new(body, &self.leftover));
            Step::Router(self.router.clone().call(request))
        };
        Answering { step, progress: Arc::clone(&self.progress), leftover: Arc::clone(&self.leftover), expects_continue }
    }
}

impl ConnectionService {
    fn refuse(&self, status: StatusCode) -> Response<Body> {
        let (headers, body) = (self.raw_refusal)(status);
        let mut answer = Response::new(Body::from(body));
        *answer.status_mut() = status;
        *answer.headers_mut() = headers;
        answer
    }
}

/// Future of the answer to one request.
pub(super) struct Answering {
    step: Step,
    progress: Arc<Progress>,
    leftover: Leftover,
    /// The client sends its body only once it is asked to (RFC 9110 §10.1.1); before a refusal it is not asked.
    expects_continue: bool,
}

enum Step {
    /// The head must not be served. The next request's beginning is in doubt then: the connection ends.
    Refused(Response<Body>),
    /// The router makes the answer.
    Router(RouteFuture<Infallible>),
    /// The answer waits until the rest of the request is read.
    Draining(Response<Body>, Draining),
    Answered,
}

impl Future for Answering {
    type Output = Result<Response<AnswerBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Step::Router(answer) = &mut self.step {
            let answer = ready!(Pin::new(answer).poll(cx))?;
            match take(&self.leftover) {
                None => return Poll::Ready(Ok(self.answer(answer, Drained::Clean))),
                Some(_) if self.expects_continue => return Poll::Ready(Ok(self.answer(answer, Drained::NotReusable))),
                Some(rest) => self.step = Step::Draining(answer, rest),
            }
        }
        let drained = match &mut self.step {
            Step::Draining(_, rest) => ready!(rest.poll(cx)),
            Step::Refused(_) => Drained::NotReusable,
            Step::Router(_) | Step::Answered => return Poll::Pending,
        };
        match std::mem::replace(&mut self.step, Step::Answered) {
            Step::Draining(answer, _) | Step::Refused(answer) => Poll::Ready(Ok(self.answer(answer, drained))),
            Step::Router(_) | Step::Answered => Poll::Pending,
        }
    }
}

impl Answering {
    fn answer(&self, mut answer: Response<Body>, drained: Drained) -> Response<AnswerBody> {
        self.progress.answering();
        if drained == Drained::NotReusable || self.progress.draining() {
            // RFC 9112 §9.6: tells the client to send its next request elsewhere, and hyper to close after this one.
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let progress = Arc::clone(&self.progress);
        answer.map(|body| AnswerBody { body, progress })
    }
}

/// Body of an answer. hyper drops it when it has taken all of it.
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
