//! What has ended, as this node knows it. Skeleton: owner `ends`.

use std::num::NonZeroU32;

use super::Standing;
use crate::{
    clock::UnixMillis,
    domain::{
        ids::{AppName, SessionId, UserHash},
        login_record::LoginRecord,
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
