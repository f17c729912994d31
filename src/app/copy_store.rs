//! Copy of a store into another one, while no service runs on it.

use std::path::PathBuf;

use crate::{
    clock::{Clock, SystemClock, UnixMillis},
    config::Settings,
    rotate::NODE_LIVENESS,
    secret::Secret,
    store::{self, CopiedTable, CopyError, StoreError},
    telemetry::Metrics,
};

/// Reason why a store is not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyStoreError {
    /// Source and target are the same.
    #[error("{0} is both the source and the target")]
    Same(String),
    /// A service runs on the source.
    #[error(
        "node {node} works on {store}, and what it writes after the copy would be lost, logouts too: stop every node, then \
         copy. A node that was killed is forgotten {limit} s after its last report, {ago} s ago"
    )]
    Serving { store: String, node: String, limit: u64, ago: u64 },
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Place of a store that is copied, or made by a copy.
#[derive(Debug)]
pub enum StorePlace {
    /// SQLite file.
    File(PathBuf),
    /// PostgreSQL database; the password is the configured one where the URL is, and none is given.
    Database {
        /// URL without a password.
        url: String,
        /// Password of the role.
        password: Option<Secret<String>>,
    },
}

impl StorePlace {
    /// Returns the configured store's section, with this place.
    fn config(self, settings: &Settings) -> store::Config {
        let configured = settings.store();
        match self {
            Self::File(path) => store::Config { path, url: None, password: None, ..configured },
            Self::Database { url, password } => {
                let ours = configured.password.clone().filter(|_| configured.url.as_ref() == Some(&url));
                store::Config { password: password.map(Into::into).or(ours), url: Some(url), ..configured }
            }
        }
    }
}

/// Copies the store `from` to `to`, where there is none, and verifies the copy. `on_rows` is told how many rows of a table
/// are copied so far.
///
/// # Errors
/// [`CopyStoreError`]; nothing is left of the copy then.
pub async fn copy_store(
    settings: &Settings,
    from: StorePlace,
    to: StorePlace,
    on_rows: impl FnMut(&str, u64),
) -> Result<Vec<CopiedTable>, CopyStoreError> {
    let (from, to) = (&from.config(settings), &to.config(settings));
    if from.name() == to.name() {
        return Err(CopyStoreError::Same(from.name()));
    }
    refuse_nodes(from, SystemClock.now()).await?;
    let copying = store::copy(from, to, on_rows).await?;
    // One that started meanwhile.
    refuse_nodes(from, SystemClock.now()).await?;
    Ok(copying.finish().await?)
}

/// Fails where a node has reported lately.
async fn refuse_nodes(from: &store::Config, now: UnixMillis) -> Result<(), CopyStoreError> {
    let store = store::open_read_only(from, Metrics::new()).await?;
    match store.nodes(now.minus(NODE_LIVENESS)).await?.pop() {
        Some(report) => Err(CopyStoreError::Serving {
            store: from.name(),
            node: report.node,
            limit: NODE_LIVENESS.as_secs(),
            ago: now.since(report.seen).as_secs(),
        }),
        None => Ok(()),
    }
}
