//! The public keys that Braze holds for an app: listed, added, made primary, deleted.
//!
//! `rest` speaks to Braze's REST API. Where a workspace has no REST key, people do the same in the dashboard, and what
//! they attest stands in for a list.

mod answer;
mod rest;

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;

use crate::{
    clock::{Clock, UnixMillis},
    domain::spki::Spki,
    secret::Secret,
};

/// A workspace of Braze that can be driven. `[braze.<workspace>]` in the configuration.
pub struct Config {
    /// Its name here.
    pub workspace: String,
    /// `https://rest.<cluster>.braze.com`.
    pub rest_url: String,
    /// A REST API key with the four `sdk_authentication.*` permissions.
    pub api_key: Secret<String>,
}

/// The workspaces by name.
pub type Directories = HashMap<String, Arc<dyn KeyDirectory>>;

/// Opens the workspaces; nothing is asked of Braze yet.
///
/// # Errors
/// [`BrazeError::Setup`] where the HTTP client cannot be made.
pub fn open(configs: Vec<Config>, clock: &Arc<dyn Clock>) -> Result<Directories, BrazeError> {
    let open = |config: Config| {
        let name = config.workspace.clone();
        let directory: Arc<dyn KeyDirectory> = Arc::new(rest::RestDirectory::open(config, Arc::clone(clock))?);
        Ok((name, directory))
    };
    configs.into_iter().map(open).collect()
}

/// The keys of a workspace's apps.
#[async_trait]
pub trait KeyDirectory: Send + Sync {
    /// Every key of an app, in Braze's order.
    async fn list(&self, app_id: &str) -> Result<Vec<Listed>, BrazeError>;

    /// Adds a key, not as primary; Braze's id for it. Never repeated by itself: after [`BrazeError::is_ambiguous`] only a
    /// list tells.
    async fn create(&self, app_id: &str, public_key: &str, description: &str) -> Result<String, BrazeError>;

    /// Makes a key the primary one.
    async fn make_primary(&self, app_id: &str, key_id: &str) -> Result<(), BrazeError>;

    /// Deletes a key. One that is not there is deleted.
    async fn delete(&self, app_id: &str, key_id: &str) -> Result<(), BrazeError>;
}

/// A key that Braze lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Braze's id for it.
    pub id: String,
    /// The key itself; nothing where it is no RSA key that can be read.
    pub public_key: Option<Spki>,
    /// What whoever added it wrote.
    pub description: String,
    /// Whether it is the primary key.
    pub primary: bool,
}

/// Braze did not do it, or did not say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrazeError {
    /// The client could not be made.
    #[error("the HTTP client cannot be made: {0}")]
    Setup(String),
    /// No connection, no answer in time, or an answer that is none of Braze's. It may have been done.
    #[error("no answer: {0}")]
    NoAnswer(String),
    /// A fault of Braze's own. It may have been done.
    #[error("Braze answered {status}: {message}")]
    Fault {
        /// The HTTP status, 5xx.
        status: u16,
        /// What it said.
        message: String,
    },
    /// It was not done.
    #[error("Braze refused ({status}): {message}{}", advice(*.status))]
    Refused {
        /// The HTTP status, 4xx.
        status: u16,
        /// What it said.
        message: String,
    },
    /// It was not done; the rate limit is used up.
    #[error("Braze's rate limit is used up until {until}")]
    RateLimited {
        /// When it is renewed.
        until: UnixMillis,
    },
}

fn advice(status: u16) -> &'static str {
    match status {
        401 | 403 => {
            "; the REST API key needs the permissions sdk_authentication.create, .keys, .primary and .delete of this workspace"
        }
        404 => "; are rest_url and braze_app_id those of this app?",
        _ => "",
    }
}

impl BrazeError {
    /// Whether it may have been done all the same.
    pub fn is_ambiguous(&self) -> bool {
        matches!(self, Self::NoAnswer(_) | Self::Fault { .. })
    }
}
