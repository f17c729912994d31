//! Examination of a refused token that came with a report. The token itself is dropped: only facts remain.

use serde_json::Value;

use super::evidence::{KnownInstallation, UserRelation};
use crate::{
    clock::UnixMillis,
    domain::{
        claims::AUDIENCE,
        ids::{Kid, UserId},
        verdict::{Against, ErrorCode, Unverified, examine},
    },
};

/// Beginning of the header of every token of this service, in base64url: `{"alg":"RS256",`.
const HEADER: &str = "eyJhbGciOiJSUzI1NiIs";

/// Facts about a refused token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JudgedSignature {
    /// It is a refresh token of this service.
    RefreshToken,
    /// It begins as a token does, and cannot be decoded: a part of it is missing or was changed.
    Damaged,
    /// It is no JWT.
    NoJwt,
    /// It is a JWT.
    Token(RefusedToken),
}

/// Facts about a refused JWT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedToken {
    /// The algorithm is RS256.
    pub rs256: bool,
    /// Key of this installation that signed it.
    pub signed_by: Option<Kid>,
    pub expires: Option<UnixMillis>,
    /// Relation of its subject to the session's user id. [`UserRelation::Absent`]: it has none, or not as text.
    pub user: UserRelation,
    /// It has the claims of a token of this service, and no other.
    pub shape_is_ours: bool,
    /// It has a random id in the form that this service makes.
    pub has_our_id: bool,
    /// It has claims that no token for Braze has, or another audience.
    pub for_another_purpose: bool,
}

impl JudgedSignature {
    /// Examines a token that was refused to a session of `user`. It verifies one signature for each key known.
    pub fn of(token: &str, user: &UserId, installation: &KnownInstallation) -> Self {
        let token = token.trim();
        if token.starts_with(crate::domain::refresh_token::PREFIX) {
            return Self::RefreshToken;
        }
        let Ok(read) = Unverified::read(token) else {
            return if token.contains(HEADER) { Self::Damaged } else { Self::NoJwt };
        };
        let claim = |name: &str| read.claims.get(name);
        let seconds = claim("exp").and_then(Value::as_i64);
        Self::Token(RefusedToken {
            rs256: read.header.get("alg").and_then(Value::as_str) == Some("RS256"),
            signed_by: signer(token, installation),
            expires: seconds.map(|seconds| UnixMillis(seconds.saturating_mul(1000))),
            user: UserRelation::of(claim("sub").and_then(Value::as_str), user),
            shape_is_ours: shape_is_ours(&read.claims),
            has_our_id: claim("jti").and_then(Value::as_str).is_some_and(is_our_id),
            for_another_purpose: is_for_another_purpose(&read.claims),
        })
    }
}

/// Returns the key that verifies a token.
fn signer(token: &str, installation: &KnownInstallation) -> Option<Kid> {
    let verifies = |public_key: &String| {
        let keys = std::slice::from_ref(public_key);
        let against = Against { public_keys: Some(keys), user: None, sdk_api_key: None, now: UnixMillis(0) };
        let refused = |code| matches!(code, Some(ErrorCode::NoMatchingPublicKeys | ErrorCode::PublicKeyError));
        !examine(token, &against).iter().any(|finding| refused(finding.code))
    };
    installation.keys.iter().find(|(_, key)| verifies(&key.public_key)).map(|(kid, _)| kid.clone())
}

/// Names of the claims that this service makes.
const CLAIMS: [&str; 6] = ["sub", "exp", "iat", "jti", "aud", "iss"];

/// Length of a token's random id: 16 bytes in base64url.
const ID_CHARACTERS: usize = 22;

/// Returns true where the claims are some that this service makes.
fn shape_is_ours(claims: &Value) -> bool {
    let Value::Object(claims) = claims else { return false };
    let is_text = |name: &str| claims.get(name).is_none_or(Value::is_string);
    let texts = ["sub", "jti", "aud", "iss"].into_iter().all(is_text);
    let required = claims.contains_key("sub") && claims.get("exp").is_some_and(Value::is_i64);
    claims.keys().all(|name| CLAIMS.contains(&name.as_str())) && texts && required
}

fn is_our_id(id: &str) -> bool {
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    id.len() == ID_CHARACTERS && id.bytes().all(is_base64url)
}

/// Returns true for an ID token, a session of the app's own backend and the like.
fn is_for_another_purpose(claims: &Value) -> bool {
    let Value::Object(claims) = claims else { return false };
    let has_other_audience = claims.get("aud").is_some_and(|aud| aud.as_str() != Some(AUDIENCE));
    has_other_audience || claims.keys().any(|name| !CLAIMS.contains(&name.as_str()) && name != "nbf")
}
