//! Services: the open rooms behind the doors, and what is composed of them.

use std::{path::Path, sync::Arc};

use super::process;
use crate::{
    braze::{self, BrazeError},
    clock::{Clock, SystemClock},
    config::Settings,
    custody::{self, Custodian, CustodyError},
    domain::sealing::{SealingKeys, UserHashKey},
    issue::{self, Issuer},
    keyring::Keyring,
    node::ReloadError,
    operate::{Operator, Tokens},
    rotate::{Observer, Rotator},
    secret::{Entropy, NoEntropy, SystemEntropy, random},
    store::{self, Store, StoreError, UserHashError},
    telemetry::Metrics,
};

/// The clock and the source of randomness that every room is given.
pub struct Ambient {
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
}

impl Ambient {
    /// The machine's clock and random generator.
    pub fn system() -> Self {
        Self { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy) }
    }
}

/// The open rooms.
pub struct Services {
    store: Arc<dyn Store>,
    custodian: Arc<dyn Custodian>,
    keyring: Arc<Keyring>,
    user_hash: Arc<UserHashKey>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    node: String,
}

/// A room does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Custody(#[from] CustodyError),
    #[error(transparent)]
    UserHash(#[from] UserHashError),
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    #[error(transparent)]
    Braze(#[from] BrazeError),
    /// An active key does not load.
    #[error(transparent)]
    Keys(#[from] ReloadError),
}

impl Services {
    /// Opens the rooms that the settings name.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(settings: &Settings, ambient: Ambient) -> Result<Self, OpenError> {
        let Ambient { clock, entropy } = ambient;
        let metrics = Metrics::new();
        let store = store::open(&settings.store(), Arc::clone(&metrics))?;
        let sealing = SealingKeys::derive(settings.sealing());
        let user_hash = Arc::new(store::open_user_hash_key(&*store, &sealing, &*entropy).await?);
        let custodian = custody::open(settings.custody(), Arc::clone(&metrics), Arc::clone(&entropy))?;
        let node = process::node_name(random::<2>(&*entropy)?);
        Ok(Self { store, custodian, keyring: Arc::new(Keyring::new()), user_hash, metrics, clock, entropy, node })
    }

    /// Puts a backup in the place of a store that is gone, and ends every session that is in it: some of them may have
    /// been ended after the backup was made.
    ///
    /// # Errors
    /// [`OpenError::Store`] where a store is there still, or the backup cannot be copied.
    pub async fn restore(settings: &Settings, backup: &Path) -> Result<(), OpenError> {
        store::restore(&settings.store(), backup)?;
        let services = Self::open(settings, Ambient::system()).await?;
        Ok(services.operator(settings)?.store().end_every_session().await?)
    }

    /// Proves that other sealing secrets open this store too, and seals with their newest version from now on.
    pub(super) async fn reseal_user_hash_key(&self, sealing: &SealingKeys) -> Result<(), OpenError> {
        store::open_user_hash_key(&*self.store, sealing, &*self.entropy).await?;
        Ok(())
    }

    /// Rotator of the rings; `actor` is its name in the audit log and in leases.
    ///
    /// # Errors
    /// [`OpenError::Braze`].
    pub fn rotator(&self, settings: &Settings, actor: String, observer: Observer) -> Result<Rotator, OpenError> {
        Ok(Rotator {
            store: Arc::clone(&self.store),
            custodian: Arc::clone(&self.custodian),
            directories: Arc::new(braze::open(settings.braze(), &self.clock)?),
            clock: Arc::clone(&self.clock),
            actor,
            observer,
        })
    }

    /// Verbs of the operator at the command line.
    ///
    /// # Errors
    /// [`OpenError::Braze`].
    pub fn operator(&self, settings: &Settings) -> Result<Operator, OpenError> {
        Ok(Operator {
            store: Arc::clone(&self.store),
            custodian: Arc::clone(&self.custodian),
            user_hash: Arc::clone(&self.user_hash),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            directories: Arc::new(braze::open(settings.braze(), &self.clock)?),
            rings: settings.rings_to_rotate(),
            actor: process::operator_name(),
        })
    }

    /// Verbs on tokens, with the active keys loaded.
    ///
    /// # Errors
    /// [`OpenError`] where an active key does not load.
    pub async fn tokens(&self, settings: &Settings) -> Result<Tokens, OpenError> {
        let records = self.store.keys().await?;
        self.keyring.swap(self.keyring.load(&*self.custodian, &records)?);
        Ok(Tokens::new(self.issuer(settings)))
    }

    /// Issuer with the policies and sealing secrets of these settings.
    pub fn issuer(&self, settings: &Settings) -> Issuer {
        let parts = issue::Parts {
            keyring: Arc::clone(&self.keyring),
            store: Arc::clone(&self.store),
            user_hash: Arc::clone(&self.user_hash),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            metrics: Arc::clone(&self.metrics),
        };
        Issuer::new(parts, settings.policies(), SealingKeys::derive(settings.sealing()))
    }

    /// Everything that must survive a restart.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Holder of the private keys.
    pub fn custodian(&self) -> &Arc<dyn Custodian> {
        &self.custodian
    }

    /// Active signer of each ring.
    pub fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }

    /// Key under which user ids are hashed for the store.
    pub fn user_hash(&self) -> &UserHashKey {
        &self.user_hash
    }

    /// Counters of this process.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Clock that every room was given.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Name of this process among others of the service.
    pub fn node_name(&self) -> &str {
        &self.node
    }
}
