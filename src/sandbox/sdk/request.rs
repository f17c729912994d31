//! A request of an SDK, as far as it matters here.

use axum::http::HeaderMap;
use serde_json::{Value, json};

use crate::domain::verdict::Claimed;

/// A request of an SDK.
pub(super) struct SdkRequest {
    header_api_key: Option<String>,
    /// The bare JWT. Blank is as good as none.
    pub(super) token: Option<String>,
    /// The SDK's own count of its tries on this endpoint, from 1.
    pub(super) attempt: Option<u64>,
    body: Value,
}

impl SdkRequest {
    /// Reads it; `None` where the body is not a JSON object.
    pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body: Value = serde_json::from_slice(body).ok()?;
        body.is_object().then(|| Self {
            header_api_key: header("x-braze-api-key"),
            token: header("x-braze-auth-signature").filter(|token| !token.trim().is_empty()),
            attempt: header("x-braze-req-attempt").and_then(|attempt| attempt.parse().ok()),
            body,
        })
    }

    /// The SDK API key, where header and body agree on one.
    pub(super) fn api_key(&self) -> Option<&str> {
        let header = self.header_api_key.as_deref()?;
        match self.body.get("api_key") {
            Some(body) if body.as_str() != Some(header) => None,
            _ => Some(header),
        }
    }

    /// Its events.
    pub(super) fn events(&self) -> &[Value] {
        self.rows("events")
    }

    fn rows(&self, name: &str) -> &[Value] {
        self.body.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// Whom it is for: the users of its rows, and those that the request itself names.
    pub(super) fn claimed(&self) -> Claimed {
        let rows = self.rows("events").iter().chain(self.rows("attributes"));
        Claimed::of(rows.map(user_of), self.named_by_request())
    }

    /// Every user id in it, each once.
    pub(super) fn user_ids(&self) -> Vec<String> {
        let rows = self.rows("events").iter().chain(self.rows("attributes")).filter_map(user_of);
        let mut ids = Vec::new();
        for id in self.named_by_request().chain(rows) {
            if !ids.iter().any(|known| known == id) {
                ids.push(id.to_owned());
            }
        }
        ids
    }

    fn named_by_request(&self) -> impl Iterator<Item = &str> {
        [self.body.get("respond_with").and_then(user_of), user_of(&self.body)].into_iter().flatten()
    }

    /// Whether it wants to know the triggers.
    pub(super) fn wants_triggers(&self) -> bool {
        self.body.pointer("/respond_with/triggers") == Some(&json!(true))
    }

    /// The version of the configuration that the SDK has, in Unix seconds; 0 where it has none.
    pub(super) fn config_time(&self) -> i64 {
        self.body.pointer("/respond_with/config/config_time").and_then(Value::as_i64).unwrap_or(0)
    }
}

fn user_of(row: &Value) -> Option<&str> {
    row.get("user_id").and_then(Value::as_str)
}
