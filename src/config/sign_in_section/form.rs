//! Forms that a way to sign in has, and its settings with few values.

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantNames};

use crate::domain::sign_in::SessionEndpointMethod;

/// Form of a way to sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Form {
    Kind(Kind),
    Preset(Preset),
}

impl Form {
    /// Setting that chooses the form.
    pub(in crate::config) fn written(self) -> String {
        match self {
            Self::Kind(kind) => format!("kind = \"{}\"", <&str>::from(kind)),
            Self::Preset(preset) => format!("preset = \"{}\"", <&str>::from(preset)),
        }
    }
}

/// Kind of a credential, and of its verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub(in crate::config) enum Kind {
    Oidc,
    Introspection,
    SessionEndpoint,
}

/// Provider whose settings are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub(in crate::config) enum Preset {
    Firebase,
    Cognito,
    Auth0,
    Supabase,
    Clerk,
    Keycloak,
    Entra,
}

/// Token of a provider that clients present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub(in crate::config) enum TokenUse {
    Id,
    Access,
}

/// Authentication at an introspection endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub(in crate::config) enum Authentication {
    Basic,
    PrivateKeyJwt,
}

/// Values of `kind`, `preset`, `token_use`, `authentication` and `method`.
pub(in crate::config) const SIGN_IN_KINDS: &[&str] = Kind::VARIANTS;
pub(in crate::config) const SIGN_IN_PRESETS: &[&str] = Preset::VARIANTS;
pub(in crate::config) const TOKEN_USES: &[&str] = TokenUse::VARIANTS;
pub(in crate::config) const AUTHENTICATIONS: &[&str] = Authentication::VARIANTS;
pub(in crate::config) const METHODS: &[&str] = SessionEndpointMethod::VARIANTS;
