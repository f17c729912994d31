//! The environment, read once.

use std::{ffi::OsString, path::PathBuf};

use zeroize::Zeroizing;

/// Variables of this program, as they were at start. Their values may be secrets: they are erased on drop.
#[derive(Clone, Default)]
pub struct Environment {
    variables: Vec<(String, Zeroizing<String>)>,
    pass_file: Option<PathBuf>,
}

/// Variable that names the password file of PostgreSQL's clients; without it, that is `.pgpass` in the home folder
/// (<https://www.postgresql.org/docs/current/libpq-pgpass.html>).
const PASS_FILE: &str = "PGPASSFILE";
const HOME: &str = "HOME";

/// Prefix of every variable of this program.
pub(super) const PREFIX: &str = "COUNTERSIGN_";

/// Separator of the parts of a setting in the name of its variable.
pub(super) const SEPARATOR: &str = "__";

/// Variable that names the configuration file; it is no setting itself.
const FILE: &str = "COUNTERSIGN_CONFIG";

/// Variable that the documents of this program use in its clients; the program itself does not read it.
const OF_CLIENTS: &str = "COUNTERSIGN_API_KEY";

/// Variables that choose the service which a command asks; they are no settings.
const URL: &str = "COUNTERSIGN_URL";
const TOKEN_FILE: &str = "COUNTERSIGN_TOKEN_FILE";

/// Returns true for a variable that is a setting, known or not.
fn is_setting(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|rest| rest.contains(SEPARATOR))
}

/// Returns true for a variable that Kubernetes sets in every pod for a service named `countersign` or
/// `countersign-<name>` (`COUNTERSIGN_SERVICE_HOST`, `COUNTERSIGN_METRICS_PORT_9090_TCP`, …).
fn is_service_link(name: &str, value: &str) -> bool {
    let Some(rest) = name.strip_prefix("COUNTERSIGN").filter(|_| !is_setting(name)) else { return false };
    let is_url = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    rest.ends_with("_SERVICE_HOST")
        || rest.contains("_SERVICE_PORT")
        || (rest.ends_with("_PORT") && is_url)
        || rest.match_indices("_PORT_").any(|(at, part)| is_port(&rest[at + part.len()..]))
}

/// Returns true for the end of a service link: a port, its protocol, and nothing or one fact about it.
fn is_port(text: &str) -> bool {
    let mut parts = text.split('_');
    let port = parts.next().is_some_and(|port| port.parse::<u16>().is_ok());
    let protocol = parts.next().is_some_and(|protocol| ["TCP", "UDP", "SCTP"].contains(&protocol));
    let fact = parts.next().is_none_or(|fact| ["PROTO", "PORT", "ADDR"].contains(&fact));
    port && protocol && fact && parts.next().is_none()
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
        let variables: Vec<(OsString, OsString)> = variables.into_iter().collect();
        let named = |name: &str| variables.iter().find(|(known, value)| known == name && !value.is_empty());
        let pass_file = named(PASS_FILE).map(|(_, file)| PathBuf::from(file));
        let pass_file = pass_file.or_else(|| named(HOME).map(|(_, home)| PathBuf::from(home).join(".pgpass")));
        let text = |(name, value): (OsString, OsString)| {
            Some((name.into_string().ok()?, Zeroizing::new(value.into_string().ok()?)))
        };
        let is_ours =
            |name: &str, value: &str| name.starts_with(PREFIX) && name != OF_CLIENTS && !is_service_link(name, value);
        let mut ours: Vec<(String, Zeroizing<String>)> =
            variables.into_iter().filter_map(text).filter(|(name, value)| is_ours(name, value)).collect();
        ours.sort_by(|(one, _), (other, _)| one.cmp(other));
        Self { variables: ours, pass_file }
    }

    /// Names of the variables.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(|(name, _)| name.as_str())
    }

    /// Password file of PostgreSQL's clients, where one may be.
    pub(super) fn pass_file(&self) -> Option<PathBuf> {
        self.pass_file.clone()
    }

    /// Configuration file that `COUNTERSIGN_CONFIG` names.
    pub fn config_file(&self) -> Option<PathBuf> {
        self.value(FILE).map(PathBuf::from)
    }

    /// Service to ask, as `COUNTERSIGN_URL` names it. An empty variable is as none.
    pub fn url(&self) -> Option<&str> {
        self.value(URL).filter(|value| !value.is_empty())
    }

    /// File with an operator's token, as `COUNTERSIGN_TOKEN_FILE` names it. An empty variable is as none.
    pub fn token_file(&self) -> Option<&str> {
        self.value(TOKEN_FILE).filter(|value| !value.is_empty())
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Variables that are settings: path of the setting, name of the variable, value.
    pub(super) fn settings(&self) -> impl Iterator<Item = (Vec<String>, &str, &str)> {
        self.variables.iter().filter(|(name, _)| is_setting(name)).map(|(name, value)| {
            let path = name[PREFIX.len()..].split(SEPARATOR).map(str::to_ascii_lowercase).collect();
            (path, name.as_str(), value.as_str())
        })
    }

    /// Names of the variables that begin as ours do and are no settings. Somebody else may have set them, for a reason
    /// of their own.
    pub(super) fn others(&self) -> impl Iterator<Item = &str> {
        self.names().filter(|name| ![FILE, URL, TOKEN_FILE].contains(name) && !is_setting(name))
    }
}
