//! The environment, read once.

use std::{ffi::OsString, path::PathBuf};

/// The variables that are ours.
#[derive(Clone, Default)]
pub struct Environment(Vec<(String, String)>);

/// What all of our variables start with.
pub(super) const PREFIX: &str = "COUNTERSIGN_";

/// Names the configuration file; is no setting itself.
const FILE: &str = "COUNTERSIGN_CONFIG";

/// Whether Kubernetes made this variable: it puts the address of a service named `countersign` into every pod beside it
/// (`COUNTERSIGN_SERVICE_HOST`, `COUNTERSIGN_PORT_8080_TCP`, …).
fn is_service_link(rest: &str) -> bool {
    rest == "PORT" || ((rest.starts_with("PORT_") || rest.starts_with("SERVICE_")) && !rest.contains("__"))
}

impl Environment {
    /// The process's environment.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn of_process() -> Self {
        Self::of(std::env::vars_os())
    }

    /// No environment.
    pub fn empty() -> Self {
        Self::default()
    }

    /// These variables; those that are not ours, or not text, are left out.
    pub fn of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        let is_ours = |name: &str| name.strip_prefix(PREFIX).is_some_and(|rest| !is_service_link(rest));
        let mut ours: Vec<(String, String)> =
            variables.into_iter().filter_map(text).filter(|(name, _)| is_ours(name)).collect();
        ours.sort();
        Self(ours)
    }

    /// The names of our variables.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The configuration file that `COUNTERSIGN_CONFIG` names.
    pub fn config_file(&self) -> Option<PathBuf> {
        self.0.iter().find(|(name, _)| name == FILE).map(|(_, value)| value.into())
    }

    /// The settings among them: path, name of the variable, value.
    pub(super) fn settings(&self) -> impl Iterator<Item = (Vec<String>, &str, &str)> {
        self.0.iter().filter(|(name, _)| name != FILE).map(|(name, value)| {
            let path = name[PREFIX.len()..].split("__").map(str::to_ascii_lowercase).collect();
            (path, name.as_str(), value.as_str())
        })
    }
}
