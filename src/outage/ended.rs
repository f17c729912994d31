//! What has ended, as this node knows it. Skeleton: owner `ends`.

use std::num::NonZeroU32;

use super::Standing;
use crate::{
    clock::UnixMillis,
    domain::{
        ids::{AppName, SessionId, UserHash},
        login_record::LoginRecord,
        session::Ended,
    },
};

/// What has ended: recent ends exactly, older ones in filters.
pub struct EndedSessions {}

impl EndedSessions {
    /// Makes an empty one, which nothing was read into.
    pub fn new(_memory_mib: NonZeroU32) -> Self {
        Self {}
    }

    /// Returns the time of the last complete look; `None` before the first.
    pub fn looked(&self) -> Option<UnixMillis> {
        None
    }

    /// Remembers the end of a session that this node found out and could not write.
    pub fn remember(&self, _session: SessionId, _why: Ended, _expires: UnixMillis) {}

    /// Returns the standing of a session.
    pub fn standing(
        &self,
        _session: SessionId,
        _user: UserHash,
        _app: &AppName,
        _login: Option<&LoginRecord>,
    ) -> Standing {
        Standing::Unsure
    }
}
