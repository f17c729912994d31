//! One connection, from its first byte to its close.

use std::{
    future::poll_fn,
    io,
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
    BACKSTOP, Config, MAX_HEAD, RawRefusal, Service,
    peer::Peer,
    progress::{Phase, PhaseLimits, Progress},
    refusal,
    service::ConnectionService,
    transport::Transport,
    unread::Leftover,
    watchdog::Watchdog,
    wire::Wire,
};

/// Longest time, and largest number of bytes, that a connection still reads once its answer is written. A socket that
/// is closed on unread bytes is reset, and the client may lose the answer (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 1024 * 1024;

type Http<I> = http1::Connection<TokioIo<Wire<I>>, ConnectionService>;

/// Settings that all connections of a listener have in common.
pub(super) struct Protocol {
    http: http1::Builder,
    router: Router,
    raw_refusal: RawRefusal,
    tells_local_address: bool,
    limits: PhaseLimits,
}

/// End of a connection's exchange.
enum Ending {
    /// hyper has finished it.
    Http(hyper::Result<()>),
    /// The phase took too long.
    TooLong(Phase),
}

impl Ending {
    /// Returns true where no request had begun.
    fn is_idle(&self) -> bool {
        matches!(self, Self::TooLong(Phase::FirstByte | Phase::Idle))
    }
}

/// Last bytes of a connection.
struct ClosingResponse {
    /// An answer, or nothing where hyper has written everything.
    bytes: Vec<u8>,
    /// Longest time for the client to take the bytes and to end its side.
    linger: Duration,
}

impl Protocol {
    pub(super) fn new(config: &Config, service: Service) -> Self {
        let mut http = http1::Builder::new();
        // The watchdog keeps the time: hyper's own timer would be registered again for every request.
        http.header_read_timeout(None);
        // `head` counts the fields: hyper fills its scratch space for each head where it has another limit than its own 100.
        http.max_header_size(MAX_HEAD).max_buf_size(MAX_HEAD);
        // One buffer for head and body: the system takes it in less time than two.
        http.writev(false);
        // A client may end its side once it has sent its request, and still waits for the answer (RFC 9112 §9.6). One
        // that went away looks the same; its request ends soon, at its deadline at the latest.
        http.half_close(true);
        // `with_state` finishes the router once; otherwise every request would.
        let router = service.router.with_state(());
        let request = service.deadline.saturating_add(BACKSTOP);
        let limits = PhaseLimits {
            timeouts: config.timeouts,
            keep_alive: config.keep_alive,
            request,
            drain_idle: config.drain_idle,
        };
        let (raw_refusal, tells_local_address) = (service.raw_refusal, service.tells_local_address);
        Self { http, router, raw_refusal, tells_local_address, limits }
    }

    /// Encodes an answer that does not come from the router.
    pub(super) fn refusal(&self, status: StatusCode) -> Vec<u8> {
        refusal::encode(&self.raw_refusal, status)
    }

    /// Serves a connection until it ends. Once `shutdown` is true it ends after the request in flight.
    pub(super) async fn run(&self, io: impl Transport, peer: Peer, shutdown: watch::Receiver<bool>) {
        let peer = if self.tells_local_address { peer } else { peer.without_local_address() };
        let progress = Progress::start();
        let mut wire = Wire::new(io, Arc::clone(&progress));
        let ending = loop {
            let mut http = self.http.serve_connection(TokioIo::new(wire), self.service(peer, &progress));
            let ending = self.watch_over(&mut http, &progress, shutdown.clone()).await;
            wire = http.into_parts().io.into_inner();
            if !(ending.is_idle() && wire.has_unread()) {
                break ending;
            }
            // A request arrived just now: it is answered, with `Connection: close`.
            progress.drain();
        };
        if let Ending::TooLong(phase) = ending {
            debug!(%peer, ?phase, "took too long");
        }
        if let Some(closing_response) = self.closing_response(&ending, &wire, &progress) {
            // The connection ends here, whether or not the client takes the bytes.
            let _ = timeout(closing_response.linger, close(wire.into_inner(), &closing_response.bytes)).await;
        }
    }

    fn service(&self, peer: Peer, progress: &Arc<Progress>) -> ConnectionService {
        ConnectionService {
            router: self.router.clone(),
            raw_refusal: Arc::clone(&self.raw_refusal),
            peer,
            progress: Arc::clone(progress),
            leftover: Leftover::default(),
        }
    }

    async fn watch_over(
        &self,
        http: &mut Http<impl Transport>,
        progress: &Arc<Progress>,
        stop: watch::Receiver<bool>,
    ) -> Ending {
        let mut watchdog = Watchdog::new(Arc::clone(progress), self.limits);
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

    /// Returns what is to be written before closing; `None` where the connection is just dropped.
    fn closing_response<I>(&self, ending: &Ending, wire: &Wire<I>, progress: &Progress) -> Option<ClosingResponse> {
        let refuse = |status, linger| Some(ClosingResponse { bytes: self.refusal(status), linger });
        match (ending, wire.withheld()) {
            (Ending::Http(_), Some(status)) => refuse(status, LINGER),
            // hyper does not answer the preface of HTTP/2.
            (Ending::Http(Err(error)), None) if error.is_parse() && !progress.in_service() => {
                refuse(StatusCode::BAD_REQUEST, LINGER)
            }
            // A request that crosses the close is read, so that its client sees an end and no reset: it may send such
            // a request again (RFC 9112 §9.3.1).
            (Ending::Http(Ok(())) | Ending::TooLong(Phase::FirstByte | Phase::Idle), None) if !wire.ended() => {
                Some(ClosingResponse { bytes: Vec::new(), linger: LINGER })
            }
            // The time is used up: the answer is sent only if the socket takes it at once.
            (Ending::TooLong(Phase::Header), _) => refuse(StatusCode::REQUEST_TIMEOUT, Duration::ZERO),
            (Ending::Http(_) | Ending::TooLong(_), _) => None,
        }
    }
}

/// Becomes ready when the process is told to stop, or when the sender is gone.
pub(super) async fn stopped(mut shutdown: watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

/// Writes the last bytes, ends our side, and reads on until the client has ended its own.
async fn close(mut io: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> io::Result<()> {
    io.write_all(bytes).await?;
    io.shutdown().await?;
    tokio::io::copy(&mut io.take(LINGER_BYTES), &mut tokio::io::sink()).await?;
    Ok(())
}
