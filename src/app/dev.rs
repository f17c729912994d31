//! `serve --dev`: a whole service in a folder that vanishes, with a key and an API key made for the occasion.

use std::{io, net::SocketAddr};

use super::{Layout, OpenError, Services, first_key};
use crate::{
    config::{ConfigErrors, Environment, Settings},
    domain::{
        api_key::ApiKey,
        ids::{AppName, BadName},
    },
    issue::clients::ClientError,
    rotate::CeremonyError,
};

/// One app, and no limits: a developer may hammer it. Which addresses are allowed is decided here, not by the settings.
const CONFIG: &str = "[server]\nallow_plaintext = true\n\n[limits]\nenabled = false\n\n[apps.web]\n";

/// A throw-away service, ready to run. Its folder goes when this is dropped.
pub struct Dev {
    /// Its settings.
    pub settings: Settings,
    /// Its rooms.
    pub services: Services,
    /// What a developer needs to know of it.
    pub access: Access,
    folder: tempfile::TempDir,
}

/// What opens the throw-away service.
pub struct Access {
    /// The app it serves.
    pub app: AppName,
    /// The API key for that app.
    pub api_key: ApiKey,
    /// The public key to paste into Braze, PEM.
    pub public_key: String,
}

/// There is no throw-away service.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// Others could reach it.
    #[error(
        "--dev serves on loopback only, not on {0}: its key is throw-away and its limits are off; `countersign init` makes a real service"
    )]
    NotLoopback(SocketAddr),
    /// It would touch a store that stays.
    #[error(
        "--dev brings its own embedded store, which vanishes with it: unset {0}, or use `countersign init` for a real service"
    )]
    ForeignStore(String),
    /// The settings.
    #[error(transparent)]
    Settings(#[from] ConfigErrors),
    /// The folder.
    #[error("the temporary folder cannot be used: {0}")]
    Folder(#[from] io::Error),
    /// A room.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The key.
    #[error(transparent)]
    Key(#[from] CeremonyError),
    /// The API key.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A name.
    #[error(transparent)]
    Name(#[from] BadName),
}

impl Dev {
    /// Makes the folder, the key and the API key. `flags` may say where to listen.
    pub async fn open(environment: &Environment, flags: &[(String, String)]) -> Result<Self, DevError> {
        if let Some(name) = environment.names().find(|name| name.starts_with("COUNTERSIGN_STORE__")) {
            return Err(DevError::ForeignStore(name.to_owned()));
        }
        let folder = tempfile::Builder::new().prefix("countersign-dev-").tempdir()?;
        let layout = Layout::of(folder.path());
        layout.create(CONFIG)?;
        let settings = Settings::load(Some(&layout.config), environment, flags)?;
        let server = settings.server();
        if let Some(address) =
            [server.listen, server.ops_listen].into_iter().find(|address| !address.ip().is_loopback())
        {
            return Err(DevError::NotLoopback(address));
        }
        let services = Services::open(&settings).await?;
        let public_key = first_key(&services, "main".parse()?).await?.public_key;
        let app: AppName = "web".parse()?;
        let (api_key, _) = services.clients().create("dev".parse()?, vec![app.clone()], None).await?;
        Ok(Self { settings, services, access: Access { app, api_key, public_key }, folder })
    }

    /// The parts; the folder stays for as long as its holder does.
    pub fn into_parts(self) -> (Settings, Services, Access, tempfile::TempDir) {
        (self.settings, self.services, self.access, self.folder)
    }
}
