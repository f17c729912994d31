//! Settings of one way to sign in: `[[apps.<name>.sign_in]]`.

mod form;
mod values;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{clock::human_duration, domain::sign_in::SessionEndpointMethod};

pub(in crate::config) use form::{
    AUTHENTICATIONS, Authentication, Form, Kind, METHODS, Preset, SIGN_IN_KINDS, SIGN_IN_PRESETS, TOKEN_USES, TokenUse,
};
pub(in crate::config) use values::{ClaimValue, ClaimValues, Texts};

/// One way to sign in. Every setting may be absent: `kind` or `preset` decides which of them are needed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::config) struct SignInSection {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) kind: Option<Kind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) preset: Option<Preset>,

    // kind = "oidc"
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) audience: Option<Texts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) audience_claim: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) algorithms: Option<Texts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) jwks_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) token_types: Option<Texts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) user_id_claim: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) user_id_prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) shared_user_ids: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) verified_email: Option<bool>,
    #[serde(with = "human_duration::option", skip_serializing_if = "Option::is_none")]
    pub(in crate::config) max_age: Option<Duration>,
    #[serde(with = "human_duration::option", skip_serializing_if = "Option::is_none")]
    pub(in crate::config) leeway: Option<Duration>,
    #[serde(with = "human_duration::option", skip_serializing_if = "Option::is_none")]
    pub(in crate::config) jwks_max_stale: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) allow_private_addresses: Option<bool>,

    // kind = "introspection"
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) authentication: Option<Authentication>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) client_secret_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) private_key_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) private_key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) assertion_audience: Option<String>,

    // kind = "session_endpoint"
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) method: Option<SessionEndpointMethod>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) cookies: Option<Texts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) bearer: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) user_id: Option<String>,

    // presets
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) project_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) user_pool_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) client_ids: Option<Texts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) token_use: Option<TokenUse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) domain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) project_ref: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) authorized_parties: Option<Texts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) realm: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) tenant_id: Option<String>,

    // Tables last, so that the text of a dump is TOML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) required_claims: Option<BTreeMap<String, ClaimValues>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) refused_claims: Option<BTreeMap<String, ClaimValues>>,
}
