//! Connection string of a database: `postgres://user@host/name`, with the parameters of libpq
//! (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING>).

use std::fmt;

/// Database to connect to. It shows no password.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    pub(super) config: tokio_postgres::Config,
    /// The connection is encrypted, and the server's certificate verified.
    pub(super) tls: bool,
    shown: String,
}

/// Reason why a text is no connection string.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadUrl(String);

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({})", self.shown)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}
