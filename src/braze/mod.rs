//! Client of Braze's key management: lists, adds, promotes and deletes the public keys of an app.
//!
//! `rest` calls Braze's REST API. For a workspace without a REST API key, people do the same in the dashboard and
//! attest the result.

mod response;
mod rest;

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::Arc,
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    clock::{Clock, UnixMillis},
    domain::spki::Spki,
    secret::Secret,
};

/// Access to a workspace at Braze. `[braze.<workspace>]` in the configuration.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Base URL, `https://rest.<cluster>.braze.com`.
    pub rest_url: String,
    /// File that holds the REST API key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key_file: Option<PathBuf>,
    /// REST API key with the four `sdk_authentication.*` permissions; `config` reads it from the file.
    #[serde(skip_serializing)]
    pub api_key: Option<Secret<String>>,
}

/// Key directories of the workspaces, by the workspace's name.
pub type Directories = HashMap<String, Arc<dyn KeyDirectory>>;

/// Opens the workspaces that have a REST API key, without a call to Braze.
///
/// # Errors
/// [`BrazeError::Setup`] if the HTTP client cannot be made.
pub fn open(workspaces: &BTreeMap<String, Config>, clock: &Arc<dyn Clock>) -> Result<Directories, BrazeError> {
    let mut directories = Directories::new();
    for (name, config) in workspaces {
        if let Some(api_key) = &config.api_key {
            let api_key = Secret::new(api_key.expose().clone());
            let directory = rest::RestDirectory::open(&config.rest_url, api_key, Arc::clone(clock))?;
            directories.insert(name.clone(), Arc::new(directory));
        }
    }
    Ok(directories)
}

/// Public keys of a workspace's apps, as Braze holds them.
#[async_trait]
pub trait KeyDirectory: Send + Sync {
    /// Lists every key of an app, in Braze's order.
    async fn list(&self, app_id: &str) -> Result<Vec<Listed>, BrazeError>;

    /// Adds a key that is not primary; returns Braze's id for it. The call is never repeated: after an error that
    /// [`BrazeError::is_ambiguous`], only [`KeyDirectory::list`] shows whether the key was added.
    async fn create(&self, app_id: &str, public_key: &str, description: &str) -> Result<String, BrazeError>;

    /// Makes a key the only primary one.
    async fn make_primary(&self, app_id: &str, key_id: &str) -> Result<(), BrazeError>;

    /// Deletes a key; succeeds if the key does not exist.
    async fn delete(&self, app_id: &str, key_id: &str) -> Result<(), BrazeError>;
}

/// A key in Braze's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Braze's id for it.
    pub id: String,
    /// `None` if Braze's text is no readable RSA public key.
    pub public_key: Option<Spki>,
    pub description: String,
    pub primary: bool,
}

/// Failure of a call to Braze.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrazeError {
    /// The HTTP client cannot be made.
    #[error("the HTTP client cannot be made: {0}")]
    Setup(String),
    /// No connection. The call was not sent.
    #[error("no connection: {0}")]
    NoConnection(String),
    /// No answer in time, or an unreadable answer. The call may have taken effect.
    #[error("no answer: {0}")]
    NoAnswer(String),
    /// An error of Braze (5xx), or of a proxy before it (408). The call may have taken effect.
    #[error("Braze answered {status}: {message}")]
    Fault { status: u16, message: String },
    /// A refusal (any other status than 2xx, 408, 429 or 5xx). The call had no effect.
    #[error("Braze refused ({status}): {message}{}", advice(*.status))]
    Refused { status: u16, message: String },
    /// The rate limit is used up. The call had no effect.
    #[error("Braze's rate limit is used up until {until}")]
    RateLimited {
        /// The time at which the limit resets.
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
    /// Returns true if the call may have taken effect in spite of the error.
    pub fn is_ambiguous(&self) -> bool {
        matches!(self, Self::NoAnswer(_) | Self::Fault { .. })
    }

    /// Returns true if an idempotent call may succeed when it is sent again at once.
    fn is_transient(&self) -> bool {
        self.is_ambiguous() || matches!(self, Self::NoConnection(_))
    }
}
