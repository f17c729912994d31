//! Tokens of this service, which are never credentials: each app that Braze's SDK runs in holds one, and hands it out
//! in error reports.

use serde_json::Value;

use super::compact::UnverifiedCredential;
use crate::domain::claims::AUDIENCE;

/// Claims that a token for Braze may have ([`crate::domain::claims::Claims`]).
const CLAIMS: [&str; 6] = ["sub", "exp", "iat", "jti", "aud", "iss"];

/// Tells whether a credential has the form of a token for Braze. No verifier and no endpoint is asked about one.
///
/// The issuer of an OpenID provider is a URL (OpenID Connect Core 1.0 §2); that of a token for Braze is an SDK API key,
/// if there is one.
pub(in crate::identity::sign_in) fn is_own_token(credential: &UnverifiedCredential<'_>) -> bool {
    let Some(claims) = credential.claims.as_object() else { return false };
    let audience = claims.get("aud").is_none_or(|aud| aud == AUDIENCE);
    let issuer = match claims.get("iss") {
        None => true,
        Some(issuer) => issuer.as_str().is_some_and(|issuer| !issuer.contains([':', '/', '.'])),
    };
    credential.jws.algorithm == "RS256"
        && credential.jws.token_type == "jwt"
        && credential.jws.parameters.iter().all(|name| ["alg", "typ", "kid"].contains(&name.as_str()))
        && claims.keys().all(|name| CLAIMS.contains(&name.as_str()))
        && claims.get("sub").is_some_and(Value::is_string)
        && audience
        && issuer
}
