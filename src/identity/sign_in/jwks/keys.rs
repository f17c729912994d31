//! Keys of a JWK Set (RFC 7517): which of them can verify a credential, and with which algorithms. Pure.

use std::{fmt, sync::Arc};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, VerificationAlgorithm,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    DecodingKey,
    jwk::{
        AlgorithmParameters, CommonParameters, EllipticCurve, EllipticCurveKeyParameters, Jwk, KeyAlgorithm,
        KeyOperations, OctetKeyPairParameters, PublicKeyUse, RSAKeyParameters,
    },
};
use serde_json::Value;

use crate::domain::sign_in::JwsAlgorithm;

/// Length of the longest `kid`, in bytes.
pub(in super::super) const MAX_KID: usize = 128;
/// Lengths of RSA moduli that are accepted, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// Length of the longest RSA exponent, in bytes.
const MAX_EXPONENT: usize = 4;

/// Key that can verify a credential.
#[derive(Clone, Debug)]
pub(super) struct UsableKey {
    common: CommonParameters,
    kind: Kind,
    /// The key as signatures are verified with it: decoded once, and shared by all verifications.
    decoded: Arc<DecodingKey>,
}

/// Key of a set that cannot be used, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnusableKey {
    pub(super) kid: Option<String>,
    pub(super) why: Unusable,
}

/// Type of a key, with its size or curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Rsa { bits: usize },
    P256,
    P384,
    Ed25519,
}

/// Reason why a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unusable {
    #[error("it is no JWK: {0}")]
    NoJwk(String),
    #[error("its kid is longer than {MAX_KID} bytes")]
    LongKid,
    #[error("it contains a private key, which anybody can read now")]
    Private,
    #[error("it is a symmetric key")]
    Symmetric,
    #[error("its type or curve cannot verify any accepted algorithm, or one of its members is missing")]
    Type,
    #[error("its use, key_ops or alg is for something else than verifying signatures of its type")]
    Use,
    #[error("it has an RSA modulus of {0} bits instead of 2048 to 8192")]
    RsaBits(usize),
    #[error("its RSA modulus or exponent is no public key's")]
    Rsa,
    #[error("its point is not on the curve")]
    Point,
    #[error("one of its members is no unpadded base64url")]
    Base64,
}

impl UsableKey {
    /// Reads one entry of a key set.
    ///
    /// # Errors
    /// [`UnusableKey`].
    pub(super) fn read(entry: &Value) -> Result<Self, UnusableKey> {
        Self::checked(entry).map_err(|why| {
            let kid = entry.get("kid").and_then(Value::as_str);
            UnusableKey { kid: kid.map(|kid| kid.chars().take(MAX_KID).collect()), why }
        })
    }

    fn checked(entry: &Value) -> Result<Self, Unusable> {
        let read: Jwk = serde_json::from_value(entry.clone()).map_err(|why| Unusable::NoJwk(why.to_string()))?;
        if entry.get("d").is_some() {
            return Err(Unusable::Private);
        }
        if read.common.key_id.as_ref().is_some_and(|kid| kid.len() > MAX_KID) {
            return Err(Unusable::LongKid);
        }
        let kind = match &read.algorithm {
            AlgorithmParameters::RSA(parameters) => rsa(parameters)?,
            AlgorithmParameters::EllipticCurve(parameters) => ec(parameters)?,
            AlgorithmParameters::OctetKeyPair(parameters) => ed(parameters)?,
            AlgorithmParameters::OctetKey(_) => return Err(Unusable::Symmetric),
            _ => return Err(Unusable::Type),
        };
        let decoded = Arc::new(DecodingKey::from_jwk(&read).map_err(|_| Unusable::Base64)?);
        let CommonParameters { public_key_use, key_operations, key_algorithm, key_id, .. } = read.common;
        // Certificates are dropped: nothing looks at them.
        let common =
            CommonParameters { public_key_use, key_operations, key_algorithm, key_id, ..CommonParameters::default() };
        let key = Self { common, kind, decoded };
        if key.algorithms().is_empty() { Err(Unusable::Use) } else { Ok(key) }
    }

    /// Returns the key for verifying.
    pub(super) fn decoded(&self) -> &Arc<DecodingKey> {
        &self.decoded
    }

    /// Returns the key's `kid`.
    pub(super) fn kid(&self) -> Option<&str> {
        self.common.key_id.as_deref()
    }

    /// Returns the key's type.
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the algorithms that the key may be used with.
    pub(super) fn algorithms(&self) -> Vec<JwsAlgorithm> {
        self.kind.algorithms().iter().copied().filter(|algorithm| self.fits(*algorithm)).collect()
    }

    /// Returns true where `kty`, `crv`, `use`, `key_ops` and `alg` agree with an algorithm (RFC 7517 §4).
    pub(super) fn fits(&self, algorithm: JwsAlgorithm) -> bool {
        let common = &self.common;
        let verifies = |operations: &Vec<KeyOperations>| operations.contains(&KeyOperations::Verify);
        self.kind.algorithms().contains(&algorithm)
            && common.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature)
            && common.key_operations.as_ref().is_none_or(verifies)
            && common.key_algorithm.is_none_or(|named| named == key_algorithm(algorithm))
    }
}

impl Kind {
    /// Returns the algorithms of keys of this type.
    fn algorithms(self) -> &'static [JwsAlgorithm] {
        use JwsAlgorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        match self {
            Self::Rsa { .. } => &[RS256, RS384, RS512, PS256, PS384, PS512],
            Self::P256 => &[ES256],
            Self::P384 => &[ES384],
            Self::Ed25519 => &[EdDSA],
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa { bits } => write!(f, "RSA {bits} bits"),
            Self::P256 => f.write_str("EC P-256"),
            Self::P384 => f.write_str("EC P-384"),
            Self::Ed25519 => f.write_str("Ed25519"),
        }
    }
}

impl fmt::Display for UnusableKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kid {
            Some(kid) => write!(f, "{kid:?}: {}", self.why),
            None => write!(f, "(no kid): {}", self.why),
        }
    }
}

fn key_algorithm(algorithm: JwsAlgorithm) -> KeyAlgorithm {
    match algorithm {
        JwsAlgorithm::RS256 => KeyAlgorithm::RS256,
        JwsAlgorithm::RS384 => KeyAlgorithm::RS384,
        JwsAlgorithm::RS512 => KeyAlgorithm::RS512,
        JwsAlgorithm::PS256 => KeyAlgorithm::PS256,
        JwsAlgorithm::PS384 => KeyAlgorithm::PS384,
        JwsAlgorithm::PS512 => KeyAlgorithm::PS512,
        JwsAlgorithm::ES256 => KeyAlgorithm::ES256,
        JwsAlgorithm::ES384 => KeyAlgorithm::ES384,
        JwsAlgorithm::EdDSA => KeyAlgorithm::EdDSA,
    }
}

fn bytes(member: &str) -> Result<Vec<u8>, Unusable> {
    URL_SAFE_NO_PAD.decode(member).map_err(|_| Unusable::Base64)
}

/// Checks an RSA key: length, no leading zero byte (RFC 7518 §6.3.1), odd modulus, odd exponent of 3 or more.
fn rsa(parameters: &RSAKeyParameters) -> Result<Kind, Unusable> {
    let (n, e) = (bytes(&parameters.n)?, bytes(&parameters.e)?);
    let first = *n.first().filter(|first| **first != 0).ok_or(Unusable::Rsa)?;
    let bits = n.len() * 8 - first.leading_zeros() as usize;
    if !RSA_BITS.contains(&bits) {
        return Err(Unusable::RsaBits(bits));
    }
    let odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
    let exponent = e.first().is_some_and(|first| *first != 0) && e.len() <= MAX_EXPONENT && odd(&e) && e != [1];
    if exponent && odd(&n) { Ok(Kind::Rsa { bits }) } else { Err(Unusable::Rsa) }
}

fn ec(parameters: &EllipticCurveKeyParameters) -> Result<Kind, Unusable> {
    let (kind, verification, length): (_, &'static dyn VerificationAlgorithm, _) = match parameters.curve {
        EllipticCurve::P256 => (Kind::P256, &ECDSA_P256_SHA256_FIXED, 32),
        EllipticCurve::P384 => (Kind::P384, &ECDSA_P384_SHA384_FIXED, 48),
        _ => return Err(Unusable::Type),
    };
    let (x, y) = (bytes(&parameters.x)?, bytes(&parameters.y)?);
    if x.len() != length || y.len() != length {
        return Err(Unusable::Point);
    }
    let uncompressed = [&[4], x.as_slice(), y.as_slice()].concat();
    ParsedPublicKey::new(verification, uncompressed).map(|_| kind).map_err(|_| Unusable::Point)
}

fn ed(parameters: &OctetKeyPairParameters) -> Result<Kind, Unusable> {
    if parameters.curve != EllipticCurve::Ed25519 {
        return Err(Unusable::Type);
    }
    ParsedPublicKey::new(&ED25519, bytes(&parameters.x)?).map(|_| Kind::Ed25519).map_err(|_| Unusable::Point)
}
