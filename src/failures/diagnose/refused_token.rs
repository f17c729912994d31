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
        signature::JudgedSignature,
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
        JudgedSignature::Token { rs256: false, expires, user, .. } => Some(other_algorithm(evidence, *expires, *user)),
        JudgedSignature::Token { signed_by: None, expires, shape_is_ours, .. } => {
            Some(not_signed_here(evidence, *expires, *shape_is_ours))
        }
        JudgedSignature::Token { signed_by: Some(kid), expires, user, shape_is_ours, .. } => {
            signed_here(evidence, code, kid, &Signed { expires: *expires, user: *user, shape_is_ours: *shape_is_ours })
        }
    }
}

/// Facts about a token that a key of ours signed.
struct Signed {
    expires: Option<UnixMillis>,
    user: UserRelation,
    shape_is_ours: bool,
}

/// Returns true where a token ends when the one does that was issued with the refresh token.
fn is_the_issued(evidence: &FailureEvidence<'_>, expires: Option<UnixMillis>) -> bool {
    evidence.token.as_ref().is_some_and(|token| expires.map(UnixMillis::seconds) == Some(token.expires.seconds()))
}

fn other_algorithm(evidence: &FailureEvidence<'_>, expires: Option<UnixMillis>, user: UserRelation) -> Conclusion {
    let app = evidence.app;
    if is_the_issued(evidence, expires) && user == UserRelation::Same {
        let text = format!("the token of app {app} has the claims issued here and another algorithm in its header");
        return Conclusion::high(Cause::TokenTampered, text);
    }
    let text = format!("app {app} gave the SDK a JWT that is not RS256; every token issued here is");
    Conclusion::high(Cause::WrongAlgorithm, text)
}

fn not_signed_here(evidence: &FailureEvidence<'_>, expires: Option<UnixMillis>, shape_is_ours: bool) -> Conclusion {
    let app = evidence.app;
    if is_the_issued(evidence, expires) {
        let text = format!("the token of app {app} ends when the issued one does, and its signature does not fit");
        return Conclusion::high(Cause::TokenTampered, text);
    }
    let text = format!("app {app} gave the SDK a JWT that no key of this installation signed");
    if shape_is_ours {
        // It may also be one of ours whose end was changed.
        Conclusion::likely(Cause::NotOurToken, text)
    } else {
        Conclusion::high(Cause::NotOurToken, text)
    }
}

fn signed_here(evidence: &FailureEvidence<'_>, code: ErrorCode, kid: &Kid, signed: &Signed) -> Option<Conclusion> {
    match code {
        ErrorCode::DecodingError | ErrorCode::NoMatchingPublicKeys => {
            Some(keys::of_refused_token(evidence, code, kid, signed.expires))
        }
        ErrorCode::ExpirationRequired if signed.expires.is_none() => Some(payload_not_ours(evidence, kid)),
        ErrorCode::InvalidPayload if !signed.shape_is_ours => Some(payload_not_ours(evidence, kid)),
        ErrorCode::SubjectMismatch => wrong_subject(evidence, kid, signed.user),
        ErrorCode::Expired => expired(evidence, signed.expires?),
        _ => None,
    }
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
        _ => {
            let text = format!("app {app} gave the SDK the token of another user than the session's");
            Some(Conclusion::high(Cause::UserSwitched, text))
        }
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
