//! Fetch of a provider's key set: its place (OpenID Connect Discovery 1.0 §4), its keys, its lifetime.

use std::time::Duration;

use reqwest::header::{AGE, CACHE_CONTROL, HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::Value;

use super::{
    super::outbound::{Outbound, OutboundError, TIME_LIMIT},
    decision::KeySet,
    keys::{UnusableKey, UsableKey},
};
use crate::{
    address::outbound::{Destination, ForbiddenUrl},
    domain::sign_in::{KeySource, OidcRules},
};

/// Number of keys in the longest set that is accepted.
const MAX_KEYS: usize = 100;
/// Lifetime of a set whose answer says nothing about it.
const DEFAULT_LIFETIME: Duration = Duration::from_mins(10);
const SHORTEST_LIFETIME: Duration = Duration::from_mins(1);
const LONGEST_LIFETIME: Duration = Duration::from_hours(24);

/// Provider of a key set. Equal ones share a set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in super::super) struct Provider {
    pub(super) issuer: String,
    source: KeySource,
    pub(super) max_stale: Duration,
    allow_private_addresses: bool,
}

/// Answer of a provider.
#[derive(Debug)]
pub(super) struct Fetched {
    /// URL of the key set.
    pub(super) url: String,
    pub(super) set: KeySet,
    pub(super) unusable: Vec<UnusableKey>,
}

/// Reason why a provider's key set is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FetchFault {
    #[error("{url}: {why}")]
    Outbound { url: String, why: OutboundError },
    #[error("{url:?}: the URL must not be requested: {why}")]
    Url { url: String, why: ForbiddenUrl },
    #[error("{url}: its issuer is {found:?} instead of {expected:?}")]
    Issuer { url: String, expected: String, found: String },
    #[error("{url}: the key set has {found} keys, more than {MAX_KEYS}")]
    TooMany { url: String, found: usize },
    #[error("{url}: no key of the set can be used: {why}")]
    NothingUsable { url: String, why: String },
    #[error("{issuer}: discovery and key set took more than {} s together", TIME_LIMIT.as_secs())]
    TimedOut { issuer: String },
}

/// Discovery document (OpenID Connect Discovery 1.0 §3).
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// JWK Set (RFC 7517 §5). Entries are read one by one: a broken one does no harm to the others.
#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Value>,
}

impl Provider {
    /// Provider of the keys for these rules.
    pub(in super::super) fn of(rules: &OidcRules) -> Self {
        Self {
            issuer: rules.issuer.clone(),
            source: rules.keys.clone(),
            max_stale: rules.jwks_max_stale,
            allow_private_addresses: rules.allow_private_addresses,
        }
    }

    /// Fetches the key set, within the time limit of one request.
    ///
    /// # Errors
    /// [`FetchFault`].
    pub(super) async fn fetch(&self, outbound: &Outbound) -> Result<Fetched, FetchFault> {
        let fetched = async {
            let place = self.place(outbound).await?;
            key_set(outbound, &place).await
        };
        let late = |_| FetchFault::TimedOut { issuer: self.issuer.clone() };
        tokio::time::timeout(TIME_LIMIT, fetched).await.map_err(late)?
    }

    /// Finds the place of the key set, within the time limit of one request.
    ///
    /// # Errors
    /// [`FetchFault`].
    pub(super) async fn place(&self, outbound: &Outbound) -> Result<Destination, FetchFault> {
        let configured = |url: &str| {
            let forbidden = |why| FetchFault::Url { url: url.to_owned(), why };
            Destination::configured(url, self.allow_private_addresses).map_err(forbidden)
        };
        let document = match &self.source {
            KeySource::Url(url) => return configured(url),
            KeySource::Discovery => {
                configured(&format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/')))?
            }
        };
        let discovery: Discovery = get(outbound, &document).await?.1;
        if discovery.issuer != self.issuer {
            let (url, expected) = (document.url().to_string(), self.issuer.clone());
            return Err(FetchFault::Issuer { url, expected, found: clipped(&discovery.issuer) });
        }
        let forbidden = |why| FetchFault::Url { url: clipped(&discovery.jwks_uri), why };
        document.discovered(&discovery.jwks_uri).map_err(forbidden)
    }
}

async fn key_set(outbound: &Outbound, place: &Destination) -> Result<Fetched, FetchFault> {
    let (headers, JwkSet { keys: entries }) = get(outbound, place).await?;
    let url = place.url().to_string();
    if entries.len() > MAX_KEYS {
        return Err(FetchFault::TooMany { url, found: entries.len() });
    }
    let (mut keys, mut unusable) = (Vec::new(), Vec::new());
    for entry in &entries {
        match UsableKey::read(entry) {
            Ok(key) => keys.push(key),
            Err(fault) => unusable.push(fault),
        }
    }
    // An empty set withdraws all keys; one of which nothing can be read is a fault.
    if let (true, Some(first)) = (keys.is_empty(), unusable.first()) {
        return Err(FetchFault::NothingUsable { url, why: first.to_string() });
    }
    // A key without a kid may be replaced without anybody seeing it: nothing but another fetch shows it.
    let named = keys.iter().all(|key| key.kid().is_some());
    let fresh_for = if named { lifetime(&headers) } else { SHORTEST_LIFETIME };
    Ok(Fetched { url, set: KeySet { keys, fresh_for }, unusable })
}

async fn get<T: serde::de::DeserializeOwned>(
    outbound: &Outbound,
    from: &Destination,
) -> Result<(HeaderMap, T), FetchFault> {
    // A cache between the provider and this service may not know a new key yet.
    let headers = HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static("no-cache"))]);
    let answer = outbound.get(from, headers).await;
    let read = answer.and_then(|answer| Ok((answer.read()?, answer.headers)));
    let (value, headers) = read.map_err(|why| FetchFault::Outbound { url: from.url().to_string(), why })?;
    Ok((headers, value))
}

/// Lifetime of an answer: its `max-age` less its `Age` (RFC 9111 §4.2), within bounds.
fn lifetime(headers: &HeaderMap) -> Duration {
    let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_ascii_lowercase();
    let lines: Vec<_> = headers.get_all(CACHE_CONTROL).iter().map(text).collect();
    let directives = || lines.iter().flat_map(|line| line.split(',')).map(str::trim);
    if directives().any(|directive| matches!(directive, "no-store" | "no-cache")) {
        return SHORTEST_LIFETIME;
    }
    let seconds = |text: &str| text.trim_matches('"').parse().ok().map(Duration::from_secs);
    let Some(max_age) = directives().find_map(|directive| directive.strip_prefix("max-age=").and_then(seconds)) else {
        return DEFAULT_LIFETIME;
    };
    let age = headers.get(AGE).and_then(|age| seconds(age.to_str().unwrap_or_default().trim())).unwrap_or_default();
    max_age.saturating_sub(age).clamp(SHORTEST_LIFETIME, LONGEST_LIFETIME)
}

/// Clips a text of the provider for a message.
fn clipped(text: &str) -> String {
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_lives_as_long_as_its_answer_says_within_bounds() {
        let table: [(&[(&str, &str)], u64); 9] = [
            (&[], 600),
            (&[("cache-control", "public, max-age=3600, must-revalidate")], 3_600),
            (&[("cache-control", "public"), ("cache-control", "Max-Age=7200")], 7_200),
            (&[("cache-control", "max-age=3600"), ("age", "600")], 3_000),
            (&[("cache-control", "max-age=3600"), ("age", "9999")], 60),
            (&[("cache-control", "max-age=1")], 60),
            (&[("cache-control", "max-age=99999999")], 86_400),
            (&[("cache-control", "max-age=99999999999999999999999")], 600),
            (&[("cache-control", "no-store, max-age=3600")], 60),
        ];
        for (lines, seconds) in table {
            let line = |(name, value): &(&str, &str)| (name.parse().unwrap(), value.parse().unwrap());
            let mut headers = HeaderMap::new();
            for (name, value) in lines.iter().map(line) {
                headers.append::<reqwest::header::HeaderName>(name, value);
            }
            assert_eq!(lifetime(&headers), Duration::from_secs(seconds), "{lines:?}");
        }
    }
}
