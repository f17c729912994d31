//! Switches for undocumented behaviour of Braze, and for outages.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::UnixMillis;

/// Behaviour of the sandbox where Braze's documentation is silent or a test wants a failure. The defaults are the
/// most likely behaviour of Braze without failures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Switches {
    /// Send `reason` beside `error_code` in a rejection. Logs of real apps show rejections without it.
    pub send_reason: bool,
    /// Answer 20 instead of 27 where no key verifies; both are documented for it.
    pub decoding_error_for_no_match: bool,
    /// Seconds for which an expired token is still accepted.
    pub leeway_s: u32,
    /// Seconds by which the clock that tokens are checked by is ahead of the machine's.
    pub clock_ahead_s: u32,
    /// Time in Unix seconds: tokens whose `exp` is not later have expired. Tests use it instead of waiting.
    pub expire_until: Option<i64>,
    /// The HTTP status of a rejection. The web SDK reads the body of a 2xx only.
    pub rejection_status: u16,
    /// Fail every request to the SDK endpoints.
    pub outage: Option<Outage>,
    /// `Retry-After` on rejections and outages, in seconds.
    pub retry_after_s: Option<u32>,
    /// Seconds until a new or deleted key takes effect on verification; the list shows it at once. Not documented;
    /// Braze advises 5 minutes between dependent calls.
    pub propagation_s: f64,
    /// Seconds by which the list of public keys lags behind their changes. Not documented.
    pub list_lag_s: f64,
    /// Tell SDKs to retry after 0.1–1 s instead of their own 10–300 s, and lift their rate limit: for short tests.
    pub fast_retries: bool,
    /// Make an app's first key primary. Not documented.
    pub first_key_is_primary: bool,
    /// List public keys with CRLF line breaks. Braze's normalisation of PEM is not documented.
    pub reformat_pem: bool,
}

/// Failure of the SDK endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Outage {
    /// Every request gets this HTTP status; its body is not read.
    Status(u16),
    /// Every connection is closed without an answer.
    Connection(Connection),
}

/// Treatment of connections during an outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Connection {
    /// The connection is closed without an answer.
    Drop,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            send_reason: true,
            decoding_error_for_no_match: false,
            leeway_s: 0,
            clock_ahead_s: 0,
            expire_until: None,
            rejection_status: 200,
            outage: None,
            retry_after_s: None,
            propagation_s: 0.0,
            list_lag_s: 0.0,
            fast_retries: false,
            first_key_is_primary: true,
            reformat_pem: false,
        }
    }
}

impl Switches {
    /// Returns the switches with the members of a JSON object changed.
    ///
    /// # Errors
    /// A sentence for people: an unknown switch, or a value out of range.
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
        for (name, seconds) in [("propagation_s", new.propagation_s), ("list_lag_s", new.list_lag_s)] {
            if Duration::try_from_secs_f64(seconds).is_err() {
                return Err(format!("{name} is a number of seconds, 0 or more"));
            }
        }
        Ok(new)
    }

    /// Returns the time until a new or deleted key takes effect.
    pub(super) fn propagation(&self) -> Duration {
        Duration::try_from_secs_f64(self.propagation_s).unwrap_or_default()
    }

    /// Returns the time by which the list of public keys lags behind.
    pub(super) fn list_lag(&self) -> Duration {
        Duration::try_from_secs_f64(self.list_lag_s).unwrap_or_default()
    }

    /// Returns the time that a token's `exp` must exceed.
    pub(super) fn time_of_check(&self, now: UnixMillis) -> UnixMillis {
        let ahead = now.plus(Duration::from_secs(self.clock_ahead_s.into()));
        let now = ahead.minus(Duration::from_secs(self.leeway_s.into()));
        self.expire_until.map_or(now, |end| now.max(UnixMillis(end.saturating_mul(1000))))
    }
}
