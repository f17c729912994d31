//! Custody of private keys: where they are kept, and where they sign.
//!
//! - `signer`: the trait of a loaded key; `local_key`: a loaded key in this process
//! - `pace`: measured times of a key's signatures, and the choice of batches
//! - `engine`: signing threads with their queue and load shedding
//! - `batch`: several signatures computed at once; `emsa`: the message that they encode
//! - `admission`: checks of every key, at import, generation and load
//! - `format`: PEM and PKCS#8
//! - `local`: the custodian of the keys that sign in this process; `file`: keys in files; `sealed`: keys in the
//!   store; `places`: moves between them

mod admission;
mod batch;
mod config;
mod emsa;
mod engine;
mod error;
mod file;
mod format;
mod local;
mod local_key;
mod pace;
mod places;
mod sealed;
mod signer;

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;

use self::{local::LocalCustodian, sealed::SealedKeys};

use crate::{
    clock::UnixMillis,
    domain::{
        ids::{InstallationId, Kid, RingName},
        key::{CustodyKind, KeyLocation, KeyRecord, KeyState},
        sealing::SealingKeys,
    },
    files::{Breaches, Rule},
    secret::{Entropy, Secret},
    telemetry::Metrics,
};

pub use admission::{PublicHalf, inspect_pem};
pub use batch::Batch;
#[cfg(feature = "crypto-mb")]
pub use batch::{SignTogether, batch_signer};
pub use config::Config;
pub use engine::Engine;
pub use error::{CustodyError, ImportError, StoreFault};
pub use format::{pem::describe, unsupported::UnsupportedKey};
pub use pace::{BatchPace, Pace};
pub use sealed::SealedKeyStore;
pub use signer::Signer;

/// Opened custody.
#[derive(Clone)]
pub struct Custody {
    pub custodian: Arc<dyn Custodian>,
    /// Operations on the places of its keys.
    pub places: Arc<dyn KeyPlaces>,
}

/// Opens the configured custody and starts its signing threads. `store` and `sealing` are for the keys that are kept in the
/// store.
///
/// # Errors
/// [`CustodyError`] where the folder is missing or others may write to it, or a thread does not start. No folder is needed
/// where new keys are kept in the store.
pub fn open(
    config: Config,
    store: Arc<dyn SealedKeyStore>,
    sealing: SealingKeys,
    metrics: Arc<Metrics>,
    entropy: Arc<dyn Entropy>,
) -> Result<Custody, CustodyError> {
    let sealed = SealedKeys::new(store, sealing, Arc::clone(&entropy));
    let local = Arc::new(LocalCustodian::open(config, sealed, metrics, entropy)?);
    Ok(Custody { custodian: Arc::clone(&local) as Arc<dyn Custodian>, places: local })
}

/// Reads the mark of the installation that keys in this custody belong to.
///
/// # Errors
/// [`CustodyError`] where the folder of key files, if there must be one, cannot be read.
pub fn installation_mark(config: &Config) -> Result<InstallationMark, CustodyError> {
    Ok(match config.kind {
        CustodyKind::Store => InstallationMark::InStore,
        CustodyKind::File => file::installation_id(config)?.map_or(InstallationMark::Missing, InstallationMark::Of),
    })
}

/// Breaches of the rule for owners and modes, in the configured folder and its key files.
/// Where new keys are kept in the store, a key
/// file is checked when a record names it.
pub fn breaches(config: &Config, rule: &Rule) -> Breaches {
    match config.kind {
        CustodyKind::File => file::breaches(config, rule),
        CustodyKind::Store => Breaches::default(),
    }
}

/// Mark of the installation that keys belong to: another store in the place of the right one is noticed by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstallationMark {
    /// Kept beside the key files.
    Of(InstallationId),
    /// None is kept beside the key files yet.
    Missing,
    /// The store itself keeps the keys, and only the right sealing secret opens them.
    InStore,
}

/// Private half that no record names in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    pub location: KeyLocation,
    /// Record of the same key, which names another place.
    pub record: Option<KeyRecord>,
}

/// Custodian of keys: generates, imports, opens and destroys them.
#[async_trait]
pub trait Custodian: Send + Sync {
    /// Generates a key of `bits` (2048, 3072 or 4096) for a ring, tests it and keeps its private half.
    async fn generate(&self, ring: &RingName, bits: u32) -> Result<HeldKey, CustodyError>;

    /// Imports a private key in PEM (PKCS#1, PKCS#8 or encrypted PKCS#8) for a ring: checks it, and keeps it under the
    /// encryption of this custody.
    ///
    /// # Errors
    /// [`ImportError`] names what is wrong with the key, and the remedy.
    async fn import(
        &self,
        ring: &RingName,
        pem: &Secret<Vec<u8>>,
        passphrase: Option<&Secret<String>>,
    ) -> Result<HeldKey, ImportError>;

    /// Loads the key of this record, tests it, and checks that it is the one on record.
    async fn open(&self, record: &KeyRecord) -> Result<Arc<dyn Signer>, CustodyError>;

    /// Destroys the private half. A missing one is a success: the call may be repeated after a crash. Copies elsewhere
    /// (backups, snapshots) are out of its reach.
    async fn destroy(&self, record: &KeyRecord) -> Result<(), CustodyError>;

    /// Returns the mark of the installation whose keys these are.
    async fn installation_mark(&self) -> Result<InstallationMark, CustodyError>;

    /// Keeps the id of the installation, durably. One that is kept already stays.
    async fn adopt_installation_id(&self, id: InstallationId) -> Result<(), CustodyError>;

    /// Lists private halves that no record names where they are. A crash between the generation and the recording of a key
    /// leaves one, and so does one in the middle of a move; an operator may have put one there.
    async fn orphans(&self, records: &[KeyRecord]) -> Result<Vec<Orphan>, CustodyError>;
}

/// Operations on the places of private halves, and on what encrypts them there. Each can be repeated after a crash.
#[async_trait]
pub trait KeyPlaces: Send + Sync {
    /// Copies the key of this record to a place, and proves the copy by loading it from there. The record stays as it is.
    async fn copy(&self, record: &KeyRecord, to: CustodyKind) -> Result<KeyLocation, CustodyError>;

    /// Erases a copy of a key that has moved from there. A missing one is a success.
    async fn erase(&self, kid: &Kid, from: CustodyKind) -> Result<(), CustodyError>;

    /// Encrypts the key of this record as it would be encrypted now: a file with the configured passphrase, a sealed key
    /// with the newest sealing secret. `old` opens a file that is encrypted with another passphrase. Returns `false` where
    /// that is so already.
    async fn rewrap(&self, record: &KeyRecord, old: Option<&Secret<String>>) -> Result<bool, CustodyError>;

    /// Seals the keys in the store again with the newest of these secrets, which are used from now on. Where a key does not
    /// open with them, the secrets before stay in use.
    async fn reseal(&self, records: &[KeyRecord], sealing: SealingKeys) -> Result<(), CustodyError>;

    /// Returns the versions of the sealing secret that the keys of these records need, each with whether it is the newest.
    async fn sealing_versions(&self, records: &[KeyRecord]) -> Result<BTreeMap<u32, bool>, CustodyError>;
}

/// Public facts about a key that custody holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldKey {
    pub kid: Kid,
    /// Length of the modulus in bits.
    pub bits: u32,
    /// Public half, SPKI in PEM.
    pub public_key: String,
    /// Location of the private half.
    pub location: KeyLocation,
}

impl HeldKey {
    /// Makes the record of a pending key of this ring.
    pub fn on_record(self, ring: RingName, now: UnixMillis) -> KeyRecord {
        KeyRecord {
            kid: self.kid,
            ring,
            state: KeyState::Pending,
            bits: self.bits,
            public_key: self.public_key,
            custody: self.location.custody,
            locator: self.location.locator,
            created: now,
            changed: now,
        }
    }
}
