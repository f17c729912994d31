//! The sandbox's listener. Its one peculiarity: it can close a connection without an answer, as broken networks do.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc};

use axum::{Router, body::Body, response::Response};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

use super::World;

/// A sandbox that is bound, and not served yet.
pub struct Sandbox {
    listener: TcpListener,
    world: Arc<World>,
}

/// The sandbox cannot run.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Others could reach it.
    #[error("the sandbox listens on loopback only, not on {0}: it guards nothing")]
    NotLoopback(SocketAddr),
    /// The address cannot be had.
    #[error("{address}: {why}")]
    Bind {
        /// Which address.
        address: SocketAddr,
        /// What the system said.
        why: io::Error,
    },
}

impl Sandbox {
    /// Binds a loopback address; port 0 takes a free one.
    pub async fn bind(address: SocketAddr, world: Arc<World>) -> Result<Self, SandboxError> {
        if !address.ip().is_loopback() {
            return Err(SandboxError::NotLoopback(address));
        }
        let failed = |why| SandboxError::Bind { address, why };
        Ok(Self { listener: TcpListener::bind(address).await.map_err(failed)?, world })
    }

    /// Where it is reached.
    pub fn url(&self) -> String {
        self.listener.local_addr().map(|address| format!("http://{address}")).unwrap_or_default()
    }
}

/// Serves until the future is dropped.
pub async fn serve(sandbox: Sandbox) -> Infallible {
    let router = super::router(sandbox.world);
    loop {
        match sandbox.listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(connection(stream, router.clone()))),
            // Out of file descriptors, most likely: others must close first.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    }
}

async fn connection(stream: TcpStream, router: Router) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let router = router.clone();
        async move {
            let Ok(response) = router.oneshot(request.map(Body::new)).await;
            if response.extensions().get::<HangUp>().is_some() { Err(HangUp) } else { Ok(response) }
        }
    });
    // A client that goes away is no news.
    let _ = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
}

/// Instead of an answer, the connection is closed.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the sandbox was asked to hang up")]
struct HangUp;

/// An answer that is none: the connection closes.
pub(super) fn hang_up() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(HangUp);
    response
}
