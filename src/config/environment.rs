//! The environment, read once.

use std::{ffi::OsString, path::PathBuf};

use zeroize::Zeroizing;

/// Variables of this program, as they were at start. Their values may be secrets: they are erased on drop.
#[derive(Clone, Default)]
pub struct Environment(Vec<(String, Zeroizing<String>)>);

/// Prefix of every variable of this program.
pub(super) const PREFIX: &str = "COUNTERSIGN_";

/// Variable that names the configuration file; it is no setting itself.
const FILE: &str = "COUNTERSIGN_CONFIG";

/// Returns true for a variable that Kubernetes sets in every pod for a service named `countersign`
/// (`COUNTERSIGN_SERVICE_HOST`, `COUNTERSIGN_PORT_8080_TCP`, …); `rest` is its name without the prefix.
fn is_service_link(rest: &str) -> bool {
    rest == "PORT" || ((rest.starts_with("PORT_") || rest.starts_with("SERVICE_")) && !rest.contains("__"))
}

impl Environment {
    /// Reads the environment of the process.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn of_process() -> Self {
        Self::of(std::env::vars_os())
    }

    /// Makes an empty environment.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Keeps the variables of this program whose values are UTF-8.
    pub fn of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let text = |(name, value): (OsString, OsString)| {
            Some((name.into_string().ok()?, Zeroizing::new(value.into_string().ok()?)))
        };
        let is_ours = |name: &str| name.strip_prefix(PREFIX).is_some_and(|rest| !is_service_link(rest));
        let mut ours: Vec<(String, Zeroizing<String>)> =
            variables.into_iter().filter_map(text).filter(|(name, _)| is_ours(name)).collect();
        ours.sort_by(|(one, _), (other, _)| one.cmp(other));
        Self(ours)
    }

    /// Names of the variables.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Configuration file that `COUNTERSIGN_CONFIG` names.
    pub fn config_file(&self) -> Option<PathBuf> {
        self.0.iter().find(|(name, _)| name == FILE).map(|(_, value)| value.as_str().into())
    }

    /// Variables that are settings: path of the setting, name of the variable, value.
    pub(super) fn settings(&self) -> impl Iterator<Item = (Vec<String>, &str, &str)> {
        self.0.iter().filter(|(name, _)| name != FILE).map(|(name, value)| {
            let path = name[PREFIX.len()..].split("__").map(str::to_ascii_lowercase).collect();
            (path, name.as_str(), value.as_str())
        })
    }
}
