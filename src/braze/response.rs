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
/// Pause after a 429 without a usable time.
const PAUSE: Duration = Duration::from_secs(10);
/// Longest pause after a 429, whatever its headers say: Braze's limits are counted by the hour (Braze, "API limits").
pub(super) const LONGEST_PAUSE: Duration = Duration::from_hours(1);

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
    let (status, until) = (response.status(), limited_until(response.headers(), now));
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
    Err(status_error(status, until, &body))
}

fn status_error(status: StatusCode, limited_until: UnixMillis, body: &[u8]) -> BrazeError {
    let message = message(body);
    match status {
        StatusCode::TOO_MANY_REQUESTS => BrazeError::RateLimited { until: limited_until },
        // A proxy answers 408 for a request that may have reached Braze.
        StatusCode::REQUEST_TIMEOUT => BrazeError::Fault { status: 408, message },
        _ if status.is_server_error() => BrazeError::Fault { status: status.as_u16(), message },
        _ => BrazeError::Refused { status: status.as_u16(), message },
    }
}

/// Returns the time until which a 429 silences us: the latest that its headers give, at most [`LONGEST_PAUSE`] from
/// now, and [`PAUSE`] where none of them lies ahead.
fn limited_until(headers: &HeaderMap, now: UnixMillis) -> UnixMillis {
    let given = [reset(headers, now), retry_after(headers, now)];
    let latest = given.into_iter().flatten().filter(|until| now < *until).max();
    latest.map_or_else(|| now.plus(PAUSE), |until| until.min(now.plus(LONGEST_PAUSE)))
}

/// Reads `x-ratelimit-reset`, a time in Unix seconds; in milliseconds where only those make a likely time.
fn reset(headers: &HeaderMap, now: UnixMillis) -> Option<UnixMillis> {
    let number: i64 = text(headers, "x-ratelimit-reset")?.parse().ok()?;
    let (seconds, millis) = (UnixMillis(number.saturating_mul(1000)), UnixMillis(number));
    let is_likely = |time: &UnixMillis| now < *time && *time <= now.plus(LONGEST_PAUSE);
    Some(if is_likely(&millis) && !is_likely(&seconds) { millis } else { seconds })
}

/// Reads `Retry-After`, in seconds or as an HTTP date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now: UnixMillis) -> Option<UnixMillis> {
    let text = text(headers, "retry-after")?;
    if let Ok(seconds) = text.parse() {
        return Some(now.plus(Duration::from_secs(seconds)));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(UnixMillis(date.timestamp().as_millisecond()))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
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
    let mut deepest: &dyn std::error::Error = error;
    while let Some(cause) = deepest.source() {
        deepest = cause;
    }
    // Nothing is sent before there is a connection.
    if error.is_connect() {
        return BrazeError::NoConnection(deepest.to_string());
    }
    let kind = if error.is_timeout() { "the time ran out" } else { "the exchange broke off" };
    BrazeError::NoAnswer(format!("{kind} ({deepest})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_braze_said_on_one_line() {
        let until = UnixMillis(9_000);
        let body = br#"{"message":"Invalid\nparameters","errors":["app_id"]}"#;
        let refused = status_error(StatusCode::BAD_REQUEST, until, body);
        assert_eq!(refused, BrazeError::Refused { status: 400, message: "Invalid parameters; app_id".to_owned() });
        assert!(!refused.is_ambiguous());
        for (status, number) in [(StatusCode::BAD_GATEWAY, 502), (StatusCode::REQUEST_TIMEOUT, 408)] {
            let fault = status_error(status, until, b"<html>");
            assert_eq!(fault, BrazeError::Fault { status: number, message: "no message".to_owned() });
            assert!(fault.is_ambiguous());
        }
        let limited = status_error(StatusCode::TOO_MANY_REQUESTS, until, b"");
        assert_eq!(limited, BrazeError::RateLimited { until });
    }

    /// A header's values, each with the seconds that it silences us for.
    fn check(name: &'static str, cases: &[(&str, u64)]) {
        // Fri, 20 Nov 2026 09:06:40 GMT
        let now = UnixMillis(1_795_165_600_000);
        for (value, seconds) in cases {
            let headers: HeaderMap = [(name.parse().unwrap(), value.parse().unwrap())].into_iter().collect();
            assert_eq!(limited_until(&headers, now).since(now), Duration::from_secs(*seconds), "{name}: {value}");
        }
        assert_eq!(limited_until(&HeaderMap::new(), now).since(now), PAUSE);
    }

    #[test]
    fn a_reset_is_in_seconds_and_no_reset_silences_us_for_more_than_an_hour() {
        check(
            "x-ratelimit-reset",
            &[
                ("1795165660", 60),
                ("1795165660000", 60),
                ("1795169200", 3600),
                ("1795169201", 3600),
                ("1795252000000", 3600),
                ("9223372036854775807", 3600),
                ("1795165600", 10),
                ("0", 10),
                ("-1795165660", 10),
                ("-9223372036854775808", 10),
                ("99999999999999999999", 10),
                ("soon", 10),
                ("", 10),
            ],
        );
    }

    #[test]
    fn a_retry_after_is_in_seconds_or_a_date_and_bounded_too() {
        check(
            "retry-after",
            &[
                ("60", 60),
                ("0", 10),
                ("86400", 3600),
                ("18446744073709551615", 3600),
                ("99999999999999999999", 10),
                ("-5", 10),
                ("1.5", 10),
                ("Fri, 20 Nov 2026 09:07:40 GMT", 60),
                ("Fri, 20 Nov 2026 08:06:40 GMT", 10),
                ("Tue, 20 Nov 2096 09:07:40 GMT", 3600),
                ("tomorrow", 10),
                ("", 10),
            ],
        );
    }
}
