//! Configuration of what becomes of failures that apps report.

use std::{num::NonZeroU32, path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// The section `[failures]` of the configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Number of distinct sessions within a quarter of an hour from which a cause is an event, and a rise.
    pub threshold: NonZeroU32,
    pub webhook: WebhookConfig,
}

/// Receiver of events. `[failures.webhook]` in the configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WebhookConfig {
    /// File that holds the URL, which may be a secret.
    pub url_file: Option<PathBuf>,
    /// File that holds the secret under which events are signed.
    pub secret_file: Option<PathBuf>,
    /// Permission for addresses of private networks, and of this machine.
    pub allow_private_addresses: bool,
    /// Content of the files, once they are read.
    #[serde(skip)]
    pub secrets: Option<Arc<WebhookSecrets>>,
}

/// Secrets of the receiver of events.
#[derive(Debug)]
pub struct WebhookSecrets {
    pub url: Secret<String>,
    /// Key of the HMAC.
    pub key: Secret<Vec<u8>>,
}

impl Default for Config {
    fn default() -> Self {
        Self { threshold: const { NonZeroU32::new(20).unwrap() }, webhook: WebhookConfig::default() }
    }
}
