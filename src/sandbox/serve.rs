//! Listener of the sandbox. It closes a connection without an answer where a handler returns [`Disconnect`].

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

use super::{disconnect::Disconnect, local_braze::LocalBraze};

/// A sandbox that is bound to its address, and not served yet.
pub struct Sandbox {
    listener: TcpListener,
    braze: Arc<LocalBraze>,
}

/// Reason for which the sandbox cannot run.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Other machines could reach it.
    #[error("the sandbox listens on loopback only, not on {0}: it protects nothing")]
    NotLoopback(SocketAddr),
    /// The address is in use, or not this machine's.
    #[error("{address}: {why}")]
    Bind { address: SocketAddr, why: io::Error },
}

impl Sandbox {
    /// Binds a loopback address; port 0 chooses a free one.
    pub async fn bind(address: SocketAddr, braze: Arc<LocalBraze>) -> Result<Self, SandboxError> {
        if !address.ip().is_loopback() {
            return Err(SandboxError::NotLoopback(address));
        }
        let failed = |why| SandboxError::Bind { address, why };
        Ok(Self { listener: TcpListener::bind(address).await.map_err(failed)?, braze })
    }

    /// Returns the base URL of the sandbox.
    pub fn url(&self) -> String {
        self.listener.local_addr().map(|address| format!("http://{address}")).unwrap_or_default()
    }
}

/// Serves until the future is dropped.
pub async fn serve(sandbox: Sandbox) -> Infallible {
    let router = super::router(sandbox.braze);
    loop {
        match sandbox.listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(connection(stream, router.clone()))),
            // Most likely the process is out of file descriptors: other connections must close first.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn connection(stream: TcpStream, router: Router) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let router = router.clone();
        async move {
            let Ok(response) = router.oneshot(request.map(Body::new)).await;
            if response.extensions().get::<Disconnect>().is_some() { Err(Disconnect) } else { Ok(response) }
        }
    });
    // An error here is a client that went away, or a `Disconnect`: both are expected.
    let _ = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
}
