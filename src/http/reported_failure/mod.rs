//! Failure that an app reports, in the form of any of Braze's SDKs. All of it is untrusted: what does not fit is left
//! out, and no shape of it is an error.

mod schema;

use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use zeroize::Zeroizing;

use crate::{
    domain::{
        failure::{Platform, ReportedCode},
        verdict::ErrorCode,
    },
    failures::{ReportedUser, UnverifiedReport},
};

pub(super) use schema::failure as failure_schema;

/// Report of an authentication failure, as its JSON text. It is read only where it counts: who is over a quota, or
/// presents no refresh token of ours, is not worth the work.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct ReportedFailure(Box<RawValue>);

impl ReportedFailure {
    /// Reads the report, and reduces it to what is compared and counted.
    pub(super) fn read(&self) -> UnverifiedReport {
        // JSON that has no value here, such as a number beyond all limits, reports nothing.
        report_of(&serde_json::from_str(self.0.get()).unwrap_or_default())
    }
}

/// Reads a failure by the names of any SDK. The first name of a member that has a value of its type counts.
fn report_of(failure: &Value) -> UnverifiedReport {
    UnverifiedReport {
        code: code(failure).map_or(ReportedCode::Other, ReportedCode::Braze),
        platform: find(failure, &["platform"], text).map_or(Platform::Unknown, platform),
        sdk_version: find(failure, &["sdk_version", "sdkVersion"], text).and_then(|version| version.parse().ok()),
        user: find(failure, &["user_id", "userId"], user),
        signature: find(failure, &["signature", "original_signature"], filled).map(secret),
    }
}

fn find<'a, T>(failure: &'a Value, names: &[&str], read: impl Fn(&'a Value) -> Option<T>) -> Option<T> {
    names.iter().find_map(|name| failure.get(name).and_then(&read))
}

/// Finds the code by its number, or else by its reason, since Android's SDK reports -1 where Braze sent no number.
fn code(failure: &Value) -> Option<ErrorCode> {
    let by_number = find(failure, &["error_code", "errorCode", "code"], number).and_then(ErrorCode::from_number);
    by_number.or_else(|| find(failure, &["reason", "errorReason", "error_reason"], reason))
}

/// Returns a number that some SDKs send as text.
fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| text(value)?.trim().parse().ok())
}

fn reason(value: &Value) -> Option<ErrorCode> {
    ErrorCode::from_reason(text(value)?.trim())
}

fn text(value: &Value) -> Option<&str> {
    value.as_str()
}

/// Returns a text that is not empty: SDKs send an empty one where they have none.
fn filled(value: &Value) -> Option<&str> {
    text(value).filter(|text| !text.is_empty())
}

/// Returns a user id, which plugins of some SDKs turn into a number.
fn user(value: &Value) -> Option<ReportedUser> {
    match value {
        Value::Number(number) => Some(ReportedUser::Number(Zeroizing::new(number.to_string()))),
        _ => filled(value).map(|text| ReportedUser::Text(secret(text))),
    }
}

fn secret(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

/// Returns the platform of this name, in any case and with any separators.
fn platform(name: &str) -> Platform {
    let letters: String = name.chars().take(32).filter(char::is_ascii_alphanumeric).collect();
    match letters.to_ascii_lowercase().as_str() {
        "web" => Platform::Web,
        "android" => Platform::Android,
        "ios" | "swift" => Platform::Ios,
        "flutter" => Platform::Flutter,
        "reactnative" | "expo" => Platform::ReactNative,
        "unity" => Platform::Unity,
        "cordova" => Platform::Cordova,
        "maui" => Platform::Maui,
        _ => Platform::Other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Shape of each SDK, by its own source, and the code that it means.
    #[test]
    fn a_code_is_found_in_every_shape_the_sdks_send() {
        let found = |failure: Value| match report_of(&failure).code {
            ReportedCode::Braze(code) => Some(code.number()),
            ReportedCode::Other => None,
        };
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
            r#"{"user_id":{},"signature":7,"platform":[],"sdk_version":true}"#,
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
            r#"{"code":22,"time":1e999}"#,
            r#"{"code":22,"reason":"\ud800"}"#,
            r#"{"reason":"\ud83d"}"#,
            r#"{"user_id":1e999}"#,
        ] {
            let failure: ReportedFailure = serde_json::from_str(odd).unwrap();
            assert_eq!(failure.read(), nothing(), "{odd}");
        }
    }

    fn nothing() -> UnverifiedReport {
        UnverifiedReport {
            code: ReportedCode::Other,
            platform: Platform::Unknown,
            sdk_version: None,
            user: None,
            signature: None,
        }
    }

    #[test]
    fn user_signature_platform_and_version_are_found_under_the_names_of_every_sdk() {
        for (failure, user, signature) in [
            (json!({"userId": "u", "signature": "x.y.z"}), Some("u"), Some("x.y.z")),
            (json!({"user_id": "u", "original_signature": "x.y.z"}), Some("u"), Some("x.y.z")),
            (json!({"userId": "", "signature": ""}), None, None),
            (json!({"userId": null, "user_id": "u", "signature": 5, "original_signature": "s"}), Some("u"), Some("s")),
            (json!({"userId": {"u": 1}, "signature": ["x.y.z"]}), None, None),
        ] {
            let report = report_of(&failure);
            let expected = user.map(|user| ReportedUser::Text(secret(user)));
            assert!(report.user == expected, "{failure}");
            assert_eq!(report.signature.as_deref().map(String::as_str), signature, "{failure}");
        }
        let number = report_of(&json!({"userId": 7})).user;
        assert!(number == Some(ReportedUser::Number(secret("7"))));
        for (name, platform) in [
            (json!("web"), Platform::Web),
            (json!("iOS"), Platform::Ios),
            (json!("react-native"), Platform::ReactNative),
            (json!("React Native"), Platform::ReactNative),
            (json!("x".repeat(9000)), Platform::Other),
            (json!(["web"]), Platform::Unknown),
        ] {
            assert_eq!(report_of(&json!({ "platform": name })).platform, platform, "{name}");
        }
        for (version, is_one) in
            [(json!("6.13.0"), true), (json!("6.13.0-canary"), false), (json!(6.13), false), (json!("6"), false)]
        {
            let report = report_of(&json!({ "sdk_version": version }));
            assert_eq!(report.sdk_version.is_some(), is_one, "{version}");
        }
    }
}
