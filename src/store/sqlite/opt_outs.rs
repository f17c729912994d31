//! Reads of the table `opt_outs`.

use rusqlite::{Connection, params};

use crate::domain::ids::{AppName, UserHash};

/// From this app, or from all. The plus signs are those of `opted_out!`.
const IS_OPTED_OUT: &str = "SELECT EXISTS (SELECT 1 FROM opt_outs WHERE user = ?1 AND (+app = '' OR +app = ?2))";

/// Returns true where the user is opted out of the app.
pub(super) fn is_opted_out(c: &Connection, user: UserHash, app: &AppName) -> rusqlite::Result<bool> {
    c.prepare_cached(IS_OPTED_OUT)?.query_row(params![user.0, app.as_str()], |row| row.get(0))
}
