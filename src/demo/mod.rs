//! `countersign demo`: a temporary service, the sandbox, and a site whose page logs in with the real Web SDK; beside
//! them a console with a week of sample data.

mod controls;
mod requests;
mod sample;
mod site;

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc};

use serde_json::Value;
use tokio::task::JoinSet;

use self::{
    controls::{Controls, Cut},
    sample::SampleConsole,
};
use crate::{
    app::{Access, Dev, DevError, LoopbackListener, OpenError, ServeError, Wiring, stop_signal},
    clock::SystemClock,
    config::Environment,
    sandbox::{self, AppSpec, LocalBraze, Sandbox, SandboxError, Switches},
};

/// Addresses and folders of the demo.
pub struct DemoConfig {
    /// Address of the site; port 0 chooses a free one. Service and sandbox listen on free ports.
    pub listen: SocketAddr,
    /// Folder that npm installed the SDK and the client into.
    pub modules: PathBuf,
}

/// Addresses and credentials of a running demo.
pub struct Shown {
    /// URL of the site, for a browser.
    pub site: String,
    /// URL of the service.
    pub service: String,
    /// URL of the local Braze.
    pub sandbox: String,
    /// URL of the console. It says how far its sample data are made.
    pub console: String,
    pub access: Access,
    pub sdk_api_key: String,
    /// Packages of the page that are not in the modules folder.
    pub missing: Vec<&'static str>,
}

/// Part of the demo that is ready.
pub enum DemoEvent<'a> {
    /// The page.
    Page(&'a Shown),
    /// The console: its `state` is `ready`, with the `token` to log in with, or `failed`, with the reason.
    Console(&'a Value),
}

/// Reason why the demo cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// An address that others could reach.
    #[error("the demo listens on loopback only, not on {0}: its page gives tokens to everybody")]
    NotLoopback(SocketAddr),
    #[error(transparent)]
    Dev(#[from] DevError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error("the sandbox does not take the app or its key: {0}")]
    App(String),
    #[error("{0}: {1}")]
    Site(SocketAddr, io::Error),
}

/// Runs the demo until SIGTERM or SIGINT. `ready` is called once the page can be used, and once the console can.
///
/// # Errors
/// [`DemoError`] where a part cannot start.
pub async fn demo(
    config: DemoConfig,
    environment: &Environment,
    ready: impl Fn(DemoEvent<'_>) + Send,
) -> Result<(), DemoError> {
    let site = listen_on_loopback(config.listen).await?;
    let site_address = site.local_addr().map_err(|why| DemoError::Site(config.listen, why))?;
    let (braze, sandbox, sdk_api_key) = local_braze().await?;
    let (service, console_listener) = (LoopbackListener::bind()?, LoopbackListener::bind()?);
    let console = Arc::new(SampleConsole::new(format!("http://{}/console", console_listener.address())));
    let flags = [
        ("apps.web.allowed_origins", format!("[\"http://{site_address}\"]")),
        ("apps.web.sdk_api_key", sdk_api_key.clone()),
        // The page shows which key signed a token, and since when it is valid.
        ("apps.web.claims.kid", "true".to_owned()),
        ("apps.web.claims.iat", "true".to_owned()),
    ]
    .map(|(path, value)| (path.to_owned(), value));
    let (settings, services, access, folder) = Dev::open(environment, &flags).await?.into_parts();
    braze.add_key("web", &access.public_key, "the demo's first key").map_err(DemoError::App)?;

    let operator = services.operator(&settings)?;
    let wiring = Arc::new(Wiring::open(Arc::new(settings), Arc::new(services)).await?);
    let mut background = wiring.start_node();
    let cut = Cut::default();
    let shown = Shown {
        site: format!("http://{site_address}"),
        service: format!("http://{}", service.address()),
        sandbox: sandbox.url(),
        console: format!("http://{}/console", console_listener.address()),
        missing: site::missing(&config.modules),
        access,
        sdk_api_key,
    };
    let routes = cut.over(wiring.routes());
    let controls = Controls { wiring, operator, braze, cut };
    ready(DemoEvent::Page(&shown));

    let site_routes = site::routes(shown, controls, Arc::clone(&console), &config.modules);
    tokio::select! {
        stopped = stop_signal() => stopped.map_err(|why| DemoError::Serve(ServeError::Signals(why)))?,
        never = sandbox::serve(sandbox) => match never {},
        ended = axum::serve(site, site_routes).into_future() => ended.map_err(|why| DemoError::Site(site_address, why))?,
        () = service.serve(routes) => {}
        () = console_listener.serve(console.routes()) => {}
        () = make_sample(&console, &ready) => {}
        ended = background.ended() => return Err(DemoError::Serve(ended.into())),
    }
    drop((background, folder));
    Ok(())
}

/// Makes the sample, and says when it is made. It never returns.
async fn make_sample(console: &Arc<SampleConsole>, ready: &impl Fn(DemoEvent<'_>)) {
    // A task of its own: making a week keeps a thread busy, and the page comes first.
    let mut task = JoinSet::new();
    task.spawn(sample::run(Arc::clone(console)));
    ready(DemoEvent::Console(&console.made().await));
    std::future::pending::<()>().await;
}

async fn listen_on_loopback(address: SocketAddr) -> Result<tokio::net::TcpListener, DemoError> {
    if !address.ip().is_loopback() {
        return Err(DemoError::NotLoopback(address));
    }
    tokio::net::TcpListener::bind(address).await.map_err(|why| DemoError::Site(address, why))
}

/// Makes the sandbox with the app `web`; returns also that app's SDK API key.
async fn local_braze() -> Result<(Arc<LocalBraze>, Sandbox, String), DemoError> {
    let braze = Arc::new(LocalBraze::new(Arc::new(SystemClock), Switches::default(), |_| {}));
    let app = braze.add_app(AppSpec::named("web")).map_err(|clash| DemoError::App(clash.to_string()))?;
    let sandbox = Sandbox::bind(SocketAddr::from(([127, 0, 0, 1], 0)), Arc::clone(&braze)).await?;
    Ok((braze, sandbox, app["sdk_api_key"].as_str().unwrap_or_default().to_owned()))
}
