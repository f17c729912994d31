//! Verdict: Braze's answer to a token, by its documented rules.
//!
//! [`judge`] answers as Braze does, with the first error; [`examine`] lists every finding.
//!
//! Source: Braze, "Set up SDK authentication" (error codes 10 and 20–28). Leeway, size limits and the order of the
//! checks are not documented; here there is no leeway, and a check comes before the checks that depend on it.

mod claimed;
mod code;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};

use super::claims::AUDIENCE;
use crate::clock::UnixMillis;

pub use claimed::Claimed;
pub use code::ErrorCode;

/// Finding about a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Code that Braze would reject the token with; `None`: a remark that Braze would not make.
    pub code: Option<ErrorCode>,
    /// Description of the error, and the remedy.
    pub text: String,
}

/// Values that a token is checked against. A value that is absent is not checked.
#[derive(Clone, Copy, Debug)]
pub struct Against<'a> {
    /// Public keys that Braze holds for the app, in PEM.
    pub public_keys: Option<&'a [String]>,
    /// User id that the app gave to `changeUser`.
    pub user: Option<&'a str>,
    /// SDK API key of the app; `iss` must equal it where the token has `iss`.
    pub sdk_api_key: Option<&'a str>,
    pub now: UnixMillis,
}

/// Decoded token whose signature was not verified.
#[derive(Debug)]
pub struct Unverified {
    /// Header (RFC 7515 §4).
    pub header: Value,
    /// Claims (RFC 7519 §4), or other JSON; a string where the payload is not JSON.
    pub claims: Value,
    signing_input: String,
    signature: String,
}

impl Unverified {
    /// Decodes the compact serialisation (RFC 7515 §7.1).
    ///
    /// # Errors
    /// The finding that Braze would reject the token with.
    pub fn read(token: &str) -> Result<Self, Finding> {
        if token.trim().is_empty() {
            return Err(rejected(ErrorCode::MissingToken, "there is no token: pass one in changeUser, not blank"));
        }
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, signature] = parts[..] else {
            let text = format!("a JWT has three parts with dots between them, this has {}", parts.len());
            return Err(rejected(ErrorCode::DecodingError, text));
        };
        let header_json = header_object(&decoded(header, "header")?)?;
        let claims_json = json_or_text(&decoded(claims, "payload")?);
        decoded(signature, "signature")?;
        Ok(Self {
            header: header_json,
            claims: claims_json,
            signing_input: format!("{header}.{claims}"),
            signature: signature.to_owned(),
        })
    }
}

fn decoded(part: &str, name: &str) -> Result<Vec<u8>, Finding> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| {
        rejected(ErrorCode::DecodingError, format!("the {name} is not base64url without padding (RFC 7515 §2)"))
    })
}

fn header_object(bytes: &[u8]) -> Result<Value, Finding> {
    match serde_json::from_slice(bytes) {
        Ok(header @ Value::Object(_)) => Ok(header),
        Ok(_) => Err(rejected(ErrorCode::DecodingError, "the header is not a JSON object (RFC 7515 §4)")),
        Err(_) => Err(rejected(ErrorCode::DecodingError, "the header is not JSON")),
    }
}

/// Parses JSON, or takes the bytes as text: Braze checks algorithm and signature before the payload.
fn json_or_text(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into())
}

/// Braze's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The request is accepted.
    Accepted,
    /// The request is rejected (enforcement Required), or accepted with a logged error (Optional).
    Rejected {
        code: ErrorCode,
        /// Description of the error.
        text: String,
    },
}

/// Returns Braze's answer to a request for these users with this token, or without one. Anonymous traffic needs no
/// token. The user comes from the request, not from [`Against::user`].
pub fn judge(token: Option<&str>, claimed: &Claimed, against: &Against<'_>) -> Verdict {
    let user = match claimed {
        Claimed::Nobody => return Verdict::Accepted,
        Claimed::Conflicting(text) => {
            return Verdict::Rejected { code: ErrorCode::PayloadUserIdMismatch, text: text.clone() };
        }
        Claimed::User(user) => user,
    };
    let findings = examine(token.unwrap_or_default(), &Against { user: Some(user), ..*against });
    findings
        .into_iter()
        .find_map(|finding| finding.code.map(|code| Verdict::Rejected { code, text: finding.text }))
        .unwrap_or(Verdict::Accepted)
}

/// Lists every finding about a token, in the order of Braze's checks.
pub fn examine(token: &str, against: &Against<'_>) -> Vec<Finding> {
    let token = match Unverified::read(token) {
        Ok(token) => token,
        Err(finding) => return vec![finding],
    };
    let mut findings = header(&token);
    findings.extend(signature(&token, against));
    match &token.claims {
        Value::Object(claims) => {
            findings.extend(expiry(claims, against.now));
            findings.extend(subject(claims, against.user));
            findings.extend(audience_and_issuer(claims, against.sdk_api_key));
            findings.extend(not_yet(claims, against.now));
        }
        _ => findings.push(rejected(ErrorCode::InvalidPayload, "the payload is not a JSON object")),
    }
    findings
}

fn header(token: &Unverified) -> Vec<Finding> {
    let mut findings = Vec::new();
    match token.header.get("alg") {
        Some(Value::String(alg)) if alg == "RS256" => {}
        Some(alg) => {
            findings.push(rejected(ErrorCode::IncorrectAlgorithm, format!("alg is {alg}, Braze takes \"RS256\" only")));
        }
        None => {
            findings.push(rejected(ErrorCode::IncorrectAlgorithm, "the header has no alg, Braze takes \"RS256\" only"));
        }
    }
    if token.header.get("typ").and_then(Value::as_str) != Some("JWT") {
        findings.push(rejected(ErrorCode::DecodingError, "typ is not \"JWT\""));
    }
    findings
}

fn signature(token: &Unverified, against: &Against<'_>) -> Option<Finding> {
    let keys = against.public_keys?;
    if keys.is_empty() {
        return Some(rejected(ErrorCode::NoMatchingPublicKeys, "Braze holds no public key for this app: add one"));
    }
    let readable: Vec<DecodingKey> = keys.iter().filter_map(|pem| public_key(pem)).collect();
    if readable.is_empty() {
        let text = "none of the public keys is an RSA key in PEM (-----BEGIN PUBLIC KEY-----)";
        return Some(rejected(ErrorCode::PublicKeyError, text));
    }
    let signed_by = |key: &DecodingKey| {
        let verified =
            jsonwebtoken::crypto::verify(&token.signature, token.signing_input.as_bytes(), key, Algorithm::RS256);
        verified.unwrap_or(false)
    };
    if readable.iter().any(signed_by) {
        return None;
    }
    let text = format!(
        "none of the {} public keys verifies the signature: another private key signed it, or it was changed",
        keys.len()
    );
    Some(rejected(ErrorCode::NoMatchingPublicKeys, text))
}

/// True for a public key that Braze can use: RSA, in PEM.
pub fn is_public_key(pem: &str) -> bool {
    public_key(pem).is_some()
}

/// Parses an RSA public key in PEM, SPKI or PKCS#1. The library would also accept a private key, and verify nothing
/// with it.
fn public_key(pem: &str) -> Option<DecodingKey> {
    let is_public =
        ["-----BEGIN PUBLIC KEY-----", "-----BEGIN RSA PUBLIC KEY-----"].iter().any(|tag| pem.contains(tag));
    is_public.then(|| DecodingKey::from_rsa_pem(pem.as_bytes()).ok()).flatten()
}

fn expiry(claims: &Map<String, Value>, now: UnixMillis) -> Option<Finding> {
    let Some(exp) = claims.get("exp") else {
        return Some(rejected(ErrorCode::ExpirationRequired, "there is no exp: add it, in Unix seconds"));
    };
    let Some(exp) = whole_seconds(exp) else {
        return Some(rejected(ErrorCode::InvalidPayload, format!("exp is {exp}, it must be a number of Unix seconds")));
    };
    if exp > 100_000_000_000 {
        let text =
            format!("exp {exp} lies after the year 5000: it is probably in milliseconds, and would never expire");
        return Some(Finding { code: None, text });
    }
    let at = UnixMillis(exp.saturating_mul(1000));
    if at.0 <= now.0 {
        let text = format!("expired {} ago by this clock, at {at}; refresh it before that", rounded(now.since(at)));
        return Some(rejected(ErrorCode::Expired, text));
    }
    None
}

/// Whole seconds of a NumericDate (RFC 7519 §2), which may have a fraction.
fn whole_seconds(date: &Value) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "a fraction of a second does not matter, and `as` saturates")]
    date.as_i64().or_else(|| date.as_f64().map(|seconds| seconds as i64))
}

fn subject(claims: &Map<String, Value>, user: Option<&str>) -> Option<Finding> {
    match (claims.get("sub"), user) {
        (None, _) => {
            Some(rejected(ErrorCode::SubjectMismatch, "there is no sub: it must be the id given to changeUser"))
        }
        (Some(Value::String(sub)), None) if sub.is_empty() => {
            Some(rejected(ErrorCode::SubjectMismatch, "sub is empty: it must be the id given to changeUser"))
        }
        (Some(Value::String(_)), None) => None,
        (Some(Value::String(sub)), Some(user)) if sub == user => None,
        (Some(Value::String(sub)), Some(user)) => {
            let hint = if sub.trim().eq_ignore_ascii_case(user.trim()) {
                " (they differ in case or white space only)"
            } else {
                ""
            };
            Some(rejected(ErrorCode::SubjectMismatch, format!("sub is {sub:?}, the app's user is {user:?}{hint}")))
        }
        (Some(other), _) => {
            let text = format!("sub is {other}, not a string: the SDK turns ids into strings, so write \"{other}\"");
            Some(rejected(ErrorCode::SubjectMismatch, text))
        }
    }
}

fn audience_and_issuer(claims: &Map<String, Value>, sdk_api_key: Option<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(aud) = claims.get("aud").filter(|aud| aud.as_str() != Some(AUDIENCE)) {
        findings.push(rejected(
            ErrorCode::InvalidPayload,
            format!("aud is {aud}; leave it out, or set it to \"{AUDIENCE}\""),
        ));
    }
    if let (Some(iss), Some(key)) = (claims.get("iss"), sdk_api_key)
        && iss.as_str() != Some(key)
    {
        findings.push(rejected(
            ErrorCode::InvalidPayload,
            format!("iss is {iss}; leave it out, or set it to the SDK API key"),
        ));
    }
    findings
}

fn not_yet(claims: &Map<String, Value>, now: UnixMillis) -> Option<Finding> {
    let late = ["nbf", "iat"]
        .into_iter()
        .find(|name| claims.get(*name).and_then(whole_seconds).is_some_and(|at| at > now.seconds()))?;
    Some(Finding {
        code: None,
        text: format!("{late} lies in the future by this clock: a strict verifier refuses that"),
    })
}

fn rejected(code: ErrorCode, text: impl Into<String>) -> Finding {
    Finding { code: Some(code), text: text.into() }
}

/// Formats a duration in one unit: `3 min`, `2 h`, `5 d`.
fn rounded(duration: std::time::Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}
