//! Times for which records are kept.

use std::time::Duration;

use crate::domain::policy::LONGEST_SESSION;

/// Time for which a session is kept after its absolute expiry.
pub(super) const SESSIONS: Duration = Duration::from_hours(7 * 24);

/// Time for which the report of a node that stopped without shutting down is kept.
pub(super) const REPORTS: Duration = Duration::from_hours(24);

/// Time for which an end of a user's sessions is kept: the oldest of them has expired then, also one that is not on record
/// yet.
pub(super) const USER_ENDS: Duration = LONGEST_SESSION;

/// Time for which a session of the console is kept: longer than any lasts.
pub(super) const CONSOLE_SESSIONS: Duration = Duration::from_hours(24);

/// Time for which a creation is remembered.
pub(super) const CREATIONS: Duration = Duration::from_hours(24);

/// Time for which counts of answers are kept.
pub(super) const ACTIVITY: Duration = Duration::from_hours(8 * 24);
