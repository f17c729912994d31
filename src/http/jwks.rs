//! `GET /.well-known/jwks.json`: the public keys, for verifiers other than Braze (RFC 7517).

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::AppState;
use crate::{
    clock::human_duration,
    domain::{jwk::jwk_set, key::KeyRecord},
};

/// Caching of the key set. `[jwks]` in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JwksConfig {
    /// Time for which verifiers may keep the key set.
    #[serde(with = "human_duration")]
    pub max_age: Duration,
}

impl Default for JwksConfig {
    fn default() -> Self {
        Self { max_age: Duration::from_mins(5) }
    }
}

/// Key set as it is served: made once for each change, not for each request.
pub struct Jwks(ArcSwap<ServedKeySet>);

#[derive(Clone)]
struct ServedKeySet {
    body: Bytes,
    etag: HeaderValue,
    cache: HeaderValue,
}

impl Default for Jwks {
    fn default() -> Self {
        Self(ArcSwap::from_pointee(ServedKeySet::new(&[], Duration::ZERO)))
    }
}

impl Jwks {
    /// Serves these keys from now on; verifiers may keep them for `max_age`.
    pub fn swap(&self, keys: &[KeyRecord], max_age: Duration) {
        self.0.store(Arc::new(ServedKeySet::new(keys, max_age)));
    }

    /// Changes the time for which verifiers may keep the key set.
    pub fn set_max_age(&self, max_age: Duration) {
        self.0.rcu(|served| ServedKeySet { cache: cache_control(max_age), ..(**served).clone() });
    }
}

impl ServedKeySet {
    fn new(keys: &[KeyRecord], max_age: Duration) -> Self {
        let body = serde_json::to_vec(&jwk_set(keys)).unwrap_or_else(|_| unreachable!("a key set always serialises"));
        let hash = digest(&SHA256, &body);
        let tag = hash.as_ref().iter().take(8).copied().collect::<Vec<u8>>();
        let etag = header_value(&format!("\"{}\"", hex::encode(tag)));
        Self { body: body.into(), etag, cache: cache_control(max_age) }
    }
}

fn cache_control(max_age: Duration) -> HeaderValue {
    header_value(&format!("public, max-age={}", max_age.as_secs()))
}

fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("no-store"))
}

/// Public keys of the tokens that may still be valid, each with its RFC 7638 thumbprint as `kid`.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "keys",
    responses(
        (
            status = 200,
            description = "A JWK Set (RFC 7517)",
            body = serde_json::Value,
            content_type = "application/jwk-set+json"
        ),
        (status = 304, description = "Unchanged since that ETag"),
    ),
)]
pub(super) async fn jwks(State(state): State<Arc<AppState>>, headers: HeaderMap) -> Response {
    let served = state.jwks.0.load();
    let shared = [(header::ETAG, served.etag.clone()), (header::CACHE_CONTROL, served.cache.clone())];
    if is_known(&headers, &served.etag) {
        return (StatusCode::NOT_MODIFIED, shared).into_response();
    }
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"))];
    (shared, kind, served.body.clone()).into_response()
}

/// Returns true where the caller has this version (RFC 9110 §13.1.2, weak comparison).
fn is_known(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let tags = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = tags.flat_map(|list| list.split(',')).map(|tag| tag.trim().trim_start_matches("W/"));
    tags.any(|tag| tag == "*" || tag.as_bytes() == etag.as_bytes())
}
