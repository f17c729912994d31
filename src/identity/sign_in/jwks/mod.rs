//! Key sets of providers: which keys may have signed a credential.

use std::time::Duration;

use jsonwebtoken::jwk::Jwk;

use crate::domain::sign_in::JwsAlgorithm;

/// Key that a credential's header asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct WantedKey<'a> {
    pub(super) kid: Option<&'a str>,
    pub(super) algorithm: JwsAlgorithm,
}

/// The provider's keys are out of reach, so the credential can be neither accepted nor refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeysUnavailable {
    /// Time to the next allowed fetch.
    pub(super) retry_after: Duration,
}

/// Key sets of one issuer.
pub(super) struct ProviderKeys {}

impl ProviderKeys {
    /// Returns the keys that may have signed a credential, at most 4: those whose `kid`, `kty`, `use`, `alg` and `crv`
    /// agree with the header. It is empty only where a set fetched after the `kid` was first seen lacks it.
    ///
    /// # Errors
    /// [`KeysUnavailable`].
    pub(super) async fn candidates(&self, wanted: WantedKey<'_>) -> Result<Vec<Jwk>, KeysUnavailable> {
        let _ = wanted;
        Err(KeysUnavailable { retry_after: Duration::from_secs(1) })
    }
}
