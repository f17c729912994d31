//! Session: one device's chain of refresh tokens, and the decision about a presented one.
//!
//! The store keeps a counter for each session, and each refresh token carries the counter that it was made with. The
//! difference of the two is enough for the decision, so that the store keeps no token.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantNames};
use utoipa::ToSchema;

use super::{
    ids::{AppName, SessionId, UserHash},
    policy::RefreshPolicy,
    refresh_token::Contents,
};
use crate::clock::UnixMillis;

/// Time after a rotation in which a token that is two or more behind counts as delayed (several tabs, a slow network),
/// not as stolen.
pub const STRAGGLER_GRACE: Duration = Duration::from_secs(10);

/// Session as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub id: SessionId,
    pub app: AppName,
    pub user: UserHash,
    /// Counter of the newest refresh token that was issued.
    pub counter: u64,
    pub created: UnixMillis,
    /// Time of the last change of `counter`.
    pub rotated: UnixMillis,
    /// End of the session if it is not refreshed.
    pub idle_expires: UnixMillis,
    /// End of the session in any case.
    pub expires: UnixMillis,
    /// Reason for an early end, where the session has ended early.
    pub ended: Option<Ended>,
}

/// Reason why a session ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, EnumString, IntoStaticStr, ToSchema)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Ended {
    /// The user was logged out: by the app, or at the identity provider.
    Logout,
    /// An operator ended it, or every session of its user or app, or the store was restored from a backup; or its login
    /// failed after it was written, so that nobody has a token of it.
    Revoked,
    /// A refresh token that was replaced long ago was presented: somebody has a copy.
    Reused,
    /// The user began too many newer sessions on the app.
    Evicted,
    /// The user is opted out. Unlike the other ends, this one is undone when the user opts in.
    OptedOut,
}

impl Ended {
    /// Name of the reason in the store, in metrics and on the command line.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Decision about a presented refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Decision {
    /// The token is the newest: the session advances to counter `to`.
    Rotate { to: u64 },
    /// A token of the next generation was issued and none was used (the answer was lost, or two tabs raced): another
    /// one of that same generation is issued, and the session does not change.
    Repeat,
    /// The token is authentic and newer than the store's counter: the store lost writes. The session advances to
    /// counter `to`, and an alarm is raised.
    Ahead { to: u64 },
    /// The session's idle or absolute lifetime is over.
    Expired,
    /// The session was ended.
    Revoked,
    /// The user is opted out.
    OptedOut,
    /// The token was replaced too long ago for a lost answer: it is refused, and the session does not change.
    Superseded,
    /// The token was replaced at least twice and some time ago: somebody has a copy. The session must end.
    Reused,
}

impl Decision {
    /// Name of the decision in metrics and logs; all of them are [`VariantNames::VARIANTS`].
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Decides about `presented`, a refresh token of `session`, at `now`.
///
/// The policy gives the retry window; the lifetimes were fixed when the session began and was last refreshed.
pub fn decide(session: &Session, presented: &Contents, now: UnixMillis, policy: RefreshPolicy) -> Decision {
    match session.ended {
        Some(Ended::OptedOut) => return Decision::OptedOut,
        Some(_) => return Decision::Revoked,
        None => {}
    }
    // Where the store lost writes, the token has the later idle end; both are authentic.
    let idle_expires = session.idle_expires.max(presented.idle_expires);
    if now >= session.expires || now >= idle_expires {
        return Decision::Expired;
    }
    let Some(behind) = session.counter.checked_sub(presented.counter) else {
        return Decision::Ahead { to: presented.counter.saturating_add(1) };
    };
    let since_rotation = now.since(session.rotated);
    match behind {
        0 => Decision::Rotate { to: session.counter.saturating_add(1) },
        2.. if since_rotation >= STRAGGLER_GRACE => Decision::Reused,
        _ if since_rotation < policy.retry_window => Decision::Repeat,
        _ => Decision::Superseded,
    }
}
