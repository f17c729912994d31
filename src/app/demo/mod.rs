//! `countersign demo`: the throw-away service, the sandbox, and a site whose page logs in with the real Web SDK.

mod site;
mod stage;

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc};

use tokio::sync::watch;

use super::{
    Access, Dev, DevError, OpenError, ServeError, open_public, serve::service, signals::told_to_stop, watch::NodeAgent,
};
use crate::{
    clock::SystemClock,
    config::Environment,
    http,
    listener::{self, Listener},
    sandbox::{AppSpec, LocalBraze, Sandbox, SandboxError, Switches},
};
use stage::{Cut, Stage};

/// What to show, and where.
pub struct DemoConfig {
    /// Where the site is; port 0 takes a free one. Service and sandbox take free ports beside it.
    pub listen: SocketAddr,
    /// The folder that npm installed the SDK and the client into.
    pub modules: PathBuf,
}

/// Where everything is.
pub struct Shown {
    /// The site, for a browser.
    pub site: String,
    /// The service.
    pub service: String,
    /// The local Braze.
    pub sandbox: String,
    /// What opens the service.
    pub access: Access,
    /// The app's SDK API key.
    pub sdk_api_key: String,
    /// Which of the page's packages are not in the modules folder.
    pub missing: Vec<&'static str>,
}

/// The demo cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Others could reach it.
    #[error("the demo listens on loopback only, not on {0}: its page hands tokens to whoever asks")]
    NotLoopback(SocketAddr),
    /// The service.
    #[error(transparent)]
    Dev(#[from] DevError),
    /// The service's rooms.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The service's listener, or the signals.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// A listener.
    #[error(transparent)]
    Listen(#[from] listener::ListenError),
    /// The sandbox.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The sandbox's app.
    #[error("the sandbox does not take the app or its key: {0}")]
    Sandboxed(String),
    /// The site's address.
    #[error("{0}: {1}")]
    Site(SocketAddr, io::Error),
}

/// Runs the demo until SIGTERM or SIGINT. `ready` is called once everything is there.
pub async fn demo(
    config: DemoConfig,
    environment: &Environment,
    ready: impl FnOnce(&Shown) + Send,
) -> Result<(), DemoError> {
    let site = listen_on_loopback(config.listen).await?;
    let site_address = site.local_addr().map_err(|why| DemoError::Site(config.listen, why))?;
    let (world, sandbox, sdk_api_key) = local_braze().await?;
    let service = listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let flags = [
        ("apps.web.allowed_origins", format!("[\"http://{site_address}\"]")),
        ("apps.web.sdk_api_key", sdk_api_key.clone()),
    ]
    .map(|(path, value)| (path.to_owned(), value));
    let (settings, services, access, folder) = Dev::open(environment, &flags).await?.into_parts();
    world.add_key("web", &access.public_key, "the demo's first key").map_err(DemoError::Sandboxed)?;

    let (services, settings) = (Arc::new(services), Arc::new(settings));
    let public = open_public(&settings, &services).await?;
    let (_keep, current) = watch::channel(Arc::clone(&settings));
    let watching = tokio::spawn(NodeAgent::new(Arc::clone(&services), Arc::clone(&public)).run(current));
    let cut = Cut::default();
    let shown = Shown {
        site: format!("http://{site_address}"),
        service: format!("http://{}", service.local_addr()),
        sandbox: sandbox.url(),
        missing: site::missing(&config.modules),
        access,
        sdk_api_key,
    };
    let stage = Stage { services, settings, world, cut: cut.clone(), service: http::router(&public) };
    ready(&shown);

    let site_routes = site::routes(shown, stage, &config.modules);
    let served = serve_service(service, cut.over(http::router(&public)));
    tokio::select! {
        stopped = told_to_stop() => stopped.map_err(|why| DemoError::Serve(ServeError::Signals(why)))?,
        never = crate::sandbox::serve(sandbox) => match never {},
        ended = axum::serve(site, site_routes).into_future() => ended.map_err(|why| DemoError::Site(site_address, why))?,
        () = served => {}
    }
    watching.abort();
    drop(folder);
    Ok(())
}

async fn listen_on_loopback(address: SocketAddr) -> Result<tokio::net::TcpListener, DemoError> {
    if !address.ip().is_loopback() {
        return Err(DemoError::NotLoopback(address));
    }
    tokio::net::TcpListener::bind(address).await.map_err(|why| DemoError::Site(address, why))
}

/// The sandbox with the app `web`, and that app's SDK API key.
async fn local_braze() -> Result<(Arc<LocalBraze>, Sandbox, String), DemoError> {
    let world = Arc::new(LocalBraze::new(Arc::new(SystemClock), Switches::default(), |_| {}));
    let app = world.add_app(AppSpec::named("web")).map_err(|clash| DemoError::Sandboxed(clash.to_string()))?;
    let sandbox = Sandbox::bind(SocketAddr::from(([127, 0, 0, 1], 0)), Arc::clone(&world)).await?;
    Ok((world, sandbox, app["sdk_api_key"].as_str().unwrap_or_default().to_owned()))
}

/// Serves the service's routes until dropped.
async fn serve_service(listener: Listener, routes: axum::Router) {
    let (_stop, stopped) = watch::channel(false);
    let config = listener::Config::on(listener.local_addr());
    listener::serve(listener, config, service(routes, None), stopped).await;
}
