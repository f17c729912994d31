//! Key sets of providers: which keys may have signed a credential.

mod cache;
mod decision;
mod fetch;
mod keys;
mod report;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::domain::sign_in::JwsAlgorithm;

pub(super) use cache::ProviderKeys;
pub(super) use fetch::Provider;
pub(super) use keys::MAX_KID;
pub use report::{KeySetReport, NoKeySet, ReportedFault, ReportedKey, key_set_url};

/// Key that a credential's header asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct WantedKey<'a> {
    pub(super) kid: Option<&'a str>,
    pub(super) algorithm: JwsAlgorithm,
}

/// The provider's keys are out of reach, so the credential can be neither accepted nor refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeysUnavailable {
    /// Time to the next allowed fetch.
    pub(super) retry_after: Duration,
    /// Fault of the last fetch or, where it brought keys, the key that they lack.
    pub(super) why: String,
}

/// Returns the keys of a set with these entries that may have signed a credential, for tests of the verification.
#[cfg(test)]
pub(super) fn candidates_of(
    entries: &[serde_json::Value],
    wanted: WantedKey<'_>,
) -> Vec<std::sync::Arc<jsonwebtoken::DecodingKey>> {
    let keys = entries.iter().filter_map(|entry| keys::UsableKey::read(entry).ok()).collect();
    decision::KeySet { keys, fresh_for: Duration::ZERO }.find(wanted).unwrap_or_default()
}
