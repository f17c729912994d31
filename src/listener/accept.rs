//! Accepts connections until told to stop, then waits for those that are open.

use std::{io, pin::pin, sync::Arc, time::Duration};

use axum::http::StatusCode;
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};
use tracing::{debug, error, info, warn};

use super::{
    Config, Listener, Service, UnixListener,
    connection::{Protocol, stopped},
    limiter::ConnectionLimiter,
    peer::Peer,
    socket::BACKLOG,
    transport::Accept,
};

/// Time between attempts where the system has no descriptor or memory for another connection. Both become available
/// only when a connection closes; a retry at once would keep a processor busy.
const PAUSE: Duration = Duration::from_millis(100);

/// State that all connections of a running listener share.
struct Server {
    protocol: Protocol,
    limiter: Arc<ConnectionLimiter>,
    shutdown: watch::Receiver<bool>,
}

/// Serves until `shutdown` becomes true (or its sender is gone), then drains: no new connection, no new request on an
/// old one, the requests in flight end; connections that are still open at the deadline are closed.
pub async fn serve(listener: Listener, config: Config, service: Service, shutdown: watch::Receiver<bool>) {
    run(listener, config, service, shutdown).await;
}

/// Serves as [`serve`] does, on a unix socket.
pub async fn serve_unix(listener: UnixListener, config: Config, service: Service, shutdown: watch::Receiver<bool>) {
    run(listener, config, service, shutdown).await;
}

async fn run(listener: impl Accept, config: Config, service: Service, shutdown: watch::Receiver<bool>) {
    let address = listener.name();
    let limiter = ConnectionLimiter::new(
        config.max_connections.get(),
        config.max_connections_per_address.get(),
        service.metrics.clone(),
    );
    let server = Arc::new(Server { protocol: Protocol::new(&config, service), limiter, shutdown });
    let mut connections = JoinSet::new();
    server.accept(&listener, &mut connections).await;
    // It ends with the error `WouldBlock` when no connection is left.
    let _ = server.admit_waiting(listener, &mut connections);
    info!(%address, open = connections.len(), "draining");
    drain(&mut connections, config.drain).await;
    info!(%address, "closed");
}

impl Server {
    async fn accept<A: Accept>(self: &Arc<Self>, listener: &A, connections: &mut JoinSet<()>) {
        let mut stop = pin!(stopped(self.shutdown.clone()));
        let mut failing = false;
        loop {
            tokio::select! {
                biased;
                () = &mut stop => return,
                Some(ended) = connections.join_next() => report(ended),
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        failing = false;
                        self.admit::<A>(stream, peer, connections);
                    }
                    Err(error) if ended_by_client(&error) => debug!(%error, "a connection ended in the queue"),
                    Err(error) => {
                        warn_once(&mut failing, &error);
                        sleep(PAUSE).await;
                    }
                },
            }
        }
    }

    /// Admits the connections that the kernel has accepted already: they would be reset with the socket.
    fn admit_waiting<A: Accept>(self: &Arc<Self>, listener: A, connections: &mut JoinSet<()>) -> io::Result<()> {
        let mut accept = listener.into_waiting()?;
        for _ in 0..BACKLOG {
            let (stream, peer) = accept()?;
            self.admit::<A>(stream, peer, connections);
        }
        Ok(())
    }

    fn admit<A: Accept>(self: &Arc<Self>, stream: A::Stream, peer: Peer, connections: &mut JoinSet<()>) {
        let Some(permit) = self.limiter.acquire(peer.address()) else {
            return self.reject::<A>(stream, &peer);
        };
        let server = Arc::clone(self);
        connections.spawn(async move {
            server.protocol.run(stream, peer, server.shutdown.clone()).await;
            drop(permit);
        });
    }

    /// Answers 503 and closes. Bytes that the socket does not take at once are dropped.
    fn reject<A: Accept>(&self, stream: A::Stream, peer: &Peer) {
        debug!(%peer, "refused: too many connections");
        let _ = A::write_and_close(stream, &self.protocol.refusal(StatusCode::SERVICE_UNAVAILABLE));
    }
}

/// Returns true where the client ended the connection; other errors are shortages of this system.
fn ended_by_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Logs the first of a row of errors: one for each attempt would fill the log.
fn warn_once(failing: &mut bool, error: &io::Error) {
    if !std::mem::replace(failing, true) {
        warn!(%error, "cannot accept connections for now; raise the limit of open files, or lower max_connections");
    }
}

async fn drain(connections: &mut JoinSet<()>, deadline: Duration) {
    let all = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    if timeout(deadline, all).await.is_err() {
        warn!(open = connections.len(), "the drain took too long: the remaining connections are closed");
        connections.shutdown().await;
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        error!(panicked = error.is_panic(), "a connection's task ended early");
    }
}
