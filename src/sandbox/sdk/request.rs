//! Parsed requests of the SDKs.

use axum::http::HeaderMap;
use serde_json::{Value, json};

use crate::domain::verdict::Claimed;

/// A request of an SDK: its headers for authentication, and its JSON body.
pub(super) struct SdkRequest {
    header_api_key: Option<String>,
    /// The JWT without a prefix; a blank header counts as none.
    pub(super) token: Option<String>,
    /// Number of the try on this endpoint, from 1, as the SDK counts.
    pub(super) attempt: Option<u64>,
    body: Value,
}

impl SdkRequest {
    /// Parses a request; returns `None` if the body is not a JSON object.
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

    /// Returns the SDK API key, if header and body agree.
    pub(super) fn api_key(&self) -> Option<&str> {
        let header = self.header_api_key.as_deref()?;
        match self.body.get("api_key") {
            Some(body) if body.as_str() != Some(header) => None,
            _ => Some(header),
        }
    }

    /// Returns the events.
    pub(super) fn events(&self) -> &[Value] {
        self.rows("events")
    }

    /// Returns the push tokens that attributes set, each with its user; `None` in the token's place withdraws it.
    pub(super) fn push_attributes(&self) -> impl Iterator<Item = (Option<&str>, Option<&str>)> {
        self.rows("attributes").iter().filter_map(|row| Some((user_of(row), row.get("push_token")?.as_str())))
    }

    /// Returns the push token that the request itself names.
    pub(super) fn push_token(&self) -> Option<&str> {
        self.member("push_token")
    }

    /// Returns the id that the SDK has given to its browser.
    pub(super) fn device_id(&self) -> Option<&str> {
        self.member("device_id")
    }

    fn member(&self, name: &str) -> Option<&str> {
        self.body.get(name).and_then(Value::as_str)
    }

    fn rows(&self, name: &str) -> &[Value] {
        self.body.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// Returns the user that the request claims to be of, from its rows and its own members.
    pub(super) fn claimed(&self) -> Claimed {
        let rows = self.rows("events").iter().chain(self.rows("attributes"));
        Claimed::of(rows.map(user_of), self.named_by_request())
    }

    /// Returns every user id in the request, without repetition.
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

    /// Returns true if the SDK asks for triggers.
    pub(super) fn wants_triggers(&self) -> bool {
        self.body.pointer("/respond_with/triggers") == Some(&json!(true))
    }

    /// Returns the version of the SDK's configuration, in Unix seconds; 0 if it has none.
    pub(super) fn config_time(&self) -> i64 {
        self.body.pointer("/respond_with/config/config_time").and_then(Value::as_i64).unwrap_or(0)
    }
}

fn user_of(row: &Value) -> Option<&str> {
    row.get("user_id").and_then(Value::as_str)
}
