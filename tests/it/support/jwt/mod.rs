//! JWTs of an identity provider, honest and forged, and a provider that serves the keys for them on a loopback address.

pub mod forged;
mod provider;

use std::sync::LazyLock;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, jwk::Jwk};
use serde_json::{Value, json};

pub use provider::TestProvider;

/// Audience of the tokens.
pub const AUDIENCE: &str = "our-client";

/// Key pair of a provider.
pub struct ProviderKey {
    pub kid: &'static str,
    pub algorithm: Algorithm,
    key: EncodingKey,
}

/// The key that signs most tokens here.
pub static RSA: LazyLock<ProviderKey> =
    LazyLock::new(|| rsa("rsa", include_bytes!("../../../fixtures/keys/rsa-2048.pkcs8.pem")));
/// A key of another provider, which has the same `kid`.
pub static OTHER_RSA: LazyLock<ProviderKey> =
    LazyLock::new(|| rsa("rsa", include_bytes!("../../../fixtures/keys/kept/generated-2048.pem")));
pub static P256: LazyLock<ProviderKey> = LazyLock::new(|| ProviderKey {
    kid: "p256",
    algorithm: Algorithm::ES256,
    key: EncodingKey::from_ec_pem(include_bytes!("../../../fixtures/keys/ec-p256.pkcs8.pem")).unwrap(),
});
pub static P384: LazyLock<ProviderKey> = LazyLock::new(|| {
    use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
    let random = aws_lc_rs::rand::SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &random).unwrap();
    ProviderKey { kid: "p384", algorithm: Algorithm::ES384, key: EncodingKey::from_ec_der(pkcs8.as_ref()) }
});
pub static ED25519: LazyLock<ProviderKey> = LazyLock::new(|| ProviderKey {
    kid: "ed25519",
    algorithm: Algorithm::EdDSA,
    key: EncodingKey::from_ed_pem(include_bytes!("../../../fixtures/keys/ed25519.pkcs8.pem")).unwrap(),
});

fn rsa(kid: &'static str, pem: &[u8]) -> ProviderKey {
    ProviderKey { kid, algorithm: Algorithm::RS256, key: EncodingKey::from_rsa_pem(pem).unwrap() }
}

/// Keys that the provider of these tests publishes.
pub fn published() -> [&'static ProviderKey; 4] {
    [&RSA, &P256, &P384, &ED25519]
}

impl ProviderKey {
    /// The public key, as a key set has it.
    pub fn jwk(&self) -> Value {
        let jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk["kid"] = self.kid.into();
        jwk["use"] = "sig".into();
        jwk
    }

    /// The usual header.
    pub fn header(&self) -> Value {
        json!({ "alg": format!("{:?}", self.algorithm), "typ": "JWT", "kid": self.kid })
    }

    /// A token with the usual header.
    pub fn token(&self, claims: &Value) -> String {
        self.with_header(&self.header(), claims)
    }

    /// A token with this header, whatever it says.
    pub fn with_header(&self, header: &Value, claims: &Value) -> String {
        self.raw(header.to_string(), claims.to_string())
    }

    /// A token of these bytes.
    pub fn raw(&self, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        self.signed(&input(header, payload))
    }

    /// The signing input, signed by this key's algorithm.
    pub fn signed(&self, input: &str) -> String {
        self.signed_by(self.algorithm, input)
    }

    /// The signing input, signed by another algorithm of the key's family.
    pub fn signed_by(&self, algorithm: Algorithm, input: &str) -> String {
        let signature = jsonwebtoken::crypto::sign(input.as_bytes(), &self.key, algorithm).unwrap();
        format!("{input}.{signature}")
    }
}

/// The signing input of a JWS (RFC 7515 §5.1).
pub fn input(header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
    format!("{}.{}", base64url(header), base64url(payload))
}

pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Claims with one changed, or left out by `Value::Null`.
pub fn changed(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    match value {
        Value::Null => {
            claims.as_object_mut().unwrap().remove(name);
        }
        value => claims[name] = value,
    }
    claims
}
