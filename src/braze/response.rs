//! Responses of Braze's REST API (Braze's pages on the endpoints `sdk_authentication/create`, `keys`, `primary`,
//! `delete`; "API errors"; "API limits"). Success statuses and error bodies of these four endpoints are not
//! documented: any 2xx with the expected fields is success.

use std::time::Duration;

use reqwest::{Response, StatusCode, header::HeaderMap};
use serde::{Deserialize, de::DeserializeOwned};

use super::{BrazeError, Listed};
use crate::{clock::UnixMillis, domain::spki::Spki};

/// Length of the longest response that is read, in bytes; three keys are some 3 KiB.
const MAX_LENGTH: usize = 256 * 1024;
/// Pause after a 429 without `x-ratelimit-reset`.
const PAUSE: Duration = Duration::from_secs(10);

/// Response of `create`.
#[derive(Deserialize)]
pub(super) struct Created {
    pub(super) id: String,
}

/// Response of `keys`.
#[derive(Deserialize)]
pub(super) struct KeyList {
    keys: Vec<KeyEntry>,
}

#[derive(Deserialize)]
struct KeyEntry {
    id: String,
    #[serde(rename = "rsa_public_key")]
    pem: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    is_primary: bool,
}

impl KeyList {
    /// Converts the keys; one that is no readable RSA key has no `public_key`.
    pub(super) fn listed(self) -> Vec<Listed> {
        let listed = |key: KeyEntry| Listed {
            id: key.id,
            public_key: Spki::from_pem(&key.pem).ok(),
            description: key.description.unwrap_or_default(),
            primary: key.is_primary,
        };
        self.keys.into_iter().map(listed).collect()
    }
}

/// Reads a response.
///
/// # Errors
/// [`BrazeError::NoAnswer`] if it breaks off, is too long or is not the documented JSON; the error of the status
/// otherwise.
pub(super) async fn read<T: DeserializeOwned>(mut response: Response, now: UnixMillis) -> Result<T, BrazeError> {
    let (status, reset) = (response.status(), reset(response.headers()));
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|error| no_answer(&error))? {
        body.extend_from_slice(&part);
        if body.len() > MAX_LENGTH {
            return Err(BrazeError::NoAnswer("the answer is too long to be Braze's".to_owned()));
        }
    }
    if status.is_success() {
        let unreadable =
            |why| BrazeError::NoAnswer(format!("the answer ({status}) is not what Braze documents: {why}"));
        return serde_json::from_slice(&body).map_err(unreadable);
    }
    Err(status_error(status, reset, &body, now))
}

fn status_error(status: StatusCode, reset: Option<UnixMillis>, body: &[u8], now: UnixMillis) -> BrazeError {
    if status == StatusCode::TOO_MANY_REQUESTS {
        return BrazeError::RateLimited { until: reset.unwrap_or_else(|| now.plus(PAUSE)) };
    }
    let (status, message) = (status.as_u16(), message(body));
    if status >= 500 { BrazeError::Fault { status, message } } else { BrazeError::Refused { status, message } }
}

/// Reads `x-ratelimit-reset`, a time in Unix seconds.
fn reset(headers: &HeaderMap) -> Option<UnixMillis> {
    let seconds: i64 = headers.get("x-ratelimit-reset")?.to_str().ok()?.trim().parse().ok()?;
    Some(UnixMillis(seconds.checked_mul(1000)?))
}

/// Returns the message of an error body as one line of at most 300 characters, for logs.
fn message(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct ErrorBody {
        message: String,
        #[serde(default)]
        errors: Vec<serde_json::Value>,
    }
    let Ok(body) = serde_json::from_slice::<ErrorBody>(body) else { return "no message".to_owned() };
    let errors = body.errors.iter().filter_map(|error| error.as_str()).filter(|error| *error != body.message);
    let whole = [body.message.as_str()].into_iter().chain(errors).collect::<Vec<_>>().join("; ");
    whole.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}

/// Converts a failure of the HTTP client; the message has the deepest cause, and no URL.
pub(super) fn no_answer(error: &reqwest::Error) -> BrazeError {
    let kind = match () {
        () if error.is_timeout() => "the time ran out",
        () if error.is_connect() => "no connection",
        () => "the exchange broke off",
    };
    let mut deepest: &dyn std::error::Error = error;
    while let Some(cause) = deepest.source() {
        deepest = cause;
    }
    BrazeError::NoAnswer(format!("{kind} ({deepest})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_braze_said_on_one_line() {
        let now = UnixMillis(5_000);
        let body = br#"{"message":"Invalid\nparameters","errors":["app_id"]}"#;
        let refused = status_error(StatusCode::BAD_REQUEST, None, body, now);
        assert_eq!(refused, BrazeError::Refused { status: 400, message: "Invalid parameters; app_id".to_owned() });
        assert!(!refused.is_ambiguous());
        let fault = status_error(StatusCode::BAD_GATEWAY, None, b"<html>", now);
        assert_eq!(fault, BrazeError::Fault { status: 502, message: "no message".to_owned() });
        assert!(fault.is_ambiguous());
        for (reset, until) in [(Some(UnixMillis(9_000)), 9_000), (None, 15_000)] {
            let limited = status_error(StatusCode::TOO_MANY_REQUESTS, reset, b"", now);
            assert_eq!(limited, BrazeError::RateLimited { until: UnixMillis(until) });
        }
    }

    #[test]
    fn a_reset_is_in_seconds() {
        let mut headers = HeaderMap::new();
        assert_eq!(reset(&headers), None);
        headers.insert("x-ratelimit-reset", "1795000000".parse().unwrap());
        assert_eq!(reset(&headers), Some(UnixMillis(1_795_000_000_000)));
        for nonsense in ["soon", "9223372036854775807", ""] {
            headers.insert("x-ratelimit-reset", nonsense.parse().unwrap());
            assert_eq!(reset(&headers), None, "{nonsense}");
        }
    }
}
