//! Conclusions about tokens that are missing (26), or not as they were issued (10, 23, 24). Every token issued here has
//! an end, a text as subject and RS256, so that the refused one is another: without it, the cause is only possible.

use std::time::Duration;

use super::conclusion::{Conclusion, at};
use crate::{
    domain::{failure::Cause, verdict::ErrorCode},
    failures::evidence::{FailureEvidence, UserRelation},
};

/// Time after a refresh within which a request without a token shows that the SDK does not send the new one.
const JUST_REFRESHED: Duration = Duration::from_mins(5);

/// Concludes about code 26. An SDK whose flag is off sends no token, whatever it was given; `changeUser` for another user
/// without a token removes the stored one.
pub(super) fn missing(evidence: &FailureEvidence<'_>) -> Conclusion {
    let (app, session, now) = (evidence.app, evidence.session, evidence.now);
    if evidence.report.user == UserRelation::Different {
        let text =
            format!("app {app} switched to a user without giving changeUser a token, which removes the stored one");
        return Conclusion::high(Cause::UserSwitched, text);
    }
    let issued = evidence.token.as_ref().map_or(session.created, |token| token.issued);
    if session.refreshes > 0 && now.since(issued) <= JUST_REFRESHED {
        let text = format!(
            "app {app} got its token number {} at {}, and its SDK still sends none: the flag for SDK authentication is off",
            session.refreshes.saturating_add(1),
            at(issued, now)
        );
        return Conclusion::high(Cause::SdkFlagOff, text);
    }
    if session.refreshes > 0 {
        let text =
            format!("the SDK of app {app} had tokens since {}, and has lost its token", at(session.created, now));
        return Conclusion::likely(Cause::TokenMissing, text);
    }
    let text = format!(
        "app {app} logged in at {} and its SDK sends no token: changeUser was called without one, or the flag is off",
        at(session.created, now)
    );
    Conclusion::likely(Cause::TokenMissing, text)
}

/// Concludes about codes 10, 23 and 24 without the token.
pub(super) fn not_as_issued(evidence: &FailureEvidence<'_>, code: ErrorCode) -> Conclusion {
    let app = evidence.app;
    if code == ErrorCode::IncorrectAlgorithm {
        let text = format!("the SDK of app {app} sent a JWT that is not RS256, which none issued here is");
        return Conclusion::possible(Cause::WrongAlgorithm, text);
    }
    let claims = evidence.installation.apps.get(app).map(|facts| facts.claims).unwrap_or_default();
    if code == ErrorCode::InvalidPayload && (claims.aud || claims.iss) {
        let names: Vec<&str> =
            [(claims.aud, "aud"), (claims.iss, "iss")].iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
        let text = format!(
            "the configuration of app {app} adds {} to its tokens, and Braze refuses the payload",
            names.join(" and ")
        );
        return Conclusion::likely(Cause::ClaimRefused, text);
    }
    let what =
        if code == ErrorCode::ExpirationRequired { "without an end" } else { "with a payload that Braze refuses" };
    let text = format!("the SDK of app {app} sent a JWT {what}, which none issued here is");
    Conclusion::possible(Cause::NotOurToken, text)
}
