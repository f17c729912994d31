//! Id of a request, which its response, its problem document and its log lines carry.

use std::{
    convert::Infallible,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, request::Parts},
};
use bytes::Bytes;

use crate::{
    domain::{ids::ClientName, requester::Requester},
    secret::{SystemEntropy, random},
};

/// Header that carries the id.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    /// Id of the request whose handler is polled. It is no extension of the request: that would cost every request an
    /// allocation, and few handlers need it.
    static CURRENT: HeaderValue;
}

/// Polls the handler of the request with this id.
pub(super) fn polled<T>(id: &HeaderValue, poll: impl FnOnce() -> T) -> T {
    CURRENT.sync_scope(id.clone(), poll)
}

/// Id of the request, for handlers whose acts are recorded.
pub struct RequestId(HeaderValue);

impl RequestId {
    /// Returns the request as one of an app or of a provider.
    pub(super) fn requester(&self) -> Requester<'_> {
        Requester::new(self.as_str())
    }

    /// Returns the request as one of a backend.
    pub(super) fn of_client<'a>(&'a self, client: &'a ClientName) -> Requester<'a> {
        Requester::of_client(self.as_str(), client)
    }

    /// Id as text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

impl<S: Sync> FromRequestParts<S> for RequestId {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // The middleware is around every route.
        Ok(Self(CURRENT.try_with(HeaderValue::clone).unwrap_or(HeaderValue::from_static("unknown"))))
    }
}

/// Returns the id of a request: the caller's, where it may be echoed, or a new one.
pub(super) fn request_id(headers: &HeaderMap) -> HeaderValue {
    headers.get(REQUEST_ID).filter(|id| is_sane(id)).cloned().unwrap_or_else(new_request_id)
}

/// Returns true where a caller's request id may be echoed: it is short, and safe in a log and in a header.
fn is_sane(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    (1..=128).contains(&bytes.len())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// Makes an id that no other request of this process has, nor, in all likelihood, one of another process. It starts at
/// random, and costs no call of the system: ids are no secrets.
pub(super) fn new_request_id() -> HeaderValue {
    static START: OnceLock<u64> = OnceLock::new();
    static REQUESTS: AtomicU64 = AtomicU64::new(0);
    let start = START.get_or_init(|| u64::from_le_bytes(random(&SystemEntropy).unwrap_or_default()));
    let number = start.wrapping_add(REQUESTS.fetch_add(1, Ordering::Relaxed));
    let mut digits = [0; 16];
    if hex::encode_to_slice(scattered(number).to_be_bytes(), &mut digits).is_err() {
        unreachable!("8 bytes have 16 digits");
    }
    // Bytes with an owner are counted from the start: the copies that a request makes need no allocation.
    HeaderValue::from_maybe_shared(Bytes::from_owner(digits)).unwrap_or(HeaderValue::from_static("0"))
}

/// Scatters successive numbers over all numbers, one to one (the finaliser of `SplitMix64`), so that ids are told apart at
/// a glance.
fn scattered(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_16_digits_and_differ() {
        let ids: HashSet<HeaderValue> = (0..1000).map(|_| new_request_id()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.len() == 16 && id.as_bytes().iter().all(u8::is_ascii_hexdigit)));
    }
}
