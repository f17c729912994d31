//! Public keys as a JWK Set (RFC 7517), for verifiers of the app's owner. Braze takes PEM.

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{Jwk, JwkSet, PublicKeyUse},
};

use super::key::KeyRecord;

/// Makes the JWK Set of the keys that have valid tokens or soon will; each `kid` is the RFC 7638 thumbprint.
///
/// A record whose public half is not RSA in PEM is left out; custody never makes such a record.
pub fn jwk_set<'a>(keys: impl IntoIterator<Item = &'a KeyRecord>) -> JwkSet {
    JwkSet { keys: keys.into_iter().filter(|key| key.state.is_verifiable()).filter_map(jwk).collect() }
}

fn jwk(key: &KeyRecord) -> Option<Jwk> {
    let public = DecodingKey::from_rsa_pem(key.public_key.as_bytes()).ok()?;
    let mut jwk = Jwk::from_decoding_key(&public, Some(Algorithm::RS256)).ok()?;
    jwk.common.key_id = Some(key.kid.to_string());
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    Some(jwk)
}
