//! A session: one device's chain of refresh tokens, and what a presented one deserves.
//!
//! The store keeps a counter for each session, and each refresh token carries the counter it was made with. So the
//! distance between them tells everything, and no token needs to be kept.

use std::time::Duration;

use serde::Serialize;
use strum::{EnumString, IntoStaticStr, VariantNames};

use super::{
    ids::{AppName, SessionId, UserHash},
    policy::RefreshPolicy,
    refresh_token::Contents,
};
use crate::clock::UnixMillis;

/// How long after a rotation a token two or more behind still counts as a straggler of the same moment (several tabs,
/// a slow network), not as a theft.
pub const STRAGGLER_GRACE: Duration = Duration::from_secs(10);

/// A session as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// The app it is for.
    pub app: AppName,
    /// Whose it is.
    pub user: UserHash,
    /// The counter of the newest refresh token that was given out.
    pub counter: u64,
    /// When it began.
    pub created: UnixMillis,
    /// When `counter` last changed.
    pub rotated: UnixMillis,
    /// When it ends if it is not refreshed.
    pub idle_expires: UnixMillis,
    /// When it ends whatever happens.
    pub expires: UnixMillis,
    /// Whether and why it ended already.
    pub ended: Option<Ended>,
}

/// Why a session ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, EnumString, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Ended {
    /// The app logged the user out.
    Logout,
    /// An operator ended it, or every session of its user or app, or the store was restored from a backup.
    Revoked,
    /// A refresh token that had long been replaced was presented: somebody has a copy.
    Reused,
    /// The user is opted out. Unlike the others it lasts only while the user is.
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
    /// It is the newest: the session moves on to counter `to`.
    Rotate {
        /// The successor's counter.
        to: u64,
    },
    /// Its successor was given out and never used (the answer was lost, or two tabs raced): the same successor counter
    /// again, and nothing changes.
    Repeat,
    /// The token is authentically ours and newer than the store knows: the store lost writes. The session jumps to
    /// counter `to`, and somebody must be told.
    Ahead {
        /// The successor's counter.
        to: u64,
    },
    /// The session's idle or absolute life is over.
    Expired,
    /// The session was ended.
    Revoked,
    /// The user is opted out.
    OptedOut,
    /// Replaced too long ago to be a lost answer; refused, and the session is left alone.
    Superseded,
    /// Replaced at least twice, some time ago: a copy is in somebody's hands. The session must end.
    Reused,
}

impl Decision {
    /// Name of the decision in metrics and logs; all of them are [`VariantNames::VARIANTS`].
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Decides what the holder of `presented` gets from `session` at `now`.
///
/// The policy gives the retry window; the lives were fixed when the session began and was last refreshed.
pub fn decide(session: &Session, presented: &Contents, now: UnixMillis, policy: RefreshPolicy) -> Decision {
    match session.ended {
        Some(Ended::OptedOut) => return Decision::OptedOut,
        Some(_) => return Decision::Revoked,
        None => {}
    }
    // Where the store lost writes the token knows the later idle end; both are authentic.
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
