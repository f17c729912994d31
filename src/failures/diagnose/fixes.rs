//! Remedies: one for each cause, with a command where one does it or shows more.

use super::{Fix, keys};
use crate::{
    domain::{failure::Cause, key::KeyState, shell},
    failures::{evidence::FailureEvidence, key_history::KeyFacts},
};

pub(super) fn fix(cause: Cause, evidence: &FailureEvidence<'_>) -> Fix {
    Fix { text: text(cause, evidence), command: command(cause, evidence) }
}

fn is_by_hand(evidence: &FailureEvidence<'_>) -> bool {
    evidence.installation.apps.get(evidence.app).is_some_and(|app| app.by_hand)
}

/// The key before, which Braze still has at the app, may sign again at once.
fn may_roll_back(cause: Cause, evidence: &FailureEvidence<'_>) -> bool {
    let of_new_key = matches!(cause, Cause::KeyNotPublished | Cause::KeyAtAnotherApp | Cause::KeyNotPropagated);
    let Some(app) = evidence.installation.apps.get(evidence.app) else { return false };
    let is_held = |key: &KeyFacts| key.ring == app.ring && key.state == KeyState::Retiring && key.is_at(evidence.app);
    of_new_key && evidence.installation.keys.values().any(is_held)
}

/// The app got the key after the report that is explained.
fn is_added_since(cause: Cause, evidence: &FailureEvidence<'_>) -> bool {
    let key = keys::subject(evidence).and_then(|kid| evidence.installation.keys.get(kid));
    let stay = key.and_then(|key| key.last_stay(evidence.app));
    matches!(cause, Cause::KeyNotPublished) && stay.is_some_and(|stay| stay.is_open() && stay.since > evidence.now)
}

fn text(cause: Cause, evidence: &FailureEvidence<'_>) -> String {
    let app = evidence.app;
    let text = match cause {
        _ if is_added_since(cause, evidence) => {
            "nothing more: Braze has the key now; if new reports come after five minutes, compare Braze's list"
        }
        _ if may_roll_back(cause, evidence) => {
            "switch back to the key before, which the app still has; rotate again when Braze has the new one"
        }
        Cause::KeyNotPublished | Cause::KeyAtAnotherApp | Cause::KeyWithdrawnTooEarly if is_by_hand(evidence) => {
            "add this public key to the app in the Braze dashboard, then confirm it with `countersign keys confirm`"
        }
        Cause::KeyNotPublished | Cause::KeyAtAnotherApp => "publish what is missing at Braze",
        Cause::KeyWithdrawnTooEarly => {
            "publish the key again if it still signs; tokens by an older key are replaced at their next refresh"
        }
        Cause::KeyNotPropagated => "wait five minutes; if it goes on, compare Braze's list",
        Cause::OtherEnvironment => {
            "compare the app's SDK API key and its ring with the configuration: they are of two environments"
        }
        Cause::KeyCompromised => "nothing: apps get tokens by another key at their next refresh; see that one signs",
        Cause::ExpiredOffline => "nothing: the refresh cures it; a longer `lifetime` makes it rarer",
        Cause::LifetimeTooShort => return format!("raise `lifetime` of [apps.{app}] to an hour"),
        Cause::NeverRefreshed => "let the app refresh from `refresh_from` on: docs/clients.md shows it for each SDK",
        Cause::ClockBehind => "set this machine's clock by NTP, then look at the check `clock`",
        Cause::StaleTokenSet => {
            "let the app give the SDK only the token of the last answer, and keep no copy of its own"
        }
        Cause::TokenMissing => "let the app get the token first, and give it to changeUser together with the user id",
        Cause::SdkFlagOff => "switch SDK authentication on in the SDK's options, e.g. `enableSdkAuthentication: true`",
        Cause::SdkTooOld => "release the app with a newer version of Braze's SDK",
        Cause::WrongTokenGiven => "let the app give the SDK the member `token` of the answer, and nothing else",
        Cause::UserSwitched => "let the app log the new user in here first, and pass the new token in changeUser",
        Cause::UserIdCase | Cause::UserIdWhitespace | Cause::UserIdDiffers => {
            "let the app give changeUser exactly the user id that its login vouches for"
        }
        Cause::UserIdNumeric => "write user ids as text everywhere, with their leading zeros",
        Cause::NotOurToken => "find what else gives the SDK tokens, and look at one of them",
        Cause::TokenTampered => "let the app pass the token on unchanged; if it does, look at one that was refused",
        Cause::WrongAlgorithm => "find what else gives the SDK tokens: those issued here are RS256",
        Cause::PayloadNotOurs => "find what else signs with this key; rotate to a key that was made here",
        Cause::ClaimRefused => {
            return format!("switch `aud` and `iss` of [apps.{app}.claims] off, or correct `sdk_api_key`");
        }
        Cause::KeyPastedWrongly => {
            "paste this public key in the Braze dashboard as it is printed, and delete the one that is no key"
        }
        Cause::MixedBatch => "let one device have one user at a time; if it does, ask Braze's support (code 28)",
        Cause::Unknown => "look at a token that was refused",
    };
    text.to_owned()
}

fn command(cause: Cause, evidence: &FailureEvidence<'_>) -> Option<String> {
    let ring = evidence.installation.apps.get(evidence.app).map(|app| &app.ring);
    let of_ring = |words: &str| Some(format!("countersign {words} --ring {}", shell::quoted(ring?.as_str())));
    match cause {
        _ if is_added_since(cause, evidence) => of_ring("braze keys diff"),
        _ if may_roll_back(cause, evidence) => of_ring("rotate rollback"),
        Cause::KeyNotPublished | Cause::KeyAtAnotherApp | Cause::KeyWithdrawnTooEarly if is_by_hand(evidence) => {
            public_key(evidence)
        }
        Cause::KeyNotPublished | Cause::KeyAtAnotherApp | Cause::KeyWithdrawnTooEarly => of_ring("braze keys apply"),
        Cause::KeyNotPropagated => of_ring("braze keys diff"),
        Cause::OtherEnvironment => of_ring("braze keys list"),
        Cause::KeyCompromised => of_ring("rotate status"),
        Cause::PayloadNotOurs => of_ring("rotate plan"),
        Cause::KeyPastedWrongly => public_key(evidence),
        Cause::ClockBehind => Some("countersign doctor".to_owned()),
        Cause::LifetimeTooShort | Cause::ClaimRefused => Some("countersign config dump --show-origin".to_owned()),
        Cause::NotOurToken | Cause::TokenTampered | Cause::WrongAlgorithm | Cause::WrongTokenGiven | Cause::Unknown => {
            Some(format!("countersign token inspect --app {} -", shell::quoted(evidence.app.as_str())))
        }
        Cause::ExpiredOffline
        | Cause::NeverRefreshed
        | Cause::StaleTokenSet
        | Cause::TokenMissing
        | Cause::SdkFlagOff
        | Cause::SdkTooOld
        | Cause::UserSwitched
        | Cause::UserIdCase
        | Cause::UserIdWhitespace
        | Cause::UserIdNumeric
        | Cause::UserIdDiffers
        | Cause::MixedBatch => None,
    }
}

fn public_key(evidence: &FailureEvidence<'_>) -> Option<String> {
    keys::subject(evidence).map(|kid| format!("countersign keys public {}", shell::quoted(kid.as_str())))
}
