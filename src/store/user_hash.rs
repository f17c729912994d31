//! Key with which user ids are hashed for the store. The store itself keeps it, sealed.

use super::{Store, StoreError};
use crate::{
    domain::sealing::{Resealing, SealingKeys, UserHashKey, WrongSealingSecret},
    secret::{Entropy, NoEntropy, random},
};

/// Reason why the user-hash key cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum UserHashError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No process has opened the store to write yet.
    #[error("the store was never used: run `countersign doctor` or start the service first")]
    Missing,
    /// The sealing secret is another store's.
    #[error(transparent)]
    Sealing(#[from] WrongSealingSecret),
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
}

/// Opens the user-hash key of a store that is open for reading only.
///
/// # Errors
/// [`UserHashError::Missing`] where the store has none.
pub async fn read_user_hash_key(store: &dyn Store, sealing: &SealingKeys) -> Result<UserHashKey, UserHashError> {
    let sealed = store.user_hash_key().await?.ok_or(UserHashError::Missing)?;
    Ok(UserHashKey::open(sealing, &sealed)?.0)
}

/// Opens the store's user-hash key. The process that opens a store first makes the key. A key that an older sealing
/// secret sealed is sealed again with the newest.
///
/// # Errors
/// [`UserHashError`].
pub async fn open_user_hash_key(
    store: &dyn Store,
    sealing: &SealingKeys,
    entropy: &dyn Entropy,
) -> Result<UserHashKey, UserHashError> {
    loop {
        let kept = store.user_hash_key().await?;
        let (key, is_current) = match &kept {
            None => (UserHashKey::new(random(entropy)?), false),
            Some(sealed) => {
                let (key, resealing) = UserHashKey::open(sealing, sealed)?;
                (key, resealing == Resealing::Current)
            }
        };
        if is_current || store.replace_user_hash_key(kept, key.sealed(sealing, random(entropy)?)).await? {
            return Ok(key);
        }
    }
}
