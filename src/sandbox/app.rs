//! Simulated apps: their description at start, their enforcement, their keys.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use strum::VariantNames as _;

use super::keys::AppKeys;

/// Treatment of bad tokens; set per app in Braze's dashboard.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, strum::EnumString, strum::VariantNames,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", parse_err_ty = String, parse_err_fn = unknown_enforcement)]
pub enum Enforcement {
    /// Tokens are not checked.
    Disabled,
    /// Bad tokens are counted and reported; the request is accepted.
    Optional,
    /// Requests with a bad token are rejected.
    #[default]
    Required,
}

fn unknown_enforcement(text: &str) -> String {
    format!("{text:?} is none of {}", Enforcement::VARIANTS.join(", "))
}

/// Description of an app to simulate: `NAME` or `NAME=SDK_API_KEY` on the command line.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppSpec {
    pub name: String,
    /// Generated if absent.
    pub sdk_api_key: Option<String>,
    /// The app's id in the REST API; generated if absent.
    pub app_id: Option<String>,
    /// The enforcement at start; `Required` if absent.
    pub enforcement: Option<Enforcement>,
}

impl AppSpec {
    /// Describes an app by its name alone.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), sdk_api_key: None, app_id: None, enforcement: None }
    }
}

impl FromStr for AppSpec {
    type Err = BadApp;

    fn from_str(text: &str) -> Result<Self, BadApp> {
        let (name, key) = match text.split_once('=') {
            Some((_, "")) => return Err(BadApp::Empty),
            Some((name, key)) => (name, Some(key.to_owned())),
            None => (text, None),
        };
        if name.is_empty() {
            return Err(BadApp::Empty);
        }
        Ok(Self { sdk_api_key: key, ..Self::named(name) })
    }
}

/// Reason for which an app cannot be added.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadApp {
    /// The name is missing, or the key is empty.
    #[error("an app is NAME or NAME=SDK_API_KEY, neither of them empty")]
    Empty,
    /// Name, key or id belong to another app.
    #[error("another app has this {0} already")]
    Taken(&'static str),
}

/// Simulated app with its identifiers, enforcement and keys.
#[derive(Debug)]
pub(super) struct SandboxApp {
    pub(super) name: String,
    pub(super) app_id: String,
    pub(super) sdk_api_key: String,
    pub(super) enforcement: Enforcement,
    pub(super) keys: AppKeys,
}

impl SandboxApp {
    /// Makes an app, the `number`th of the sandbox, from its description.
    pub(super) fn new(spec: AppSpec, number: usize) -> Self {
        let generated = |kind: &str| format!("00000000-0000-4000-{kind}-{number:012}");
        Self {
            app_id: spec.app_id.unwrap_or_else(|| generated("9000")),
            sdk_api_key: spec.sdk_api_key.unwrap_or_else(|| generated("8000")),
            enforcement: spec.enforcement.unwrap_or_default(),
            name: spec.name,
            keys: AppKeys::default(),
        }
    }

    /// Returns the kind of identifier that one of these apps shares with this one.
    pub(super) fn clash(&self, others: &[Self]) -> Option<&'static str> {
        let shared = |same: fn(&Self, &Self) -> bool| others.iter().any(|other| same(self, other));
        let kinds = [
            ("name", shared(|a, b| a.name == b.name)),
            ("SDK API key", shared(|a, b| a.sdk_api_key == b.sdk_api_key)),
            ("app id", shared(|a, b| a.app_id == b.app_id)),
        ];
        kinds.into_iter().find_map(|(kind, is_shared)| is_shared.then_some(kind))
    }
}
