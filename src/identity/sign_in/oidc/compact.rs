//! JWT in compact form (RFC 7515 §7.1, RFC 7519 §3), decoded and not verified: all checks that need no rules, before any
//! cryptography and before anything is fetched.

use base64::{
    Engine,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::URL_SAFE_NO_PAD},
};
use serde_json::Value;

use super::super::{
    claim_rules::quoted,
    jwks::MAX_KID,
    refused::{CredentialRefusal, RefusedCredential},
    strict_json,
};

/// Longest credential that is read.
pub(super) const MAX_BYTES: usize = 8192;

/// Header parameters that no credential may have: they name a key (RFC 7515 §4.1.2–4.1.6), change what is signed (RFC
/// 7797), must be understood (RFC 7515 §4.1.11), or belong to encryption (RFC 7516 §4.1).
const REFUSED_PARAMETERS: [&str; 8] = ["crit", "b64", "jku", "jwk", "x5u", "x5c", "zip", "enc"];

/// JWS in compact form, decoded. `Debug` is not derived: it is a secret.
pub(super) struct CompactJws<'a> {
    /// The header `alg`, exactly.
    pub(super) algorithm: String,
    pub(super) kid: Option<String>,
    /// The header `typ` in lower case and without `application/` (RFC 7515 §4.1.9); empty where there is none.
    pub(super) token_type: String,
    /// Names of all header parameters.
    pub(super) parameters: Vec<String>,
    payload: Vec<u8>,
    /// The text that is signed: header and payload as they were sent.
    pub(super) signing_input: &'a str,
    /// The signature in base64url.
    pub(super) signature: &'a str,
}

/// Credential whose signature was not verified.
pub(in crate::identity::sign_in) struct UnverifiedCredential<'a> {
    pub(super) jws: CompactJws<'a>,
    /// Claims, a JSON object.
    pub(super) claims: Value,
}

/// Text that is no JWT which could be verified.
pub(in crate::identity::sign_in) enum Unreadable {
    /// No JWT at all: an endpoint may know it.
    Opaque(CredentialRefusal),
    /// A JWT that nobody should accept.
    Refused(CredentialRefusal),
}

impl From<CredentialRefusal> for Unreadable {
    fn from(refusal: CredentialRefusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Unreadable {
    /// Says of a text that is no JWT which slip of the hand it looks like.
    fn described(self, credential: &str) -> Self {
        let describe = |refusal: CredentialRefusal| match slip(credential) {
            Some(slip) if refusal.reason == RefusedCredential::Malformed => malformed(slip),
            _ => refusal,
        };
        match self {
            Self::Opaque(refusal) => Self::Opaque(describe(refusal)),
            Self::Refused(refusal) => Self::Refused(describe(refusal)),
        }
    }
}

/// Returns what somebody gave in place of the token alone, by the look of it. No credential has such a text (RFC 6750
/// §2.1).
fn slip(credential: &str) -> Option<&'static str> {
    let begins_with =
        |word: &str| credential.get(..word.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(word));
    if credential.starts_with(['{', '[']) {
        Some("it is JSON: give the token alone")
    } else if credential.starts_with(['"', '\'']) {
        Some("it is in quotes: give the token alone")
    } else if begins_with("authorization:") || begins_with("bearer ") || begins_with("cookie:") {
        Some("it is a whole header: give the token alone")
    } else if credential.contains(['\n', '\r']) {
        Some("it has several lines: give the token alone, in one line")
    } else if credential.contains(char::is_whitespace) {
        Some("it has a space in it: give the token alone")
    } else {
        None
    }
}

impl<'a> CompactJws<'a> {
    /// Decodes the compact serialisation.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub(super) fn read(credential: &'a str) -> Result<Self, Unreadable> {
        if credential.len() > MAX_BYTES {
            return Err(malformed(format!(
                "it is too long: it has {} bytes, at most {MAX_BYTES} are read",
                credential.len()
            ))
            .into());
        }
        let parts: Vec<&str> = credential.split('.').collect();
        let [header, payload, signature] = parts[..] else {
            return Err(if parts.len() != 5 && looks_signed(parts[0]) { not_canonical() } else { not_three(&parts) });
        };
        let header = header_object(header)?;
        if let Some(name) = REFUSED_PARAMETERS.into_iter().find(|name| header.get(name).is_some()) {
            return Err(RefusedCredential::Header.because(format!("the parameter is {name}")).into());
        }
        let payload = decoded(payload, "payload")?;
        if decoded(signature, "signature")?.is_empty() {
            return Err(malformed("it has no signature").into());
        }
        Ok(Self {
            algorithm: algorithm(&header)?,
            kid: kid(&header)?,
            token_type: token_type(&header)?,
            parameters: header.as_object().map(|header| header.keys().cloned().collect()).unwrap_or_default(),
            payload,
            signing_input: &credential[..credential.len() - signature.len() - 1],
            signature,
        })
    }
}

impl<'a> UnverifiedCredential<'a> {
    /// Decodes a credential.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub(in crate::identity::sign_in) fn read(credential: &'a str) -> Result<Self, Unreadable> {
        Self::decode(credential).map_err(|unreadable| unreadable.described(credential))
    }

    fn decode(credential: &'a str) -> Result<Self, Unreadable> {
        let jws = CompactJws::read(credential)?;
        let claims = strict_json::object(&jws.payload).map_err(|fault| malformed(format!("payload: {fault}")))?;
        Ok(Self { jws, claims })
    }

    /// The claim `iss`, unverified: it chooses the verifier, and nothing else.
    pub(in crate::identity::sign_in) fn issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Value::as_str)
    }
}

fn not_three(parts: &[&str]) -> Unreadable {
    let hint = match parts.len() {
        5 => "which is an encrypted token (JWE): only who encrypted it for itself can read it",
        _ => "so it is an opaque one, or not whole",
    };
    Unreadable::Opaque(malformed(format!(
        "a JWT has three parts with dots between them, this has {}, {hint}",
        parts.len()
    )))
}

/// Tells whether a first part is that of a JWS in another than the canonical form. No endpoint is asked about one: its
/// reader may be laxer, and accept a JWT that the rules for JWTs refuse.
fn looks_signed(part: &str) -> bool {
    let lax = GeneralPurpose::new(
        &URL_SAFE,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let header = lax.decode(part.trim_end_matches('=').replace('+', "-").replace('/', "_"));
    header.is_ok_and(|bytes| bytes.windows(5).any(|window| window == br#""alg""#))
}

fn not_canonical() -> Unreadable {
    Unreadable::Refused(malformed("it is a JWT in another than the compact form (RFC 7515 §7.1)"))
}

/// Reads the header. A first part that is no header at all belongs to another kind of credential: some session cookies
/// have three parts too.
fn header_object(part: &str) -> Result<Value, Unreadable> {
    let opaque = |fault: &str| Unreadable::Opaque(malformed(format!("header: {fault}")));
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| {
        if looks_signed(part) { not_canonical() } else { opaque("it is not base64url without padding") }
    })?;
    match strict_json::object(&bytes) {
        Ok(header) if header.get("alg").is_some() => Ok(header),
        Ok(_) => Err(opaque("it has no alg")),
        Err(fault) if bytes.windows(5).any(|window| window == br#""alg""#) => {
            Err(malformed(format!("header: {fault}")).into())
        }
        Err(fault) => Err(opaque(&fault)),
    }
}

/// Decodes base64url without padding. Bits that are left over must be zero, so that one credential has one text.
fn decoded(part: &str, name: &str) -> Result<Vec<u8>, CredentialRefusal> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| malformed(format!("the {name} is not canonical base64url without padding (RFC 7515 §2)")))
}

fn algorithm(header: &Value) -> Result<String, CredentialRefusal> {
    let alg = header.get("alg");
    let text = alg.and_then(Value::as_str).map(str::to_owned);
    text.ok_or_else(|| RefusedCredential::Algorithm.because(format!("its alg is {}, no string", quoted(alg))))
}

fn kid(header: &Value) -> Result<Option<String>, CredentialRefusal> {
    match header.get("kid") {
        None => Ok(None),
        Some(Value::String(kid)) if kid.len() <= MAX_KID => Ok(Some(kid.clone())),
        Some(_) => Err(RefusedCredential::Header.because(format!("its kid is no string of at most {MAX_KID} bytes"))),
    }
}

fn token_type(header: &Value) -> Result<String, CredentialRefusal> {
    let lower = match header.get("typ") {
        None => return Ok(String::new()),
        Some(Value::String(typ)) if !typ.is_empty() => typ.to_ascii_lowercase(),
        other => return Err(RefusedCredential::TokenType.because(format!("its typ is {}", quoted(other)))),
    };
    Ok(lower.strip_prefix("application/").map(str::to_owned).unwrap_or(lower))
}

fn malformed(text: impl Into<String>) -> CredentialRefusal {
    RefusedCredential::Malformed.because(text)
}
