//! One connection, from its first byte to its close.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use axum::{Router, http::StatusCode};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::watch,
    time::timeout,
};
use tracing::debug;

use super::{
    Config, MAX_HEAD, MAX_HEADERS, RawRefusal, Service, Timeouts,
    progress::{Phase, Progress},
    refusal,
    service::ConnectionService,
    unread::Leftover,
    watchdog::Watchdog,
    wire::Wire,
};

/// How long, and for how many bytes, a connection that we close still listens to its client. A socket that is closed
/// on unread bytes is reset, and the client may lose the answer that told it why (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 1024 * 1024;

type Http<I> = http1::Connection<TokioIo<Wire<I>>, ConnectionService>;

/// What all connections of a listener have in common.
pub(super) struct Protocol {
    http: http1::Builder,
    router: Router,
    raw_refusal: RawRefusal,
    timeouts: Timeouts,
    drain_idle: Duration,
}

/// How a connection ended.
enum Ending {
    Http(hyper::Result<()>),
    TooLong(Phase),
}

/// What a connection gets before it is closed.
struct ClosingResponse {
    /// An answer, or nothing where hyper has said everything.
    words: Vec<u8>,
    /// How long the client may take to hear them and to end its side.
    patience: Duration,
}

impl Protocol {
    pub(super) fn new(config: &Config, service: Service) -> Self {
        let mut http = http1::Builder::new();
        // The watchdog keeps the time: hyper's own timer would be registered anew for every request.
        http.header_read_timeout(None);
        http.max_header_size(MAX_HEAD).max_buf_size(MAX_HEAD).max_headers(MAX_HEADERS).half_close(false);
        // `with_state` finishes the router once; otherwise every request would.
        let router = service.router.with_state(());
        let Config { timeouts, drain_idle, .. } = *config;
        Self { http, router, raw_refusal: service.raw_refusal, timeouts, drain_idle }
    }

    /// The bytes of an answer that the router is not asked for.
    pub(super) fn refusal(&self, status: StatusCode) -> Vec<u8> {
        refusal::encode(&self.raw_refusal, status)
    }

    /// Serves a connection until it ends. Once `shutdown` is true it ends after the request it is in.
    pub(super) async fn run<I>(&self, io: I, peer: SocketAddr, shutdown: watch::Receiver<bool>)
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        let progress = Progress::start();
        let service = ConnectionService {
            router: self.router.clone(),
            peer,
            progress: Arc::clone(&progress),
            leftover: Leftover::default(),
        };
        let io = TokioIo::new(Wire::new(io, Arc::clone(&progress)));
        let mut http = self.http.serve_connection(io, service);
        let ending = self.watch_over(&mut http, &progress, shutdown).await;
        if let Ending::TooLong(phase) = ending {
            debug!(%peer, ?phase, "took too long");
        }
        let wire = http.into_parts().io.into_inner();
        if let Some(closing_response) = self.closing_response(&ending, &wire, &progress) {
            // Nobody is left to tell, whatever becomes of it.
            let _ = timeout(closing_response.patience, say(wire.into_inner(), &closing_response.words)).await;
        }
    }

    async fn watch_over<I>(&self, http: &mut Http<I>, progress: &Arc<Progress>, stop: watch::Receiver<bool>) -> Ending
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        let mut watchdog = Watchdog::over(Arc::clone(progress), self.timeouts, self.drain_idle);
        let mut stop = pin!(stopped(stop));
        poll_fn(|cx| {
            if let Poll::Ready(ended) = Pin::new(&mut *http).poll(cx) {
                return Poll::Ready(Ending::Http(ended));
            }
            if !progress.draining() && stop.as_mut().poll(cx).is_ready() {
                progress.drain();
            }
            watchdog.poll(cx).map(Ending::TooLong)
        })
        .await
    }

    /// What remains to be done before closing; `None` where the connection is just dropped.
    fn closing_response<I>(&self, ending: &Ending, wire: &Wire<I>, progress: &Progress) -> Option<ClosingResponse> {
        let refuse = |status, patience| Some(ClosingResponse { words: self.refusal(status), patience });
        match (ending, wire.kept_back()) {
            (Ending::Http(_), Some(status)) => refuse(status, LINGER),
            // Hyper says nothing to the preface of HTTP/2.
            (Ending::Http(Err(error)), None) if error.is_parse() && !progress.in_service() => {
                refuse(StatusCode::BAD_REQUEST, LINGER)
            }
            (Ending::Http(Ok(())), None) if !wire.ended() => {
                Some(ClosingResponse { words: Vec::new(), patience: LINGER })
            }
            // It has used up its time: it is told if it listens, and not waited for.
            (Ending::TooLong(Phase::Header), _) => refuse(StatusCode::REQUEST_TIMEOUT, Duration::ZERO),
            (Ending::Http(_) | Ending::TooLong(_), _) => None,
        }
    }
}

/// Ready when the process is told to stop; also when nobody is left to tell it.
pub(super) async fn stopped(mut shutdown: watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

/// Says the last words, ends our side, and reads on until the client has ended its own.
async fn say(mut io: impl AsyncRead + AsyncWrite + Unpin, words: &[u8]) -> io::Result<()> {
    io.write_all(words).await?;
    io.shutdown().await?;
    tokio::io::copy(&mut io.take(LINGER_BYTES), &mut tokio::io::sink()).await?;
    Ok(())
}
