//! Custody of private keys: where they are kept, and where they sign.
//!
//! - `signer`: the trait of a loaded key; `local_key`: a loaded key in this process
//! - `pace`: measured times of a key's signatures, and the choice of batches
//! - `engine`: signing threads with their queue and load shedding
//! - `batch`: several signatures computed at once; `emsa`: the message that they encode
//! - `admission`: checks of every key, at import, generation and load
//! - `format`: PEM and PKCS#8
//! - `file`: the custodian that keeps keys in files

mod admission;
mod batch;
mod config;
mod emsa;
mod engine;
mod error;
mod file;
mod format;
mod local_key;
mod pace;
mod signer;

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    clock::UnixMillis,
    domain::{
        ids::{InstallationId, Kid, RingName},
        key::{KeyRecord, KeyState},
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
pub use error::{CustodyError, ImportError};
pub use format::{pem::describe, unsupported::UnsupportedKey};
pub use pace::{BatchPace, Pace};
pub use signer::Signer;

/// Opens the configured custody and starts its signing threads.
///
/// # Errors
/// [`CustodyError`] where the folder is missing or others may write to it, or a thread does not start.
pub fn open(
    config: Config,
    metrics: Arc<Metrics>,
    entropy: Arc<dyn Entropy>,
) -> Result<Arc<dyn Custodian>, CustodyError> {
    Ok(Arc::new(file::FileCustodian::open(config, metrics, entropy)?))
}

/// Breaches of the rule for owners and modes, in the configured folder and its key files.
pub fn breaches(config: &Config, rule: &Rule) -> Breaches {
    file::breaches(config, rule)
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

    /// Returns the id of the installation whose keys these are; `None` where none was adopted yet.
    async fn installation_id(&self) -> Result<Option<InstallationId>, CustodyError>;

    /// Keeps the id of the installation, durably. One that is kept already stays.
    async fn adopt_installation_id(&self, id: InstallationId) -> Result<(), CustodyError>;

    /// Lists the locations of private halves that no record names. A crash between the generation and the recording of
    /// a key leaves one; an operator may have put one there.
    async fn orphans(&self, records: &[KeyRecord]) -> Result<Vec<String>, CustodyError>;
}

/// Public facts about a key that custody holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldKey {
    pub kid: Kid,
    /// Length of the modulus in bits.
    pub bits: u32,
    /// Public half, SPKI in PEM.
    pub public_key: String,
    /// Name of the custody.
    pub custody: &'static str,
    /// Location of the private half in that custody.
    pub locator: String,
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
            custody: self.custody.to_owned(),
            locator: self.locator,
            created: now,
            changed: now,
        }
    }
}
