//! Copy of a store into another one, while no service runs on it.

use crate::{
    clock::{Clock, SystemClock, UnixMillis},
    rotate::NODE_LIVENESS,
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

/// Copies the store `from` to `to`, where there is none, and verifies the copy. `on_rows` is told how many rows of a table
/// are copied so far.
///
/// # Errors
/// [`CopyStoreError`]; nothing is left of the copy then.
pub async fn copy_store(
    from: &store::Config,
    to: &store::Config,
    on_rows: impl FnMut(&str, u64),
) -> Result<Vec<CopiedTable>, CopyStoreError> {
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
