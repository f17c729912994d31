//! Conclusions about users: code 21, where the token's subject is not the SDK's user, and code 28, where one request has
//! several users.

use std::time::Duration;

use super::conclusion::{Conclusion, IN_FLIGHT, at};
use crate::{
    domain::{
        failure::{Cause, Platform},
        ids::AppName,
    },
    failures::evidence::{FailureEvidence, UserRelation},
};

/// Age of a session below which its reports may be about the user before.
const YOUNG: Duration = Duration::from_mins(5);

/// Concludes about code 21.
pub(super) fn mismatch(evidence: &FailureEvidence<'_>) -> Conclusion {
    let app = evidence.app;
    let of_one_user = |cause, how: &str| {
        let text =
            format!("app {app} gives changeUser the user id of its login {how}: Braze compares them byte for byte");
        Conclusion::high(cause, text)
    };
    match evidence.report.user {
        UserRelation::Case => of_one_user(Cause::UserIdCase, "in another case"),
        UserRelation::Whitespace => of_one_user(Cause::UserIdWhitespace, "with other white space"),
        UserRelation::Numeric => of_one_user(Cause::UserIdNumeric, "as a number written in another way"),
        UserRelation::Different => another_user(evidence),
        UserRelation::Same => {
            let text = format!("the SDK of app {app} has the session's user and sends the token of another one");
            Conclusion::likely(Cause::StaleTokenSet, text)
        }
        UserRelation::Absent if evidence.session.numeric_user => {
            let text = format!("the user id of app {app} is a number, which some wrappers of the SDK pass on as one");
            Conclusion::likely(Cause::UserIdNumeric, text)
        }
        UserRelation::Absent => {
            let text = format!("the report of app {app} has no user id; its SDK has another user than the token");
            Conclusion::possible(Cause::UserSwitched, text)
        }
    }
}

/// The SDK's user is another than the session's: since the login, or since a switch.
fn another_user(evidence: &FailureEvidence<'_>) -> Conclusion {
    let (app, session, now) = (evidence.app, evidence.session, evidence.now);
    let last = evidence.token.as_ref().map_or(now, |token| token.issued);
    let per_refresh = u32::try_from(session.refreshes.max(1)).map(|refreshes| last.since(session.created) / refreshes);
    if now.since(session.created) <= IN_FLIGHT
        || per_refresh.is_ok_and(|mean| session.refreshes > 1 && mean <= IN_FLIGHT)
    {
        return since_login(app, session.refreshes);
    }
    let text = format!(
        "the SDK of app {app} has another user than the session that began at {}: the app switched users and kept the token",
        at(session.created, now)
    );
    Conclusion::likely(Cause::UserSwitched, text)
}

fn since_login(app: &AppName, refreshes: u64) -> Conclusion {
    let text = format!("app {app} gives changeUser another user id than its login does, since the login");
    if refreshes > 1 {
        Conclusion::high(Cause::UserIdDiffers, text)
    } else {
        Conclusion::likely(Cause::UserIdDiffers, text)
    }
}

/// Concludes about code 28.
pub(super) fn mixed(evidence: &FailureEvidence<'_>) -> Conclusion {
    let (app, now) = (evidence.app, evidence.now);
    let age = now.since(evidence.session.created);
    let mixed = format!("app {app} sent Braze one request with events of several users, or of none");
    match evidence.report.user {
        UserRelation::Same if age > YOUNG => Conclusion::high(Cause::MixedBatch, mixed),
        // Only Android had releases that mixed users at the login by themselves.
        UserRelation::Same if evidence.report.platform != Platform::Android => {
            Conclusion::likely(Cause::MixedBatch, mixed)
        }
        UserRelation::Different => {
            let text = format!("app {app} switched users while events of the one before were waiting");
            if age > YOUNG {
                Conclusion::likely(Cause::UserSwitched, text)
            } else {
                Conclusion::high(Cause::UserSwitched, text)
            }
        }
        _ => Conclusion::possible(Cause::MixedBatch, mixed),
    }
}
