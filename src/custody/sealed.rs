//! Custody in the store: private keys that are sealed with a key that is derived from the sealing secret. Every node that
//! has the secret can load them.

use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use zeroize::Zeroizing;

use super::error::{CustodyError, StoreFault};
use crate::{
    domain::{
        ids::{Kid, RingName},
        sealed_key,
        sealing::{Resealing, SealingKeys},
    },
    secret::{Entropy, random},
};

/// Store of sealed private keys, which cannot open them. `app` implements it.
#[async_trait]
pub trait SealedKeyStore: Send + Sync {
    /// Returns a sealed key; `None` where there is none.
    async fn get(&self, kid: &Kid) -> Result<Option<Vec<u8>>, StoreFault>;

    /// Keeps a sealed key, durably. Returns `false` where one of this id is there.
    async fn insert(&self, kid: &Kid, sealed: Vec<u8>) -> Result<bool, StoreFault>;

    /// Replaces a sealed key, if it still is `from`.
    async fn replace(&self, kid: &Kid, from: Vec<u8>, to: Vec<u8>) -> Result<bool, StoreFault>;

    /// Deletes a sealed key, if there is one.
    async fn delete(&self, kid: &Kid) -> Result<(), StoreFault>;

    /// Returns the ids of all sealed keys.
    async fn kids(&self) -> Result<Vec<Kid>, StoreFault>;
}

/// Sealed keys of the store, and the keys that open them.
pub(super) struct SealedKeys {
    store: Arc<dyn SealedKeyStore>,
    sealing: ArcSwap<SealingKeys>,
    entropy: Arc<dyn Entropy>,
}

impl SealedKeys {
    pub(super) fn new(store: Arc<dyn SealedKeyStore>, sealing: SealingKeys, entropy: Arc<dyn Entropy>) -> Self {
        Self { store, sealing: ArcSwap::from_pointee(sealing), entropy }
    }

    /// Seals a key and keeps it. Returns `false` where one of this id is there already.
    pub(super) async fn insert(&self, kid: &Kid, ring: &RingName, pkcs1: &[u8]) -> Result<bool, CustodyError> {
        let sealed = self.seal(kid, ring, pkcs1)?;
        self.store.insert(kid, sealed).await.map_err(CustodyError::Store)
    }

    /// Opens a sealed key, to PKCS#1 in DER.
    pub(super) async fn read(&self, kid: &Kid, ring: &RingName) -> Result<Zeroizing<Vec<u8>>, CustodyError> {
        Ok(self.open(kid, ring, &self.get(kid).await?)?.0)
    }

    /// Deletes a sealed key. A missing one is a success.
    pub(super) async fn erase(&self, kid: &Kid) -> Result<(), CustodyError> {
        self.store.delete(kid).await.map_err(CustodyError::Store)
    }

    /// Ids of all sealed keys.
    pub(super) async fn kids(&self) -> Result<Vec<Kid>, CustodyError> {
        self.store.kids().await.map_err(CustodyError::Store)
    }

    /// Version of the sealing secret that sealed a key, and whether it is the newest; `None` where there is no such key.
    pub(super) async fn version(&self, kid: &Kid) -> Result<Option<(u32, bool)>, CustodyError> {
        let newest = self.sealing.load().newest();
        let sealed = self.store.get(kid).await.map_err(CustodyError::Store)?;
        let version = sealed.and_then(|sealed| sealed_key::version(&sealed));
        Ok(version.map(|version| (version, version == newest)))
    }

    /// Makes a second one, of the same store, with other sealing keys.
    pub(super) fn with(&self, sealing: SealingKeys) -> Self {
        Self::new(Arc::clone(&self.store), sealing, Arc::clone(&self.entropy))
    }

    /// Opens and seals with the sealing keys of another one from now on.
    pub(super) fn use_sealing_of(&self, other: &Self) {
        self.sealing.store(other.sealing.load_full());
    }

    /// Seals a key again, where an older version sealed it. Returns whether it was sealed again. Of several processes that
    /// do so at once, one succeeds and the others find it done.
    pub(super) async fn reseal(&self, kid: &Kid, ring: &RingName) -> Result<bool, CustodyError> {
        loop {
            let sealed = self.get(kid).await?;
            let (pkcs1, resealing) = self.open(kid, ring, &sealed)?;
            if resealing == Resealing::Current {
                return Ok(false);
            }
            let again = self.seal(kid, ring, &pkcs1)?;
            if self.store.replace(kid, sealed, again).await.map_err(CustodyError::Store)? {
                return Ok(true);
            }
        }
    }

    async fn get(&self, kid: &Kid) -> Result<Vec<u8>, CustodyError> {
        let sealed = self.store.get(kid).await.map_err(CustodyError::Store)?;
        sealed.ok_or_else(|| CustodyError::NotSealed(kid.clone()))
    }

    fn open(&self, kid: &Kid, ring: &RingName, sealed: &[u8]) -> Result<(Zeroizing<Vec<u8>>, Resealing), CustodyError> {
        let opened = sealed_key::open(&self.sealing.load(), kid, ring, sealed);
        opened.map_err(|source| CustodyError::Sealed { kid: kid.clone(), source })
    }

    fn seal(&self, kid: &Kid, ring: &RingName, pkcs1: &[u8]) -> Result<Vec<u8>, CustodyError> {
        let nonce = random(&*self.entropy).map_err(|why| CustodyError::Generation(why.to_string()))?;
        Ok(sealed_key::seal(&self.sealing.load(), kid, ring, nonce, pkcs1))
    }
}
