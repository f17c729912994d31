//! Times for which records are kept.

use std::time::Duration;

/// Time for which a session is kept after its absolute expiry.
pub(super) const SESSIONS: Duration = Duration::from_hours(7 * 24);

/// Time for which the report of a node that stopped without shutting down is kept.
pub(super) const REPORTS: Duration = Duration::from_hours(24);
