//! Conclusions about code 22: the token had expired when Braze got the request, by Braze's clock.
//!
//! Clients refresh from half of a token's life on, so that only one that was away, or never refreshes, sends an expired
//! token. A token that is valid by this service's clock is another matter: an older one was sent, or the clock is behind.

use std::time::Duration;

use super::conclusion::{Conclusion, IN_FLIGHT, at, span};
use crate::{
    clock::UnixMillis,
    domain::failure::Cause,
    failures::evidence::{FailureEvidence, TokenFacts},
};

/// Lifetime below which a refresh comes too late too often: SDKs send every 10 s at the earliest, and background timers
/// fire once a minute.
const SHORT_LIFE: Duration = Duration::from_mins(5);

/// Time after the end of a token from which nothing but an absence explains that it is sent.
const AWAY: Duration = Duration::from_mins(10);

/// Largest difference between two clocks that are right.
const CLOCKS_AGREE: u64 = 60_000;

pub(super) fn conclude(evidence: &FailureEvidence<'_>) -> Conclusion {
    let Some(token) = &evidence.token else {
        let text = format!("a token of app {} expired; its refresh token is too old to say when", evidence.app);
        return Conclusion::possible(Cause::ExpiredOffline, text);
    };
    if token.expires > evidence.now { not_expired_here(evidence, token) } else { ordinary(evidence, token.expires) }
}

/// The newest token is valid by this service's clock.
fn not_expired_here(evidence: &FailureEvidence<'_>, token: &TokenFacts) -> Conclusion {
    let (app, now, session) = (evidence.app, evidence.now, evidence.session);
    let remaining = token.expires.since(now);
    let offset = evidence.installation.clock_offset;
    if let Some(behind) = offset.filter(|offset| *offset < 0).map(|offset| Duration::from_millis(offset.unsigned_abs()))
        && behind >= remaining
    {
        let text = format!(
            "this service's clock is {} behind: tokens of app {app} are expired when they arrive",
            span(behind)
        );
        return Conclusion::high(Cause::ClockBehind, text);
    }
    let is_fresh = now.since(token.issued) <= IN_FLIGHT;
    if !is_fresh {
        let text = format!(
            "app {app} got a token at {} that is valid until {}, and its SDK sends an older one",
            at(token.issued, now),
            at(token.expires, now)
        );
        // Where no other clock was compared, ours may be far behind.
        let agree = offset.is_some_and(|offset| offset.unsigned_abs() <= CLOCKS_AGREE);
        return if agree {
            Conclusion::high(Cause::StaleTokenSet, text)
        } else {
            Conclusion::likely(Cause::StaleTokenSet, text)
        };
    }
    // Reports about the token before come for a while.
    let first_end = session.created.plus(lifetime(evidence, token));
    if session.refreshes > 0 && interval(evidence).is_some_and(|mean| mean >= IN_FLIGHT) {
        let end = if session.refreshes == 1 { first_end.min(token.issued) } else { token.issued };
        return ordinary_at(evidence, end, token.issued).at_most(crate::domain::failure::Confidence::Likely);
    }
    let text = format!(
        "Braze calls a token of app {app} expired that was issued {} before, and is valid until {} by this service's clock: \
         the clock may be {} or more behind Braze's",
        span(now.since(token.issued)),
        at(token.expires, now),
        span(remaining)
    );
    Conclusion::likely(Cause::ClockBehind, text)
}

/// A token of the session that ended at `expires` was sent later.
pub(super) fn ordinary(evidence: &FailureEvidence<'_>, expires: UnixMillis) -> Conclusion {
    ordinary_at(evidence, expires, evidence.now)
}

fn ordinary_at(evidence: &FailureEvidence<'_>, expires: UnixMillis, used: UnixMillis) -> Conclusion {
    let (app, now, refreshes) = (evidence.app, evidence.now, evidence.session.refreshes);
    let late = used.since(expires);
    let life = evidence.token.as_ref().map_or_else(|| configured(evidence), |token| lifetime(evidence, token));
    let end = at(expires, now);
    if !evidence.report.with_refresh && refreshes == 0 && late > IN_FLIGHT {
        let text = format!("the token of app {app} ended at {end}, and the app has never asked for another");
        return Conclusion::high(Cause::NeverRefreshed, text);
    }
    if life <= SHORT_LIFE && late <= life {
        let text =
            format!("tokens of app {app} live {}, which is less than it needs between two refreshes", span(life));
        return if refreshes > 0 {
            Conclusion::high(Cause::LifetimeTooShort, text)
        } else {
            Conclusion::likely(Cause::LifetimeTooShort, text)
        };
    }
    if let Some(conclusion) = slow_rhythm(evidence, life, late) {
        return conclusion;
    }
    if late > IN_FLIGHT {
        let text =
            format!("the token of app {app} ended at {end}; the device was away and came back {} later", span(late));
        return if late > AWAY {
            Conclusion::high(Cause::ExpiredOffline, text)
        } else {
            Conclusion::likely(Cause::ExpiredOffline, text)
        };
    }
    just_ended(evidence, &end, life)
}

/// The app refreshes regularly, and later than its tokens live.
fn slow_rhythm(evidence: &FailureEvidence<'_>, life: Duration, late: Duration) -> Option<Conclusion> {
    let mean = interval(evidence).filter(|_| evidence.session.refreshes >= 3)?;
    let regular = late.abs_diff(mean.saturating_sub(life)) <= mean / 8;
    if !regular || mean < life.mul_f64(1.1) || mean > life.saturating_mul(4) {
        return None;
    }
    let text = format!("app {} refreshes every {}, and its tokens live {}", evidence.app, span(mean), span(life));
    Some(Conclusion::likely(Cause::LifetimeTooShort, text))
}

/// The device was there when the token ended, and sent it all the same.
fn just_ended(evidence: &FailureEvidence<'_>, end: &str, life: Duration) -> Conclusion {
    let (app, refreshes) = (evidence.app, evidence.session.refreshes);
    let mean = interval(evidence).filter(|_| refreshes >= 2);
    match mean {
        Some(mean) if mean >= life.mul_f64(0.95) => {
            let text = format!(
                "app {app} refreshes every {}, after each token of {} has ended: it waits for Braze's refusal",
                span(mean),
                span(life)
            );
            Conclusion::high(Cause::NeverRefreshed, text)
        }
        Some(_) => {
            let text =
                format!("the token of app {app} ended at {end} while the device slept; it refreshes in time otherwise");
            Conclusion::likely(Cause::ExpiredOffline, text)
        }
        None => {
            let text =
                format!("the token of app {app} ended at {end} in use: the app does not refresh ahead of the end");
            Conclusion::likely(Cause::NeverRefreshed, text)
        }
    }
}

/// Mean time between two refreshes of the session.
fn interval(evidence: &FailureEvidence<'_>) -> Option<Duration> {
    let issued = evidence.token.as_ref()?.issued;
    let refreshes = u32::try_from(evidence.session.refreshes).ok().filter(|refreshes| *refreshes > 0)?;
    Some(issued.since(evidence.session.created) / refreshes)
}

/// Lifetime of the token, which a login may have shortened.
fn lifetime(evidence: &FailureEvidence<'_>, token: &TokenFacts) -> Duration {
    let life = token.expires.since(token.issued);
    if life.is_zero() { configured(evidence) } else { life }
}

fn configured(evidence: &FailureEvidence<'_>) -> Duration {
    evidence.installation.apps.get(evidence.app).map_or(Duration::from_hours(1), |app| app.lifetime)
}
