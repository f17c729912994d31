//! Agreement that a store and a key folder belong to one installation. Another store in the place of the right one, as
//! where a volume is not mounted, is refused. Where the store itself keeps the keys, the sealing secret shows that: it
//! opens the user-hash key before this check.

use crate::{
    custody::{Custodian, CustodyError, InstallationMark},
    domain::ids::InstallationId,
    secret::{Entropy, NoEntropy, random},
    store::{Store, StoreError},
};

/// Reason why store and key folder cannot be used together.
#[derive(Debug, thiserror::Error)]
pub enum InstallationError {
    /// They are of two installations.
    #[error(
        "the store is of installation {store}, the key folder of installation {keys}: one of them is not the right \
         one. Mount or configure the store of {keys}, or put the key folder of {store} there; nothing was changed"
    )]
    Mismatch { store: InstallationId, keys: InstallationId },
    /// The store has no id and no data, in a place in which there was one with data.
    #[error(
        "the store is empty, but the key folder is of installation {keys}, which had a store: mount it, or move the \
         empty one away, then `countersign db restore --from FILE` or `countersign db create`"
    )]
    EmptyStore { keys: InstallationId },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Custody(#[from] CustodyError),
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
}

/// Checks that store and key folder are of one installation. One of an older version, without an id, gets it here: the
/// store first, then the key folder, so that a crash in between is made good by the next call.
pub(super) async fn agree(
    store: &dyn Store,
    custodian: &dyn Custodian,
    entropy: &dyn Entropy,
) -> Result<(), InstallationError> {
    loop {
        match (store.installation_id().await?, custodian.installation_mark().await?) {
            (Some(_), InstallationMark::InStore) => return Ok(()),
            (Some(store), InstallationMark::Of(keys)) => return same(store, keys),
            (Some(id), InstallationMark::Missing) => {
                if let Err(why) = custodian.adopt_installation_id(id).await {
                    // Keys may be mounted read-only. A store that is lost is noticed there too.
                    tracing::warn!(%why, "the key folder does not say of which installation it is");
                    return Ok(());
                }
            }
            (None, InstallationMark::Of(keys)) => {
                if is_empty(store).await? {
                    return Err(InstallationError::EmptyStore { keys });
                }
                store.adopt_installation_id(keys).await?;
            }
            (None, InstallationMark::Missing | InstallationMark::InStore) => {
                store.adopt_installation_id(InstallationId::new(random(entropy)?)).await?;
            }
        }
    }
}

/// Checks the same without writing anything: a missing id is accepted.
pub(super) async fn compare(store: &dyn Store, custodian: &dyn Custodian) -> Result<(), InstallationError> {
    match (store.installation_id().await?, custodian.installation_mark().await?) {
        (Some(store), InstallationMark::Of(keys)) => same(store, keys),
        (None, InstallationMark::Of(keys)) if is_empty(store).await? => Err(InstallationError::EmptyStore { keys }),
        _ => Ok(()),
    }
}

fn same(store: InstallationId, keys: InstallationId) -> Result<(), InstallationError> {
    if store == keys { Ok(()) } else { Err(InstallationError::Mismatch { store, keys }) }
}

/// Returns whether the store has no record that an installation in use would have.
async fn is_empty(store: &dyn Store) -> Result<bool, StoreError> {
    Ok(store.keys().await?.is_empty() && store.api_keys().await?.is_empty() && store.count_opt_outs().await? == 0)
}
