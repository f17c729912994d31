//! Target of a command: this machine's store and keys, or a service that is asked by the operators' API.

use std::path::PathBuf;

use clap::Args;

use super::usage::UsageError;
use crate::{
    domain::{
        ids::InstallationId,
        shell::{quoted, quoted_path},
    },
    operate::Endpoint,
};

/// Variable that names the service to ask; it is no setting.
pub(super) const URL_VARIABLE: &str = "COUNTERSIGN_URL";
/// Variable that names the file with the operator's token; it is no setting.
pub(super) const TOKEN_VARIABLE: &str = "COUNTERSIGN_TOKEN_FILE";

/// Flags of every command that choose its target.
#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
pub(super) struct TargetFlags {
    /// Ask a running service: `https://HOST`, `http://127.0.0.1:PORT`, or `unix:/PATH` of its socket [default:
    /// `COUNTERSIGN_URL`, else this machine's store]
    #[arg(id = "target_url", long = "url", global = true, value_name = "URL", help_heading = "Another machine")]
    url: Option<Endpoint>,
    /// File with the operator's token, which nobody else may read [default: `COUNTERSIGN_TOKEN_FILE`]
    #[arg(
        id = "target_token_file",
        long = "token-file",
        global = true,
        value_name = "FILE",
        help_heading = "Another machine"
    )]
    token_file: Option<PathBuf>,
    /// Use this machine's store, whatever `COUNTERSIGN_URL` says
    #[arg(
        id = "target_local",
        long = "local",
        global = true,
        conflicts_with = "target_url",
        help_heading = "Another machine"
    )]
    local: bool,
    /// Id of the installation that must answer; what cannot be undone needs it where `COUNTERSIGN_URL` names the service
    #[arg(
        id = "target_installation",
        long = "installation",
        global = true,
        value_name = "ID",
        help_heading = "Another machine"
    )]
    installation: Option<InstallationId>,
}

/// Target of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The store and the keys that the configuration names.
    Local,
    /// A service that is asked.
    Remote(RemoteTarget),
}

/// Service that is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RemoteTarget {
    pub(super) endpoint: Endpoint,
    pub(super) token_file: Option<PathBuf>,
    /// The environment named it, so that whoever types the command may not have it in mind.
    pub(super) from_environment: bool,
    /// Installation that must answer.
    pub(super) installation: Option<InstallationId>,
}

impl TargetFlags {
    /// True where a flag names a service.
    pub(super) fn names_service(&self) -> bool {
        self.url.is_some()
    }

    /// Installation that must answer.
    pub(super) fn installation(&self) -> Option<InstallationId> {
        self.installation
    }

    /// Flags as they were given, for commands that are printed.
    pub(super) fn as_given(&self) -> String {
        let url = self.url.iter().map(|url| format!(" --url {}", quoted(&url.to_string())));
        let token = self.token_file.iter().map(|file| format!(" --token-file {}", quoted_path(file)));
        url.chain(token).chain(self.local.then(|| " --local".to_owned())).collect()
    }

    /// Chooses the target by these flags, and by the variables of the environment that name a service and a token.
    ///
    /// # Errors
    /// The variable is not an address of a service; a service beyond this machine is asked without a token.
    pub(super) fn target(&self, url: Option<&str>, token_file: Option<&str>) -> Result<Target, UsageError> {
        let named = match (&self.url, url.filter(|_| !self.local)) {
            (Some(endpoint), _) => Some((endpoint.clone(), false)),
            (None, Some(url)) => {
                let read = url.parse().map_err(|why| UsageError::new(format!("{URL_VARIABLE}: {why}")));
                Some((read?, true))
            }
            (None, None) => None,
        };
        let Some((endpoint, from_environment)) = named else { return self.local_target() };
        let token_file = self.token_file.clone().or_else(|| token_file.map(PathBuf::from));
        if token_file.is_none() && !endpoint.is_socket() {
            let text = format!(
                "{endpoint} asks for an operator's token: give the file that holds it with --token-file, or in \
                 {TOKEN_VARIABLE} (`countersign operators create` makes one)"
            );
            return Err(UsageError::new(text));
        }
        let installation = self.installation;
        Ok(Target::Remote(RemoteTarget { endpoint, token_file, from_environment, installation }))
    }

    fn local_target(&self) -> Result<Target, UsageError> {
        if self.token_file.is_some() {
            let text = format!("--token-file is for a service that is asked: give --url, or {URL_VARIABLE}");
            return Err(UsageError::new(text));
        }
        Ok(Target::Local)
    }
}

impl RemoteTarget {
    /// Checks that a command that cannot be undone names its installation where the environment named the service.
    ///
    /// # Errors
    /// [`UsageError`] without `--installation`.
    pub(super) fn check_destructive(&self) -> Result<(), UsageError> {
        if !self.from_environment || self.installation.is_some() {
            return Ok(());
        }
        let endpoint = &self.endpoint;
        Err(UsageError::new(format!(
            "this cannot be undone, and {URL_VARIABLE} says where ({endpoint}): add --installation ID, the id of that \
             installation (its `countersign doctor` shows it), or --local to use this machine's store; nothing was changed"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTTPS: &str = "https://ops.example.com";
    const SOCKET: &str = "unix:/run/countersign/ops.sock";

    fn flags(url: Option<&str>, token: Option<&str>, local: bool, installation: bool) -> TargetFlags {
        TargetFlags {
            url: url.map(|url| url.parse().unwrap()),
            token_file: token.map(Into::into),
            local,
            installation: installation.then(|| InstallationId::new([7; 16])),
        }
    }

    fn remote(url: &str, token: Option<&str>, from_environment: bool) -> Target {
        let (endpoint, token_file) = (url.parse().unwrap(), token.map(Into::into));
        Target::Remote(RemoteTarget { endpoint, token_file, from_environment, installation: None })
    }

    #[test]
    fn flags_come_before_the_environment_and_local_before_both() {
        let none = flags(None, None, false, false);
        assert_eq!(none.target(None, None).unwrap(), Target::Local);
        assert_eq!(none.target(None, Some("t")).unwrap(), Target::Local, "a token alone names no service");
        assert_eq!(none.target(Some(HTTPS), Some("t")).unwrap(), remote(HTTPS, Some("t"), true));
        assert_eq!(none.target(Some(SOCKET), None).unwrap(), remote(SOCKET, None, true));
        let local = flags(None, None, true, false);
        assert_eq!(local.target(Some(HTTPS), Some("t")).unwrap(), Target::Local);
        assert_eq!(local.target(Some("nonsense"), None).unwrap(), Target::Local);
        let url = flags(Some(SOCKET), None, false, false);
        assert_eq!(url.target(Some(HTTPS), Some("t")).unwrap(), remote(SOCKET, Some("t"), false));
        let both = flags(Some(HTTPS), Some("mine"), false, false);
        assert_eq!(both.target(Some("nonsense"), Some("t")).unwrap(), remote(HTTPS, Some("mine"), false));
    }

    #[test]
    fn errors_say_what_to_give() {
        let error = |flags: TargetFlags, url: Option<&str>| flags.target(url, None).unwrap_err().to_string();
        assert!(error(flags(Some(HTTPS), None, false, false), None).contains("--token-file"));
        assert!(error(flags(None, None, false, false), Some(HTTPS)).contains("COUNTERSIGN_TOKEN_FILE"));
        assert!(error(flags(None, None, false, false), Some("ops.example.com")).starts_with("COUNTERSIGN_URL: "));
        assert!(error(flags(None, None, false, false), Some("http://ops.example.com")).contains("plain HTTP"));
        assert!(error(flags(None, Some("t"), false, false), None).contains("--url"));
    }

    #[test]
    fn what_cannot_be_undone_names_its_installation_where_the_environment_named_the_service() {
        let checked = |flags: TargetFlags, url: Option<&str>| match flags.target(url, Some("t")).unwrap() {
            Target::Local => panic!("remote"),
            Target::Remote(target) => target.check_destructive().map_err(|error| error.to_string()),
        };
        assert_eq!(checked(flags(Some(HTTPS), None, false, false), None), Ok(()));
        assert_eq!(checked(flags(Some(HTTPS), None, false, false), Some(SOCKET)), Ok(()));
        assert_eq!(checked(flags(None, None, false, true), Some(HTTPS)), Ok(()));
        let refused = checked(flags(None, None, false, false), Some(SOCKET)).unwrap_err();
        assert!(refused.contains("--installation") && refused.contains(SOCKET), "{refused}");
    }
}
