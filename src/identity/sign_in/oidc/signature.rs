//! Signature of a credential (RFC 7515 §5.2). `jsonwebtoken` verifies it, and nothing else: it accepts an unknown
//! `crit`, leaves `nbf` off and allows a minute.

use jsonwebtoken::{Algorithm, DecodingKey};

use super::compact::CompactJws;
use crate::domain::sign_in::JwsAlgorithm;

/// Tells whether this key made the signature by this algorithm, which the rules chose: a key of another
/// family never verifies.
pub(super) fn is_by(key: &DecodingKey, algorithm: JwsAlgorithm, jws: &CompactJws<'_>) -> bool {
    let input = jws.signing_input.as_bytes();
    jsonwebtoken::crypto::verify(jws.signature, input, key, implemented(algorithm)).unwrap_or(false)
}

fn implemented(algorithm: JwsAlgorithm) -> Algorithm {
    match algorithm {
        JwsAlgorithm::RS256 => Algorithm::RS256,
        JwsAlgorithm::RS384 => Algorithm::RS384,
        JwsAlgorithm::RS512 => Algorithm::RS512,
        JwsAlgorithm::PS256 => Algorithm::PS256,
        JwsAlgorithm::PS384 => Algorithm::PS384,
        JwsAlgorithm::PS512 => Algorithm::PS512,
        JwsAlgorithm::ES256 => Algorithm::ES256,
        JwsAlgorithm::ES384 => Algorithm::ES384,
        JwsAlgorithm::EdDSA => Algorithm::EdDSA,
    }
}
