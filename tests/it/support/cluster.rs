//! An installation whose store is a PostgreSQL database, and processes of the service on it.

use std::path::PathBuf;

use countersign::{
    app::{Ambient, Layout, Services},
    config::{Environment, Settings},
    domain::{
        refresh_token::{Contents, unseal},
        sealing::SealingKeys,
    },
};

use super::service::{Service, run_json};

/// An installation with one key and an API key for the app `web`.
pub struct Cluster {
    pub folder: tempfile::TempDir,
    pub api_key: String,
    keys: SealingKeys,
}

impl Cluster {
    /// Installs a service whose store is the empty database at `url`; `more` is added to its configuration.
    pub async fn on(url: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::of(folder.path());
        let config = format!(
            "[store]\nurl = \"{url}\"\n[limits]\nenabled = false\n[custody]\nmax_wait = \"60s\"\n[apps.web]\n{more}"
        );
        layout.create(&config).unwrap();
        let settings = Settings::load(Some(&layout.config), &Environment::empty(), &[]).unwrap();
        let services = Services::create(&settings, Ambient::system()).await.unwrap();
        services.operator(&settings).unwrap().keys().first_key("main".parse().unwrap()).await.unwrap();
        drop(services);
        let path = folder.path().to_owned();
        let created = move || run_json(&["clients", "create", "backend", "--app", "web"], &path);
        let created = tokio::task::spawn_blocking(created).await.unwrap();
        let keys = SealingKeys::derive(settings.sealing());
        Self { folder, api_key: created["api_key"].as_str().unwrap().to_owned(), keys }
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("countersign.toml")
    }

    /// Changes the configuration of processes that are started from now on.
    pub fn configure(&self, change: impl FnOnce(String) -> String) {
        let text = std::fs::read_to_string(self.config()).unwrap();
        let changed = change(text.clone());
        assert_ne!(changed, text);
        std::fs::write(self.config(), changed).unwrap();
    }

    /// Starts a process of the service.
    pub fn node(&self) -> Service {
        Service::of(&self.config())
    }

    /// Begins a session of a user; its refresh token.
    pub async fn session(&self, node: &Service, user: &str) -> String {
        node.generate(&self.api_key, user).await.ok().text("refresh_token")
    }

    /// The contents of a refresh token.
    pub fn contents(&self, refresh_token: &str) -> Contents {
        (*unseal(refresh_token, &self.keys).unwrap()).clone()
    }
}
