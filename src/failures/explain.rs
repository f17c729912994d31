//! Explanation of a cause from what is kept of its latest report. The report itself is not kept: sentences name only facts
//! that its example and the records have.

use super::{
    FailureEvidence, Fix, KnownInstallation, ReportFacts, ReportedSignature, SessionFacts, TokenFacts, UserRelation,
    diagnose::{diagnose, remedy},
};
use crate::{
    clock::UnixMillis,
    domain::{
        failure::{Cause, Platform, ReportedCode},
        ids::AppName,
    },
    store::StoredExample,
};

/// Explanation of a cause at an app.
pub(super) struct Explanation {
    pub(super) sentence: String,
    pub(super) fix: Fix,
}

/// Explains a cause at an app.
pub(super) fn explain(
    app: &AppName,
    cause: Cause,
    stored: Option<&StoredExample>,
    installation: &KnownInstallation,
    now: UnixMillis,
) -> Explanation {
    let again = [false, true].map(|with_refresh| evidence(app, stored, installation, with_refresh, now));
    let sentence = again.iter().filter(|_| is_of_keys(cause) && stored.is_some()).find_map(|evidence| {
        let diagnosis = diagnose(evidence);
        (diagnosis.cause == cause).then_some(diagnosis.sentence)
    });
    let sentence = sentence.unwrap_or_else(|| general(app, cause, stored));
    Explanation { sentence, fix: remedy(cause, &again[0]) }
}

/// Evidence about the example: what is not kept is as if the report did not say it.
fn evidence<'a>(
    app: &'a AppName,
    stored: Option<&StoredExample>,
    installation: &'a KnownInstallation,
    with_refresh: bool,
    now: UnixMillis,
) -> FailureEvidence<'a> {
    let now = stored.map_or(now, |stored| stored.at);
    let token = stored.and_then(|stored| {
        let (kid, example) = (stored.key.kid.clone()?, &stored.example);
        let issued = UnixMillis(now.0.saturating_sub(example.issue_to_report?.saturating_mul(1000)));
        let expires = UnixMillis(issued.0.saturating_add(example.issue_to_end?.saturating_mul(1000)));
        Some(TokenFacts { kid, issued, expires })
    });
    FailureEvidence {
        app,
        report: ReportFacts {
            code: stored.map_or(ReportedCode::Other, |stored| stored.key.code),
            platform: stored.map_or(Platform::Unknown, |stored| stored.key.platform),
            sdk_version: None,
            user: UserRelation::Absent,
            signature: ReportedSignature::Absent,
            with_refresh,
        },
        session: SessionFacts {
            created: token.as_ref().map_or(now, |token| token.issued),
            refreshes: 0,
            numeric_user: false,
        },
        token,
        installation,
        now,
    }
}

/// Returns true for causes that are found from the example and the records of keys alone.
fn is_of_keys(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::KeyNotPublished
            | Cause::KeyWithdrawnTooEarly
            | Cause::KeyAtAnotherApp
            | Cause::KeyNotPropagated
            | Cause::OtherEnvironment
            | Cause::KeyCompromised
            | Cause::KeyPastedWrongly
            | Cause::ClockBehind
    )
}

/// Sentence about a cause, with the offsets of its example.
fn general(app: &AppName, cause: Cause, stored: Option<&StoredExample>) -> String {
    let example = stored.map(|stored| &stored.example);
    let late = example.and_then(|example| Some(example.issue_to_report? - example.issue_to_end?));
    let text = match cause {
        Cause::KeyNotPublished => "a key signed before Braze had it",
        Cause::KeyWithdrawnTooEarly => "a key was deleted at Braze while its tokens were valid",
        Cause::KeyAtAnotherApp => "Braze has the key that signed at another app only",
        Cause::KeyNotPropagated => "the key that signed was added at Braze moments before",
        Cause::OtherEnvironment => "Braze has no key of this app's ring: the app is another environment's",
        Cause::KeyCompromised => "a compromised key had signed, and Braze refuses its tokens, as intended",
        Cause::ExpiredOffline => "tokens ended while devices were offline",
        Cause::LifetimeTooShort => "tokens live shorter than the app needs between two refreshes",
        Cause::NeverRefreshed => "the app does not refresh its tokens",
        Cause::ClockBehind => "this service's clock is behind Braze's",
        Cause::StaleTokenSet => "the app set a token again that was replaced",
        Cause::TokenMissing => "the app set a user and gave the SDK no token",
        Cause::SdkFlagOff => "the SDK has tokens and sends none: SDK authentication is switched off in it",
        Cause::SdkTooOld => "a version of the SDK with a known fault is in use",
        Cause::WrongTokenGiven => "the app gave the SDK something that is no token of this service",
        Cause::UserSwitched => "the app switched users, and the event was about the one before",
        Cause::UserIdCase => "user ids differ from those of the logins by case only",
        Cause::UserIdWhitespace => "user ids differ from those of the logins by white space only",
        Cause::UserIdNumeric => "user ids are numbers in one place and text in another",
        Cause::UserIdDiffers => "user ids are other ones than those of the logins",
        Cause::NotOurToken => "no key of this installation signed the refused tokens",
        Cause::TokenTampered => "refused tokens were changed after they were signed",
        Cause::WrongAlgorithm => "refused tokens have another algorithm than RS256",
        Cause::PayloadNotOurs => "a key of this installation signed a payload that this service does not make",
        Cause::ClaimRefused => "Braze refuses a claim that the configuration adds",
        Cause::KeyPastedWrongly => "a public key at Braze is no key: it was pasted wrongly",
        Cause::MixedBatch => "one request to Braze had events of several users",
        Cause::Unknown => "nothing known here explains it",
    };
    let offset = late.filter(|late| *late > 0 && is_of_age(cause));
    let offset = offset.map(|late| format!("; the latest report came {late} s after the token's end"));
    format!("app {app}: {text}{}", offset.unwrap_or_default())
}

fn is_of_age(cause: Cause) -> bool {
    matches!(cause, Cause::ExpiredOffline | Cause::LifetimeTooShort | Cause::NeverRefreshed | Cause::StaleTokenSet)
}
