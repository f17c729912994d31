//! Conclusions from a refused token that came with the report. What the token is decides, where it was examined; codes
//! that do not depend on the token (25, 26, 28) are left to the other rules.

use super::{
    conclusion::{Conclusion, IN_FLIGHT, at, short},
    expiry, keys,
};
use crate::{
    clock::UnixMillis,
    domain::{failure::Cause, ids::Kid, verdict::ErrorCode},
    failures::{
        evidence::{FailureEvidence, ReportedSignature, UserRelation},
        signature::{JudgedSignature, RefusedToken},
    },
};

pub(super) fn conclude(evidence: &FailureEvidence<'_>, code: ErrorCode) -> Option<Conclusion> {
    use ErrorCode::{MissingToken, PayloadUserIdMismatch, PublicKeyError};
    if matches!(code, PublicKeyError | MissingToken | PayloadUserIdMismatch) {
        return None;
    }
    let ReportedSignature::Judged(judged) = &evidence.report.signature else { return None };
    let app = evidence.app;
    match judged {
        JudgedSignature::RefreshToken => {
            let text = format!("app {app} gave the SDK its refresh token in place of the token");
            Some(Conclusion::high(Cause::WrongTokenGiven, text))
        }
        JudgedSignature::NoJwt => {
            let text = format!("app {app} gave the SDK a text that is no JWT");
            Some(Conclusion::high(Cause::WrongTokenGiven, text))
        }
        JudgedSignature::Damaged => {
            let text = format!("the SDK of app {app} sent a damaged token: a part of it is missing or was changed");
            Some(Conclusion::high(Cause::TokenTampered, text))
        }
        JudgedSignature::Token(token) => of_token(evidence, code, token),
    }
}

fn of_token(evidence: &FailureEvidence<'_>, code: ErrorCode, token: &RefusedToken) -> Option<Conclusion> {
    match &token.signed_by {
        _ if !token.rs256 => Some(other_algorithm(evidence, token)),
        None if is_by_unknown_key(evidence) => None,
        None => Some(not_signed_here(evidence, token)),
        Some(kid) => signed_here(evidence, code, kid, token),
    }
}

/// The issued token's own key is not on record here, so that its signature cannot be judged.
fn is_by_unknown_key(evidence: &FailureEvidence<'_>) -> bool {
    let keys = &evidence.installation.keys;
    keys.is_empty() || evidence.token.as_ref().is_some_and(|token| !keys.contains_key(&token.kid))
}

/// Returns true where a token ends when the one does that was issued with the refresh token.
fn is_the_issued(evidence: &FailureEvidence<'_>, expires: Option<UnixMillis>) -> bool {
    evidence.token.as_ref().is_some_and(|token| expires.map(UnixMillis::seconds) == Some(token.expires.seconds()))
}

fn other_algorithm(evidence: &FailureEvidence<'_>, token: &RefusedToken) -> Conclusion {
    let app = evidence.app;
    if is_the_issued(evidence, token.expires) {
        let text = format!("the token of app {app} has the claims issued here and another algorithm in its header");
        return Conclusion::high(Cause::TokenTampered, text);
    }
    if token.for_another_purpose {
        return another_purpose(evidence);
    }
    let text = format!("app {app} gave the SDK a JWT that is not RS256; every token issued here is");
    Conclusion::high(Cause::WrongAlgorithm, text)
}

fn another_purpose(evidence: &FailureEvidence<'_>) -> Conclusion {
    let text = format!("app {} gave the SDK a JWT for another purpose, like the one of its own login", evidence.app);
    Conclusion::high(Cause::WrongTokenGiven, text)
}

fn not_signed_here(evidence: &FailureEvidence<'_>, token: &RefusedToken) -> Conclusion {
    let app = evidence.app;
    if is_the_issued(evidence, token.expires) {
        let text = format!("the token of app {app} ends when the issued one does, and its signature does not fit");
        return Conclusion::high(Cause::TokenTampered, text);
    }
    // Every token issued here has an end: somebody removed it.
    if token.has_our_id && !token.shape_is_ours && !token.for_another_purpose {
        let text =
            format!("the token of app {app} has an id as issued here and other claims, and its signature does not fit");
        return Conclusion::likely(Cause::TokenTampered, text);
    }
    if token.for_another_purpose {
        return another_purpose(evidence);
    }
    let text = format!("app {app} gave the SDK a JWT that no key of this installation signed");
    // It may also be one of ours whose end was changed.
    let has_id = evidence.installation.apps.get(app).is_some_and(|app| app.claims.jti);
    if token.has_our_id || !has_id {
        Conclusion::likely(Cause::NotOurToken, text)
    } else {
        Conclusion::high(Cause::NotOurToken, text)
    }
}

fn signed_here(evidence: &FailureEvidence<'_>, code: ErrorCode, kid: &Kid, token: &RefusedToken) -> Option<Conclusion> {
    match code {
        ErrorCode::DecodingError | ErrorCode::NoMatchingPublicKeys => {
            Some(keys::of_refused_token(evidence, code, kid, token.expires))
        }
        ErrorCode::ExpirationRequired | ErrorCode::InvalidPayload if !token.shape_is_ours => {
            Some(payload_not_ours(evidence, kid))
        }
        ErrorCode::InvalidPayload if adds_claims(evidence) => None,
        ErrorCode::ExpirationRequired | ErrorCode::InvalidPayload | ErrorCode::IncorrectAlgorithm => {
            let text = format!("the token of app {} is as it was issued, and Braze refuses it", evidence.app);
            Some(Conclusion::possible(Cause::Unknown, text))
        }
        ErrorCode::SubjectMismatch => wrong_subject(evidence, kid, token.user),
        ErrorCode::Expired => expired(evidence, token.expires?),
        _ => None,
    }
}

/// The app's configuration adds a claim that Braze may refuse.
fn adds_claims(evidence: &FailureEvidence<'_>) -> bool {
    evidence.installation.apps.get(evidence.app).is_some_and(|app| app.claims.aud || app.claims.iss)
}

fn payload_not_ours(evidence: &FailureEvidence<'_>, kid: &Kid) -> Conclusion {
    let (app, key) = (evidence.app, short(kid));
    let text = format!("a token of app {app} was signed by key {key} with a payload that this service does not make");
    Conclusion::high(Cause::PayloadNotOurs, text)
}

fn wrong_subject(evidence: &FailureEvidence<'_>, kid: &Kid, user: UserRelation) -> Option<Conclusion> {
    let app = evidence.app;
    match user {
        UserRelation::Absent => Some(payload_not_ours(evidence, kid)),
        UserRelation::Same => None,
        _ if evidence.report.user == UserRelation::Same => {
            let text = format!("the SDK of app {app} has the session's user and was given the token of another one");
            Some(Conclusion::high(Cause::StaleTokenSet, text))
        }
        UserRelation::Different => {
            let text = format!("the SDK of app {app} was given the token of another user than the session's");
            Some(Conclusion::likely(Cause::UserSwitched, text))
        }
        _ => None,
    }
}

/// A token of ours that Braze calls expired: it is not, or it is not the newest, or it simply is.
fn expired(evidence: &FailureEvidence<'_>, expires: UnixMillis) -> Option<Conclusion> {
    let (app, now) = (evidence.app, evidence.now);
    if expires > now {
        let text = format!(
            "Braze calls a token of app {app} expired that is valid until {} by this service's clock: the clock is behind \
             Braze's",
            at(expires, now)
        );
        return Some(Conclusion::high(Cause::ClockBehind, text));
    }
    let token = evidence.token.as_ref()?;
    if expires < token.issued && token.issued.plus(IN_FLIGHT) < now {
        let text = format!(
            "app {app} got a token at {}, and its SDK still sends one that ended at {}",
            at(token.issued, now),
            at(expires, now)
        );
        return Some(Conclusion::high(Cause::StaleTokenSet, text));
    }
    Some(expiry::ordinary(evidence, expires))
}
