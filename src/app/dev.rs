//! `serve --dev`: a whole service in a temporary folder, with a throw-away key and API key.

use std::{io, net::SocketAddr};

use super::{Ambient, Layout, OpenError, Services};
use crate::{
    config::{ConfigErrors, Environment, Settings},
    domain::{
        api_key::ApiKey,
        ids::{AppName, BadName},
    },
    operate::{CeremonyError, ClientError},
};

/// Configuration with one app, and without rate limits, so that a developer may run a load test. [`Dev::open`] checks
/// the addresses, not these settings.
const CONFIG: &str = "[server]\nallow_plaintext = true\n\n[limits]\nenabled = false\n\n[apps.web]\n";

/// A throw-away service, ready to run. Its folder is deleted when this is dropped.
pub struct Dev {
    pub settings: Settings,
    pub services: Services,
    /// Credentials that a developer needs.
    pub access: Access,
    folder: tempfile::TempDir,
}

/// Credentials of a throw-away service.
pub struct Access {
    pub app: AppName,
    /// API key for that app.
    pub api_key: ApiKey,
    /// Public key in PEM, to paste into Braze.
    pub public_key: String,
}

/// Reason why the throw-away service cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// An address that others could reach.
    #[error(
        "--dev serves on loopback only, not on {0}: its key is throw-away and its limits are off; `countersign init` makes a real service"
    )]
    NotLoopback(SocketAddr),
    /// The environment configures a store that would outlive the process.
    #[error("--dev uses a temporary embedded store: unset {0}, or use `countersign init` for a real service")]
    ForeignStore(String),
    #[error(transparent)]
    Settings(#[from] ConfigErrors),
    #[error("the temporary folder cannot be used: {0}")]
    Folder(#[from] io::Error),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Key(#[from] CeremonyError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Name(#[from] BadName),
}

impl Dev {
    /// Makes the folder, the key and the API key. `flags` override settings, e.g. the addresses to listen on.
    ///
    /// # Errors
    /// [`DevError`].
    pub async fn open(environment: &Environment, flags: &[(String, String)]) -> Result<Self, DevError> {
        Self::of(CONFIG, environment, flags, Ambient::system()).await
    }

    /// Makes the same of another configuration, which has the app `web` on the ring `main`, with this clock.
    ///
    /// # Errors
    /// [`DevError`].
    pub async fn of(
        config: &str,
        environment: &Environment,
        flags: &[(String, String)],
        ambient: Ambient,
    ) -> Result<Self, DevError> {
        if let Some(name) = environment.names().find(|name| name.starts_with("COUNTERSIGN_STORE__")) {
            return Err(DevError::ForeignStore(name.to_owned()));
        }
        let folder = tempfile::Builder::new().prefix("countersign-dev-").tempdir()?;
        let layout = Layout::of(folder.path());
        layout.create(config)?;
        let settings = Settings::load(Some(&layout.config), environment, flags)?;
        let server = settings.server();
        if let Some(address) =
            [server.listen, server.ops_listen].into_iter().find(|address| !address.ip().is_loopback())
        {
            return Err(DevError::NotLoopback(address));
        }
        let services = Services::create(&settings, ambient).await?;
        let operator = services.operator(&settings)?;
        let public_key = operator.keys().first_key("main".parse()?).await?.public_key;
        let app: AppName = "web".parse()?;
        let (api_key, _) = operator.clients().create("dev".parse()?, vec![app.clone()], None).await?;
        Ok(Self { settings, services, access: Access { app, api_key, public_key }, folder })
    }

    /// Returns the parts. The folder is deleted when the returned `TempDir` is dropped.
    pub fn into_parts(self) -> (Settings, Services, Access, tempfile::TempDir) {
        (self.settings, self.services, self.access, self.folder)
    }
}
