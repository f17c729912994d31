//! Route with the middleware around it, and the future of its response.

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    extract::Request,
    http::HeaderValue,
    response::{IntoResponse, Response},
};
use tokio::time::{Sleep, sleep};
use tower::Service;

use super::{
    access::{RequestObserver, RequestRecord},
    finish::finish,
    problem::Problem,
    request_id::{polled, request_id},
};
use crate::telemetry::Alarm;

/// Longest time for a whole request of the public listener.
pub const REQUEST_DEADLINE: Duration = Duration::from_secs(15);

/// Route whose requests are recorded and get a response in time, even where the handler panics.
#[derive(Clone)]
pub(super) struct Observed<S> {
    pub(super) route: S,
    pub(super) observer: RequestObserver,
    /// Longest time for a whole request.
    pub(super) limit: Duration,
}

impl<S> Service<Request> for Observed<S>
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Unpin>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Responding<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.route.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let id = request_id(request.headers());
        let record = self.observer.begin(&request, id.to_str().unwrap_or_default());
        // The route does nothing until it is polled.
        let handler = Some(self.route.call(request));
        Responding { handler, limit: self.limit, deadline: None, ending: Some((record, id)) }
    }
}

/// Future of the response to one request.
pub(super) struct Responding<F> {
    /// Runs in the request's span, and ends there.
    handler: Option<F>,
    limit: Duration,
    /// Starts where the handler has no response at once; most responses without a signature need no timer.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Record and id of the request, until it has its response.
    ending: Option<(RequestRecord, HeaderValue)>,
}

impl<F: Future<Output = Result<Response, Infallible>> + Unpin> Future for Responding<F> {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(self.poll_handler(cx));
        let Some((record, id)) = self.ending.take() else { return Poll::Pending };
        let response = finish(response, &id);
        record.end(&response);
        Poll::Ready(Ok(response))
    }
}

impl<F: Future<Output = Result<Response, Infallible>> + Unpin> Responding<F> {
    /// Polls the handler: to its response, or to the one to its panic or to the end of its time.
    fn poll_handler(&mut self, cx: &mut Context<'_>) -> Poll<Response> {
        let (Some(handler), Some((record, id))) = (&mut self.handler, &self.ending) else { return Poll::Pending };
        let poll = || record.span().in_scope(|| polled(id, || Pin::new(handler).poll(cx)));
        match catch_unwind(AssertUnwindSafe(poll)) {
            Ok(Poll::Ready(Ok(response))) => return Poll::Ready(response),
            Ok(Poll::Pending) => {}
            Err(_) => return Poll::Ready(self.panicked()),
        }
        let limit = self.limit;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(deadline.as_mut().poll(cx));
        self.give_up();
        Poll::Ready(Problem::unavailable().into_response())
    }

    /// The panic hook has printed the place. The panic's text may hold what a client sent: it is not passed on.
    fn panicked(&mut self) -> Response {
        self.give_up();
        if let Some((record, _)) = &self.ending {
            record.span().in_scope(|| tracing::error!("a handler panicked: the request is answered with 500"));
            record.alarm(Alarm::Panic);
        }
        Problem::panicked().into_response()
    }
}

impl<F> Responding<F> {
    /// Drops a handler that has no response, in the request's span: what it leaves may be logged.
    fn give_up(&mut self) {
        let handler = self.handler.take();
        if let Some((record, _)) = &self.ending {
            record.span().in_scope(|| drop(handler));
        }
    }
}

impl<F> Drop for Responding<F> {
    fn drop(&mut self) {
        if self.ending.is_some() {
            self.give_up();
        }
    }
}
