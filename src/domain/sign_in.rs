//! Rules by which an app accepts the credential of a session that its users already have, and the login that such a
//! credential proves.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use strum::{EnumString, IntoStaticStr, VariantNames};

use super::client_authentication::ClientAuthentication;
use crate::clock::UnixMillis;

/// One way to sign in to an app. `[[apps.<name>.sign_in]]` in the configuration, with presets expanded.
/// Its secrets are shared by its copies, and `Debug` does not show them.
#[derive(Clone, Debug, PartialEq)]
pub enum SignIn {
    Oidc(OidcRules),
    Introspection(IntrospectionRules),
    SessionEndpoint(SessionEndpointRules),
}

/// Rules for a JWT of an OpenID provider: an ID token, or an access token that is a JWT.
#[derive(Clone, Debug, PartialEq)]
pub struct OidcRules {
    /// The claim `iss`, compared byte for byte.
    pub issuer: String,
    pub keys: KeySource,
    pub algorithms: Vec<JwsAlgorithm>,
    pub audience: Audience,
    /// Values of the header `typ` that are accepted, in lower case and without `application/`; `""` accepts a token
    /// without `typ`.
    pub token_types: Vec<String>,
    pub user_id: UserIdSource,
    /// Claims that must have one of the given values.
    pub required_claims: Vec<ClaimRule>,
    /// Claims that must not have one of the given values.
    pub refused_claims: Vec<ClaimRule>,
    /// Greatest age of a credential, from its `iat`; `None`: [`LONGEST_AGE`].
    pub max_age: Option<Duration>,
    /// Tolerance for other clocks; at most 30 s.
    pub leeway: Duration,
    /// Time from a key set's fetch for which it is used while its provider does not answer.
    pub jwks_max_stale: Duration,
    /// Lets the provider's addresses be private ones (RFC 1918, RFC 6598, RFC 4193).
    pub allow_private_addresses: bool,
}

/// Greatest age of a JWT where the rules say none, whatever its `exp`: a logout must be remembered for as long.
pub const LONGEST_AGE: Duration = Duration::from_hours(30 * 24);

impl OidcRules {
    /// Age beyond which a credential is refused.
    pub fn longest_age(&self) -> Duration {
        self.max_age.unwrap_or(LONGEST_AGE)
    }
}

/// Place of a provider's key set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeySource {
    /// `jwks_uri` of the issuer's discovery document (OpenID Connect Discovery 1.0 §4).
    Discovery,
    /// A URL of a JWK Set.
    Url(String),
}

/// Signature algorithm of a credential (RFC 7518 §3.1, RFC 8037 §3.1). HMAC and `none` are not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantNames)]
pub enum JwsAlgorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

impl JwsAlgorithm {
    /// Name in the header `alg`; all of them are [`VariantNames::VARIANTS`].
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Claim that names the party that a credential is for, and the values of which one must be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience {
    /// `aud`, or `client_id` or `azp` where a provider's tokens say it there.
    pub claim: String,
    /// Never empty.
    pub accepted: Vec<String>,
}

/// Claim that becomes the user id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserIdSource {
    pub claim: ClaimPath,
    /// Text before the claim's value, so that users of two issuers never have one id.
    pub prefix: String,
    /// The claim is an email address, accepted only where `email_verified` is true.
    pub verified_email: bool,
}

/// Place of a claim: the name of a member, or a JSON pointer (RFC 6901), which begins with `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath(pub String);

impl ClaimPath {
    /// Returns the claim's value in a JSON object, if it is there.
    pub fn of<'a>(&self, claims: &'a Value) -> Option<&'a Value> {
        if self.0.starts_with('/') { claims.pointer(&self.0) } else { claims.get(&self.0) }
    }

    /// Returns true for the member of this name, whichever way it is written. The name has neither `/` nor `~`.
    pub fn is_member(&self, name: &str) -> bool {
        self.0.strip_prefix('/').unwrap_or(&self.0) == name
    }
}

/// Values of one claim that a rule names.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimRule {
    pub claim: ClaimPath,
    /// Values, each a string, a number or a boolean; empty: any value.
    pub values: Vec<Value>,
}

/// Rules for an opaque credential that an introspection endpoint is asked about (RFC 7662).
#[derive(Clone, Debug, PartialEq)]
pub struct IntrospectionRules {
    /// Introspection endpoint of the provider.
    pub endpoint: String,
    /// Id of this service at the provider.
    pub client_id: String,
    pub authentication: ClientAuthentication,
    /// The answer's member `iss` must be this, where it is set.
    pub issuer: Option<String>,
    /// The answer's member `aud`, or another, must name one of these; `None`: not checked.
    pub audience: Option<Audience>,
    pub user_id: UserIdSource,
    /// Members of the answer that must have one of the given values, e.g. `token_type` or `token_use`.
    pub required_claims: Vec<ClaimRule>,
    /// Members of the answer that must not have one of the given values.
    pub refused_claims: Vec<ClaimRule>,
    /// Greatest age of a credential, from the answer's `iat`; `None`: its `exp` alone limits it.
    pub max_age: Option<Duration>,
    /// Tolerance for other clocks; at most 30 s.
    pub leeway: Duration,
    pub allow_private_addresses: bool,
}

/// Rules for an opaque session that an endpoint of the app is asked about.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionEndpointRules {
    /// URL of the app that answers with JSON where the session is good.
    pub url: String,
    pub method: SessionEndpointMethod,
    /// Names of the cookies that are accepted and passed on; empty: none.
    pub cookies: Vec<String>,
    /// Accepts and passes on a bearer credential.
    pub bearer: bool,
    pub user_id: UserIdSource,
    /// Members of the answer that must have one of the given values.
    pub required_claims: Vec<ClaimRule>,
    /// Members of the answer that must not have one of the given values.
    pub refused_claims: Vec<ClaimRule>,
    pub allow_private_addresses: bool,
}

/// Method of the request to a session endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, VariantNames)]
pub enum SessionEndpointMethod {
    #[default]
    GET,
    /// POST with an empty body.
    POST,
}

/// Login at a provider, as a verified credential shows it. A logout at the provider names it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderLogin {
    pub issuer: String,
    /// The claim `sub`, which need not be the user id.
    pub subject: String,
    /// The claim `sid`: the provider's session.
    pub sid: Option<String>,
    /// The claim `iat`.
    pub issued: UnixMillis,
}

/// Verified logout token (OpenID Connect Back-Channel Logout 1.0 §2.4). At least one of `subject` and `sid` is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderLogout {
    pub issuer: String,
    pub subject: Option<String>,
    pub sid: Option<String>,
    /// The claim `jti`: a logout token is accepted once.
    pub id: String,
    /// The claim `iat`.
    pub issued: UnixMillis,
    /// The claim `exp`.
    pub expires: UnixMillis,
    /// Time until which credentials issued before the logout can still be presented: they must be refused until then.
    pub remembered_until: UnixMillis,
}
