//! Switches for what is not known of the real Braze, and for bad days.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::UnixMillis;

/// How the sandbox behaves where Braze's documentation is silent, or a test wants trouble. The default is the likeliest
/// Braze, on a good day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Switches {
    /// Whether a rejection carries `reason` beside `error_code`. Logs of real apps show it missing.
    pub send_reason: bool,
    /// Answer 20 instead of 27 where no key verifies; both are documented for it.
    pub decoding_error_for_no_match: bool,
    /// Seconds for which an expired token is still taken.
    pub leeway_s: u32,
    /// Tokens whose `exp` is not later than this, in Unix seconds, have expired: to see an expiry without waiting for it.
    pub expire_until: Option<i64>,
    /// The HTTP status of a rejection. The web SDK reads the body of a 2xx only.
    pub rejection_status: u16,
    /// The SDK endpoints are out of order.
    pub outage: Option<Outage>,
    /// `Retry-After` on rejections and outages, in seconds.
    pub retry_after_s: Option<u32>,
    /// Seconds until a new or deleted key takes effect on verification; the list shows it at once. Not documented; Braze
    /// advises 5 minutes between dependent calls.
    pub propagation_s: f64,
    /// Tell SDKs to retry after 0.1–1 s instead of their own 10–300 s, and lift their rate limit: for short tests.
    pub fast_retries: bool,
    /// Whether an app's first key becomes primary by itself. Not documented.
    pub first_key_is_primary: bool,
    /// List public keys with other line breaks than they came with. Whether Braze normalises PEM is not documented.
    pub reformat_pem: bool,
}

/// The SDK endpoints are out of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Outage {
    /// Every request is answered with this HTTP status, unread.
    Status(u16),
    /// Every connection is closed without an answer.
    Connection(Connection),
}

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Connection {
    /// It is closed without an answer.
    Drop,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            send_reason: true,
            decoding_error_for_no_match: false,
            leeway_s: 0,
            expire_until: None,
            rejection_status: 200,
            outage: None,
            retry_after_s: None,
            propagation_s: 0.0,
            fast_retries: false,
            first_key_is_primary: true,
            reformat_pem: false,
        }
    }
}

impl Switches {
    /// These switches with some of them changed: a JSON object of those.
    ///
    /// # Errors
    /// What is wrong with the change, in words.
    pub(super) fn changed(&self, change: &Value) -> Result<Self, String> {
        let Value::Object(change) = change else {
            return Err("give a JSON object of switches".to_owned());
        };
        let mut all = serde_json::to_value(self).map_err(|error| error.to_string())?;
        if let Value::Object(all) = &mut all {
            all.extend(change.clone());
        }
        let new: Self = serde_json::from_value(all).map_err(|error| error.to_string())?;
        let statuses = [
            Some(new.rejection_status),
            new.outage.and_then(|outage| if let Outage::Status(status) = outage { Some(status) } else { None }),
        ];
        if let Some(bad) = statuses.into_iter().flatten().find(|status| !(200..=599).contains(status)) {
            return Err(format!("{bad} is no HTTP status between 200 and 599"));
        }
        if Duration::try_from_secs_f64(new.propagation_s).is_err() {
            return Err("propagation_s is a number of seconds, 0 or more".to_owned());
        }
        Ok(new)
    }

    /// How long a new or deleted key takes to take effect.
    pub(super) fn propagation(&self) -> Duration {
        Duration::try_from_secs_f64(self.propagation_s).unwrap_or_default()
    }

    /// The time that a token must outlive.
    pub(super) fn time_of_check(&self, now: UnixMillis) -> UnixMillis {
        let now = now.minus(Duration::from_secs(self.leeway_s.into()));
        self.expire_until.map_or(now, |end| now.max(UnixMillis(end.saturating_mul(1000))))
    }
}
