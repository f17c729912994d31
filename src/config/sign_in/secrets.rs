//! Secret by which this service authenticates at an introspection endpoint.

use std::path::Path;

use zeroize::Zeroizing;

use super::given::Given;
use crate::{
    config::{secret_files::SecretFiles, sign_in_section::Authentication},
    domain::client_authentication::{ClientAuthentication, ClientKey, ClientSecret},
};

const WRITE_SECRET: &str = "write the client secret there, as the provider's console shows it";
const WRITE_KEY: &str = "write a private key in PEM there, whose public key the provider has; `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256` makes one";

/// Returns the authentication that the settings stand for; `None` where one is wrong, or where no file may be read.
pub(super) fn authentication(
    given: &mut Given<'_, '_>,
    files: Option<&mut SecretFiles<'_>>,
) -> Option<ClientAuthentication> {
    let section = given.section;
    let by_key = match section.authentication {
        Some(chosen) => chosen == Authentication::PrivateKeyJwt,
        None => section.private_key_file.is_some() && section.client_secret_file.is_none(),
    };
    for (name, is_there) in [
        ("private_key_file", section.private_key_file.is_some()),
        ("private_key_id", section.private_key_id.is_some()),
        ("assertion_audience", section.assertion_audience.is_some()),
    ] {
        if is_there && !by_key {
            given.wrong(name, "is for authentication = \"private_key_jwt\"");
        }
    }
    if by_key { with_key(given, files) } else { with_secret(given, files) }
}

fn with_secret(given: &mut Given<'_, '_>, files: Option<&mut SecretFiles<'_>>) -> Option<ClientAuthentication> {
    let Some(file) = &given.section.client_secret_file else {
        if !given.has_error("client_secret_file") {
            given.lacks(
                "needs client_secret_file, the file that holds the client secret from the provider's console (or private_key_file): client_secret_file = \"introspection.secret\"",
            );
        }
        return None;
    };
    let text = read(given, files?, file, "client_secret_file", WRITE_SECRET)?;
    let secret = text.trim();
    if secret.contains(char::is_whitespace) {
        given.wrong(
            "client_secret_file",
            "has a space or several lines: write the client secret alone, as the provider's console shows it",
        );
        return None;
    }
    if secret.is_empty() {
        given.wrong("client_secret_file", "holds no client secret: one line, without spaces");
        return None;
    }
    Some(ClientAuthentication::Basic(ClientSecret::new(secret.to_owned())))
}

fn with_key(given: &mut Given<'_, '_>, files: Option<&mut SecretFiles<'_>>) -> Option<ClientAuthentication> {
    if given.section.client_secret_file.is_some() {
        given.wrong("client_secret_file", "is for authentication = \"basic\"");
    }
    let Some(file) = &given.section.private_key_file else {
        if !given.has_error("private_key_file") {
            given.lacks(
                "needs private_key_file, the file that holds the private key: private_key_file = \"introspection.pem\"",
            );
        }
        return None;
    };
    let text = read(given, files?, file, "private_key_file", WRITE_KEY)?;
    match ClientKey::parse(&text) {
        Ok(mut key) => {
            key.kid.clone_from(&given.section.private_key_id);
            key.audience.clone_from(&given.section.assertion_audience);
            Some(ClientAuthentication::PrivateKeyJwt(key))
        }
        Err(bad) => {
            given.wrong("private_key_file", bad);
            None
        }
    }
}

fn read(
    given: &mut Given<'_, '_>,
    files: &mut SecretFiles<'_>,
    file: &Path,
    name: &str,
    remedy: &str,
) -> Option<Zeroizing<String>> {
    let setting = given.setting(name);
    files.file(file, &setting, remedy, given.notes())
}
