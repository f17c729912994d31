//! Sections of the configuration, each the `Config` of the module that owns it.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::app_section::AppSection;
use crate::{braze, clock, custody, failures, http, listener, rotate, secret::Secret, store, telemetry::LogConfig};

/// All sections of the configuration.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Sections {
    pub(super) server: listener::Config,
    pub(super) clock: clock::Config,
    pub(super) store: store::Config,
    pub(super) sealing: Sealing,
    pub(super) custody: custody::Config,
    pub(super) secrets: Secrets,
    pub(super) limits: http::LimitConfig,
    pub(super) failures: failures::Config,
    pub(super) log: LogConfig,
    pub(super) jwks: http::JwksConfig,
    /// `[braze.<workspace>]`.
    pub(super) braze: BTreeMap<String, braze::Config>,
    /// `[rings.<name>]`.
    pub(super) rings: BTreeMap<String, RingSection>,
    /// `[apps.<name>]`.
    pub(super) apps: BTreeMap<String, AppSection>,
}

/// Source of the sealing secrets. `[sealing]` in the configuration.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Sealing {
    pub(super) secret_file: PathBuf,
    /// The secrets themselves, from the environment; the file is not read then.
    #[serde(skip_serializing)]
    pub(super) secret: Option<Secret<String>>,
}

impl Default for Sealing {
    fn default() -> Self {
        Self { secret_file: "sealing.secret".into(), secret: None }
    }
}

/// Rule for files of secrets, beyond what always holds. `[secrets]` in the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Secrets {
    /// Accepts a file that everybody may read, where its mount is read-only.
    pub(super) allow_world_readable: bool,
}

/// Settings of a key ring.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct RingSection {
    /// Forces the claim `iss`, so that Braze rejects a token of one app on another.
    pub(super) isolate_apps: bool,
    pub(super) rotation: rotate::Config,
}
