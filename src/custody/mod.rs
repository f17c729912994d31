//! Where private keys live and sign. One file a provider; a key proves itself when it is loaded.

mod admission;
mod batch;
mod config;
mod emsa;
mod engine;
mod error;
mod file;
mod format;
mod local_key;
mod signer;

use std::sync::Arc;

use crate::{
    clock::UnixMillis,
    domain::{
        ids::{Kid, RingName},
        key::{KeyRecord, KeyState},
    },
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
pub use signer::Signer;

/// Opens the custody that the configuration names, with the threads that sign for it.
///
/// # Errors
/// [`CustodyError`] where the folder is missing or others may write to it.
pub fn open(
    config: Config,
    metrics: Arc<Metrics>,
    entropy: Arc<dyn Entropy>,
) -> Result<Arc<dyn Custodian>, CustodyError> {
    Ok(Arc::new(file::FileCustodian::open(config, metrics, entropy)?))
}

/// Who makes, takes in and opens keys.
pub trait Custodian: Send + Sync {
    /// Makes a key of `bits` (2048, 3072 or 4096), keeps its private half, proves it.
    fn generate(&self, bits: u32) -> Result<HeldKey, CustodyError>;

    /// Takes a private key in PEM (PKCS#1, PKCS#8 or encrypted PKCS#8), checks it, keeps it under our own encryption.
    ///
    /// # Errors
    /// [`ImportError`] names what was given instead of a fit key, and what to do.
    fn import(&self, pem: &Secret<Vec<u8>>, passphrase: Option<&Secret<String>>) -> Result<HeldKey, ImportError>;

    /// Loads the key of this record: its private half is found, sound, signs, and is the one on record.
    fn open(&self, record: &KeyRecord) -> Result<Arc<dyn Signer>, CustodyError>;

    /// Destroys the private half for good. One that is gone already is no mistake: this may be repeated after a crash.
    /// Copies elsewhere (backups, snapshots) are not in its reach.
    fn destroy(&self, record: &KeyRecord) -> Result<(), CustodyError>;

    /// Where private halves are kept that no record names: left behind where a crash came between making a key and putting
    /// it on record, or by hand.
    fn strays(&self, records: &[KeyRecord]) -> Result<Vec<String>, CustodyError>;
}

/// What may be known of a key that custody has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldKey {
    /// Its id: the RFC 7638 thumbprint.
    pub kid: Kid,
    /// The bits of its modulus.
    pub bits: u32,
    /// Its public half, SPKI in PEM.
    pub public_key: String,
    /// The custody that has it.
    pub custody: &'static str,
    /// Where that custody finds it again.
    pub locator: String,
}

impl HeldKey {
    /// What goes on record of it: a key of this ring that signs nothing yet.
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
