//! A service that is asked for the operations.

use std::path::Path;

use anyhow::{Context as _, bail};

use super::target::RemoteTarget;
use crate::{
    domain::operator::OperatorToken,
    files::{MAX_SECRET_BYTES, Rule, Use, read_given, text},
    operate::{Endpoint, Operations, RemoteOperations},
    secret::Secret,
};

/// Reads an operator's token. The file must be ours, and nobody else may read it: a token that others can read is no
/// credential.
pub(super) fn token(file: &Path) -> anyhow::Result<Secret<String>> {
    let shown = || file.display().to_string();
    let (bytes, breaches) =
        read_given(file, MAX_SECRET_BYTES, &Rule::of_process(false), Use::Secret).with_context(shown)?;
    if let Some(breach) = breaches.0.first() {
        bail!("{breach}");
    }
    let token = text(bytes.expose()).with_context(shown)?.trim_end();
    OperatorToken::parse(token).with_context(shown)?;
    Ok(Secret::new(token.to_owned()))
}

/// Connects to a service.
pub(super) fn connect(endpoint: &Endpoint, token: Option<Secret<String>>) -> anyhow::Result<Box<dyn Operations>> {
    Ok(Box::new(RemoteOperations::connect(endpoint.clone(), token)?))
}

/// Checks that the installation that was named answers.
pub(super) async fn checked(operations: &dyn Operations, target: &RemoteTarget) -> anyhow::Result<()> {
    let Some(expected) = target.installation else { return Ok(()) };
    match operations.about().await?.installation {
        Some(answers) if answers == expected => Ok(()),
        Some(answers) => {
            bail!("installation {answers} answers at {}, not {expected}: nothing was done", target.endpoint)
        }
        None => bail!("the service at {} does not say which installation it is: nothing was done", target.endpoint),
    }
}
