//! Authentication of this service, as an OAuth client, at a provider's introspection endpoint.

use std::sync::Arc;

use jsonwebtoken::{Algorithm, EncodingKey};
use subtle::ConstantTimeEq;

use crate::secret::Secret;

/// Authentication of this service at an introspection endpoint.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientAuthentication {
    /// `client_secret_basic` (RFC 6749 §2.3.1).
    Basic(ClientSecret),
    /// `private_key_jwt` (RFC 7523 §2.2).
    PrivateKeyJwt(ClientKey),
}

/// Secret that the provider gave to this service. Copies share the one value, and `Debug` does not show it.
#[derive(Clone, Debug)]
pub struct ClientSecret(Arc<Secret<String>>);

impl ClientSecret {
    /// Wraps the secret as the provider shows it: neither URL-encoded nor with a line end.
    pub fn new(secret: String) -> Self {
        Self(Arc::new(Secret::new(secret)))
    }

    /// Returns the secret. Call it only where the secret is used.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl PartialEq for ClientSecret {
    fn eq(&self, other: &Self) -> bool {
        self.0.matches(other.expose().as_bytes())
    }
}

/// Private key whose public half the provider knows. Copies share the one key, and `Debug` does not show it.
#[derive(Clone, Debug)]
pub struct ClientKey {
    key: Arc<EncodingKey>,
    algorithm: Algorithm,
    /// Header `kid` of the assertions, where the provider knows the key by one.
    pub kid: Option<String>,
    /// Claim `aud` of the assertions; `None`: the endpoint's URL. Some providers want their issuer.
    pub audience: Option<String>,
}

/// Reason why a private key for `private_key_jwt` is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "holds no private key in PEM that can authenticate this service: it must be RSA of 2048 bits or more (PKCS#1 or PKCS#8), or P-256 (PKCS#8), and not encrypted; `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256` makes one"
)]
pub struct BadClientKey;

impl ClientKey {
    /// Reads a private key in PEM. An RSA key signs with RS256, a P-256 key with ES256.
    ///
    /// # Errors
    /// [`BadClientKey`].
    pub fn parse(pem: &str) -> Result<Self, BadClientKey> {
        let pem = pem.as_bytes();
        let (key, algorithm) = EncodingKey::from_ec_pem(pem)
            .map(|key| (key, Algorithm::ES256))
            .or_else(|_| EncodingKey::from_rsa_pem(pem).map(|key| (key, Algorithm::RS256)))
            .map_err(|_| BadClientKey)?;
        // A public key, another curve and a short key are found out by signing only.
        jsonwebtoken::crypto::sign(b"", &key, algorithm).map_err(|_| BadClientKey)?;
        Ok(Self { key: Arc::new(key), algorithm, kid: None, audience: None })
    }

    /// Returns the key for signing.
    pub fn encoding_key(&self) -> &EncodingKey {
        &self.key
    }

    /// Algorithm that fits the key: RS256 or ES256.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl PartialEq for ClientKey {
    fn eq(&self, other: &Self) -> bool {
        let is_same_key: bool = self.key.as_bytes().ct_eq(other.key.as_bytes()).into();
        is_same_key && self.kid == other.kid && self.audience == other.audience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_compared_and_not_shown() {
        let secret = ClientSecret::new("canary".to_owned());
        assert_eq!(secret, secret.clone());
        assert_ne!(secret, ClientSecret::new("canarz".to_owned()));
        assert!(!format!("{:?}", ClientAuthentication::Basic(secret)).contains("canary"));
    }

    #[test]
    fn what_cannot_sign_is_refused() {
        for pem in ["", "canary", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            assert_eq!(ClientKey::parse(pem).unwrap_err(), BadClientKey, "{pem}");
        }
    }
}
