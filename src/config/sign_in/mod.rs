//! Ways to sign in to an app with the credential of a session that its users already have: `[[apps.<name>.sign_in]]`.
//!
//! A preset is expanded to the settings of `kind = "oidc"` first, so that the rules are checked, and shown, in one form.

mod fields;
mod form;
mod given;
mod presets;
mod resolve;
mod secrets;
mod urls;
mod user_ids;
mod values;

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{app_section::AppSection, notes::Notes, secret_files::SecretFiles, sections::Sections};
use crate::{
    clock::human_duration,
    domain::{ids::AppName, sign_in::SignIn},
};
pub(super) use form::{AUTHENTICATIONS, METHODS, SIGN_IN_KINDS, SIGN_IN_PRESETS, TOKEN_USES};
use form::{Authentication, Form, Kind, Method, Preset, TokenUse};
use given::Given;
pub(super) use urls::is_loopback;
use values::{ClaimValues, Texts};

/// One way to sign in. Every setting may be absent: `kind` or `preset` decides which of them are needed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct SignInSection {
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<Kind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preset: Option<Preset>,

    // kind = "oidc"
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audience: Option<Texts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audience_claim: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    algorithms: Option<Texts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwks_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_types: Option<Texts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id_claim: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id_prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shared_user_ids: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified_email: Option<bool>,
    #[serde(with = "human_duration::option", skip_serializing_if = "Option::is_none")]
    max_age: Option<Duration>,
    #[serde(with = "human_duration::option", skip_serializing_if = "Option::is_none")]
    leeway: Option<Duration>,
    #[serde(with = "human_duration::option", skip_serializing_if = "Option::is_none")]
    jwks_max_stale: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_private_addresses: Option<bool>,

    // kind = "introspection"
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authentication: Option<Authentication>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assertion_audience: Option<String>,

    // kind = "session_endpoint"
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<Method>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cookies: Option<Texts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bearer: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,

    // presets
    #[serde(skip_serializing_if = "Option::is_none")]
    project_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_pool_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_ids: Option<Texts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_use: Option<TokenUse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project_ref: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorized_parties: Option<Texts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    realm: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_id: Option<String>,

    // Tables last, so that the text of a dump is TOML.
    #[serde(skip_serializing_if = "Option::is_none")]
    required_claims: Option<BTreeMap<String, ClaimValues>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_claims: Option<BTreeMap<String, ClaimValues>>,
}

/// Ways to sign in, of each app that has any.
pub(super) type SignInsOfApps = HashMap<AppName, Vec<SignIn>>;

/// Checks the ways to sign in of each app, expands their presets in place, and reads their secrets where `files` are
/// given.
pub(super) fn check(
    sections: &mut Sections,
    notes: &mut Notes<'_>,
    mut files: Option<&mut SecretFiles<'_>>,
) -> SignInsOfApps {
    let mut resolved = SignInsOfApps::new();
    for (name, app) in &mut sections.apps {
        let sign_ins = of_app(name, app, notes, files.as_deref_mut());
        if let (false, Ok(app)) = (sign_ins.is_empty(), name.parse::<AppName>()) {
            resolved.insert(app, sign_ins);
        }
    }
    resolved
}

fn of_app(
    name: &str,
    app: &mut AppSection,
    notes: &mut Notes<'_>,
    mut files: Option<&mut SecretFiles<'_>>,
) -> Vec<SignIn> {
    let mut resolved = Vec::new();
    for (number, section) in app.sign_in.iter_mut().enumerate() {
        let mut given = Given::new(name, number, section, notes);
        let Some(form) = given.form() else { continue };
        fields::check(form, &mut given);
        let expanded = match form {
            Form::Preset(preset) => presets::expand(preset, &mut given),
            Form::Kind(kind) => Some(resolve::with_defaults(kind, section.clone())),
        };
        let Some(expanded) = expanded else { continue };
        let mut given = Given::new(name, number, &expanded, notes);
        resolved.extend(resolve::resolve(&mut given, files.as_deref_mut()));
        *section = expanded;
    }
    user_ids::check(name, app, notes);
    resolved
}
