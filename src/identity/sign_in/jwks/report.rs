//! Report on a provider's keys, for operators.

use super::{
    super::outbound::Outbound,
    fetch::{Fetched, Provider},
};
use crate::domain::sign_in::{JwsAlgorithm, OidcRules};

/// Keys of a provider, as they were fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySetReport {
    /// URL of the key set.
    pub url: String,
    pub usable: Vec<ReportedKey>,
    pub unusable: Vec<ReportedFault>,
}

/// Key that credentials can be verified with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedKey {
    pub kid: Option<String>,
    /// Type of the key, e.g. `RSA 2048 bits`.
    pub kind: String,
    /// Algorithms that the key may be used with.
    pub algorithms: Vec<JwsAlgorithm>,
}

/// Key that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedFault {
    pub kid: Option<String>,
    pub why: String,
}

/// Reason why there is no report: the sentence names the URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoKeySet(String);

impl KeySetReport {
    /// Fetches discovery and keys for these rules, now and once.
    ///
    /// # Errors
    /// [`NoKeySet`].
    pub async fn fetch(rules: &OidcRules) -> Result<Self, NoKeySet> {
        let fetched = Provider::of(rules).fetch(&Outbound::new()).await;
        let Fetched { url, set, unusable } = fetched.map_err(|fault| NoKeySet(fault.to_string()))?;
        let usable = set.keys.iter().map(|key| ReportedKey {
            kid: key.kid().map(str::to_owned),
            kind: key.kind().to_string(),
            algorithms: key.algorithms(),
        });
        let fault = |key: super::keys::UnusableKey| ReportedFault { kid: key.kid, why: key.why.to_string() };
        Ok(Self { url, usable: usable.collect(), unusable: unusable.into_iter().map(fault).collect() })
    }

    /// Returns the number of keys that can be used with one of these algorithms.
    pub fn usable_with(&self, algorithms: &[JwsAlgorithm]) -> usize {
        let fits = |key: &&ReportedKey| key.algorithms.iter().any(|algorithm| algorithms.contains(algorithm));
        self.usable.iter().filter(fits).count()
    }
}

/// Returns the URL of the key set for these rules. Where they do not name it, the provider's discovery document is fetched.
///
/// # Errors
/// [`NoKeySet`].
pub async fn key_set_url(rules: &OidcRules) -> Result<String, NoKeySet> {
    let place = Provider::of(rules).place(&Outbound::new()).await;
    place.map(|place| place.url().to_string()).map_err(|fault| NoKeySet(fault.to_string()))
}
