//! Section `[store]` of the configuration.

use std::{num::NonZeroU32, path::PathBuf, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{clock::human_duration, secret::Secret};

/// Place of the store, and how it is reached. `[store]` in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The SQLite file; its folder must exist.
    pub path: PathBuf,
    /// The PostgreSQL database that is the store; without it, the SQLite file is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// File whose first line is the password of the database's role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// That password; `config` reads it from the file.
    #[serde(skip_serializing)]
    pub password: Option<Password>,
    /// Password file of PostgreSQL's clients, where one may be; `config` names it.
    #[serde(skip)]
    pub pass_file: Option<PathBuf>,
    /// Certificates, in PEM, of the authorities that the database's certificate may be from; without it, those that this
    /// machine trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Statements are prepared once a connection, under a name. It is for direct connections: a pool in transaction mode
    /// may give each transaction another one.
    pub prepared: bool,
    /// Greatest number of connections to the database.
    pub connections: NonZeroU32,
    /// Longest wait for a connection, and for an answer of the database; of SQLite, for a write.
    #[serde(with = "human_duration")]
    pub timeout: Duration,
    /// Answers while the store is out of reach.
    pub outage: OnOutage,
    /// Time since the last complete look at what has ended for which requests are answered without the store.
    #[serde(with = "human_duration")]
    pub outage_limit: Duration,
    /// Memory for what has ended, in MiB; sessions that do not fit are not refreshed while the store is out of reach.
    pub outage_memory_mib: NonZeroU32,
    /// Greatest number of live sessions of one user on one app. A new session beyond it ends the one that was
    /// refreshed longest ago.
    pub max_sessions_per_user: NonZeroU32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: "countersign.db".into(),
            url: None,
            password_file: None,
            password: None,
            pass_file: None,
            ca_file: None,
            prepared: false,
            connections: const { NonZeroU32::new(8).unwrap() },
            timeout: Duration::from_secs(5),
            outage: OnOutage::Serve,
            outage_limit: Duration::from_hours(1),
            outage_memory_mib: const { NonZeroU32::new(128).unwrap() },
            max_sessions_per_user: const { NonZeroU32::new(50).unwrap() },
        }
    }
}

impl Config {
    /// Name of the store for people: its URL, which has no password, or its path.
    pub fn name(&self) -> String {
        self.url.clone().unwrap_or_else(|| self.path.display().to_string())
    }
}

/// Answers while the store is out of reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnOutage {
    /// Requests are answered from sealed refresh tokens, for [`Config::outage_limit`].
    Serve,
    /// Requests are refused with 503.
    Refuse,
}

/// Password of a database's role. Copies of a configuration share it.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Secret<String>")]
pub struct Password(Arc<Secret<String>>);

impl From<Secret<String>> for Password {
    fn from(password: Secret<String>) -> Self {
        Self(Arc::new(password))
    }
}

impl Password {
    /// Returns the password. Call it only where it is used.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// In a time that depends on the lengths only.
impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        self.0.matches(other.0.expose().as_bytes())
    }
}

impl Eq for Password {}
