//! Ends of users, apps and logins, and opt-outs: all of them, exactly.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    clock::{MAX_STEP, UnixMillis},
    domain::{
        ids::{AppName, SessionId, UserHash},
        login_record::{LoginHash, LoginRecord},
        policy::LONGEST_SESSION,
        session::Ended,
    },
};

/// User on one app, or on all.
pub(super) type UserScope = (UserHash, Option<AppName>);

/// Ends that are no session's.
#[derive(Default)]
pub(super) struct OtherEnds {
    pub(super) users: BTreeMap<UserScope, UnixMillis>,
    pub(super) apps: BTreeMap<Option<AppName>, UnixMillis>,
    pub(super) opted_out: BTreeSet<UserScope>,
    pub(super) logins: BTreeMap<(LoginHash, AppName), LoginEnd>,
}

/// End of a login.
#[derive(Clone, Copy)]
pub(super) struct LoginEnd {
    pub(super) issued_until: UnixMillis,
    pub(super) remembered_until: UnixMillis,
}

/// Verdict of the ends that are no session's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    None,
    Ended(Ended),
    /// The user's sessions were ended about when the session began, by another clock perhaps.
    Unsure,
}

impl OtherEnds {
    pub(super) fn len(&self) -> usize {
        self.users.len() + self.apps.len() + self.opted_out.len() + self.logins.len()
    }

    pub(super) fn end_user(&mut self, scope: UserScope, at: UnixMillis) {
        let end = self.users.entry(scope).or_insert(at);
        *end = at.max(*end);
    }

    pub(super) fn end_app(&mut self, app: Option<AppName>, at: UnixMillis) {
        let end = self.apps.entry(app).or_insert(at);
        *end = at.max(*end);
    }

    pub(super) fn end_login(&mut self, app: AppName, login: LoginHash, end: LoginEnd) {
        let known = self.logins.entry((login, app)).or_insert(end);
        known.issued_until = known.issued_until.max(end.issued_until);
        known.remembered_until = known.remembered_until.max(end.remembered_until);
    }

    pub(super) fn is_opted_out(&self, user: UserHash, app: &AppName) -> bool {
        [Some(app.clone()), None].into_iter().any(|app| self.opted_out.contains(&(user, app)))
    }

    /// Returns true where the app, or all, were ended when the session was there.
    pub(super) fn covers_app(&self, app: &AppName, created: UnixMillis) -> bool {
        [Some(app.clone()), None].iter().any(|app| self.apps.get(app).is_some_and(|at| created <= *at))
    }

    pub(super) fn covers_login(&self, app: &AppName, login: &LoginRecord) -> bool {
        let is_covered = |hash| {
            let end = self.logins.get(&(hash, app.clone()));
            end.is_some_and(|end| login.issued <= end.issued_until)
        };
        is_covered(login.subject) || is_covered(login.session)
    }

    /// Judges a session by the ends of its user. A session that is on record ended by itself, and is known by its own
    /// end; this is for those that began while the store was out of reach. Where both times are near to each other,
    /// the session may be one that began afterwards, on a node whose clock is behind.
    pub(super) fn user_end(&self, user: UserHash, app: &AppName, created: UnixMillis) -> Verdict {
        let ends = [Some(app.clone()), None].into_iter().filter_map(|app| self.users.get(&(user, app)));
        match ends.max() {
            Some(at) if *at >= created.plus(MAX_STEP) => Verdict::Ended(Ended::Revoked),
            Some(at) if *at >= created => Verdict::Unsure,
            _ => Verdict::None,
        }
    }

    /// Forgets opt-outs, where there are more ends than `most`. Returns true then.
    pub(super) fn cut(&mut self, most: usize) -> bool {
        let surplus = self.len().saturating_sub(most);
        for _ in 0..surplus {
            self.opted_out.pop_last();
        }
        surplus > 0
    }

    /// Forgets the logins that need not be remembered any more, and the ends of users that every session has expired since.
    pub(super) fn forget_expired(&mut self, now: UnixMillis) {
        self.users.retain(|_, at| at.plus(LONGEST_SESSION) > now);
        self.logins.retain(|_, end| end.remembered_until > now);
    }
}

/// Time at which a session began, from its id.
pub(super) fn created(id: SessionId) -> UnixMillis {
    let mut time = [0; 8];
    time[2..].copy_from_slice(&id.0[..6]);
    UnixMillis(i64::from_be_bytes(time))
}
