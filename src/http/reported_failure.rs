//! Failure that an app reports, in the form of any of Braze's SDKs: only its code is kept.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::AppState;
use crate::domain::{failure::Cause, verdict::ErrorCode};

/// Label of a failure whose code is none of Braze's.
const OTHER: &str = "other";

/// Report of an authentication failure by its code, where Braze has such a code. Nothing else of it outlives the
/// parsing, since a client may send anything, and SDKs send the refused token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ReportedFailure(Option<ErrorCode>);

impl<'de> Deserialize<'de> for ReportedFailure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(|failure| Self::of(&failure))
    }
}

impl ReportedFailure {
    /// Finds the code of a failure, in whatever shape it comes: by its number, or else by its reason, since Android's
    /// SDK reports -1 where Braze sent no number.
    fn of(failure: &Value) -> Self {
        let members = |names: [&'static str; 3]| names.into_iter().filter_map(|name| failure.get(name));
        let by_number = members(["error_code", "errorCode", "code"]).find_map(number).and_then(ErrorCode::from_number);
        let by_reason = || members(["reason", "errorReason", "error_reason"]).find_map(reason);
        Self(by_number.or_else(by_reason))
    }

    /// Counts and logs the failure, as one of a session of ours.
    pub(super) fn count(&self, state: &AppState) {
        let code = self.0.map_or_else(|| OTHER.to_owned(), ErrorCode::label);
        state.metrics.failure_reported("", &code, Cause::Unknown.as_str());
        tracing::info!(code, "an app reported an authentication failure");
    }

    /// Counts a failure whose refresh token is not ours.
    pub(super) fn count_unauthenticated(state: &AppState) {
        state.metrics.unauthenticated_failure_reported();
    }
}

/// Returns a number that some SDKs send as text.
fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}

fn reason(value: &Value) -> Option<ErrorCode> {
    ErrorCode::from_reason(value.as_str()?.trim())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Shape of each SDK, by its own source, and the code that it means.
    #[test]
    fn a_code_is_found_in_every_shape_the_sdks_send() {
        let found = |failure: Value| ReportedFailure::of(&failure).0.map(ErrorCode::number);
        for (sdk, failure, code) in [
            ("Web", json!({"errorCode": 21, "reason": "SUBJECT_MISMATCH", "userId": "u", "signature": "x.y.z"}), 21),
            (
                "Android",
                json!({"errorCode": 26, "errorReason": null, "userId": null, "requestInitiationTime": 1795e6}),
                26,
            ),
            ("Android without a number", json!({"errorCode": -1, "errorReason": "EXPIRED"}), 22),
            ("Swift", json!({"code": 27, "reason": null, "userId": "u", "signature": null, "optional": true}), 27),
            ("React Native on iOS", json!({"error_code": "22", "user_id": 7, "reason": "EXPIRED"}), 22),
            ("React Native on Android", json!({"error_code": "-1", "error_reason": "DECODING_ERROR"}), 20),
            ("Flutter", json!({"code": 28, "userId": "", "signature": ""}), 28),
            ("Unity", json!({"code": " 10 ", "reason": {}}), 10),
            ("Cordova", json!({"errorCode": "23", "errorReason": 5}), 23),
            ("two names", json!({"error_code": null, "code": 25}), 25),
        ] {
            assert_eq!(found(failure), Some(code), "{sdk}");
        }
    }

    #[test]
    fn anything_else_is_no_code_and_no_error() {
        for odd in [
            "{}",
            "[]",
            "null",
            "22",
            r#""EXPIRED""#,
            r#"{"error_code":-1}"#,
            r#"{"error_code":{}}"#,
            r#"{"error_code":1e300}"#,
            r#"{"error_code":22.5}"#,
            r#"{"errorCode":true,"reason":["EXPIRED"]}"#,
            r#"{"code":99,"reason":"canary"}"#,
        ] {
            assert_eq!(serde_json::from_str::<ReportedFailure>(odd).unwrap(), ReportedFailure(None), "{odd}");
        }
    }
}
