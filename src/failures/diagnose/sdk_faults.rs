//! Faults of old versions of the SDKs, by their release notes.

use std::time::Duration;

use super::conclusion::Conclusion;
use crate::{
    domain::{
        failure::{Cause, Platform, SdkVersion},
        verdict::ErrorCode,
    },
    failures::evidence::FailureEvidence,
};

/// First version of each SDK that has SDK authentication.
const SINCE: &[(Platform, [u32; 2])] = &[
    (Platform::Web, [3, 3]),
    (Platform::Android, [14, 0]),
    (Platform::Ios, [5, 0]),
    (Platform::ReactNative, [1, 31]),
    (Platform::Flutter, [2, 5]),
    (Platform::Unity, [3, 8]),
    (Platform::Cordova, [6, 0]),
];

/// First version that uses a token which was refreshed within a session: Android 33.0.0 ("refreshed mid-session were
/// treated as failed"), Swift 8.3.0 ("retries kept the old token"), Web 3.5.0 (`changeUser` with the same id updates).
const TAKES_REFRESHED: &[(Platform, [u32; 2])] =
    &[(Platform::Web, [3, 5]), (Platform::Android, [33, 0]), (Platform::Ios, [8, 3])];

/// First version that does not mix a push token of nobody into the login: Android 40.0.0.
const TELLS_USERS_APART: &[(Platform, [u32; 2])] = &[(Platform::Android, [40, 0])];

/// Age of a session within which its login is being sent.
const AT_LOGIN: Duration = Duration::from_mins(5);

pub(super) fn conclude(evidence: &FailureEvidence<'_>, code: ErrorCode) -> Option<Conclusion> {
    let version = evidence.report.sdk_version.as_ref()?;
    let refreshed = evidence.session.refreshes > 0;
    let is_valid = evidence.token.as_ref().is_some_and(|token| token.expires > evidence.now);
    let is_new = evidence.now.since(evidence.session.created) <= AT_LOGIN;
    let (table, fault) = match code {
        ErrorCode::MissingToken => (SINCE, "has no SDK authentication"),
        ErrorCode::Expired if refreshed && is_valid => (TAKES_REFRESHED, "keeps sending the token before a refresh"),
        ErrorCode::PayloadUserIdMismatch if is_new => (TELLS_USERS_APART, "mixes users at the login"),
        _ => return None,
    };
    let platform = evidence.report.platform;
    let first = table.iter().find(|(of, _)| *of == platform).map(|(_, first)| *first)?;
    if !is_before(version, first) {
        return None;
    }
    let text = format!(
        "app {} uses version {version} of Braze's SDK for {}, which {fault}; {}.{} does not",
        evidence.app,
        platform.as_str(),
        first[0],
        first[1]
    );
    let text = if code == ErrorCode::MissingToken { text.replace("does not", "has it") } else { text };
    Some(Conclusion::high(Cause::SdkTooOld, text))
}

fn is_before(version: &SdkVersion, first: [u32; 2]) -> bool {
    let mut parts = version.as_str().split('.').map(|part| part.parse().unwrap_or(u32::MAX));
    [parts.next().unwrap_or(0), parts.next().unwrap_or(0)] < first
}
