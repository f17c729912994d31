//! Services: the opened store, custody and key ring, and the components that are made from them.

use std::{path::Path, sync::Arc};

use super::process;
use crate::{
    braze::{self, BrazeError},
    clock::{Clock, ClockGuard, SystemClock},
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

/// Clock and source of randomness of every module.
pub struct Ambient {
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
}

impl Ambient {
    /// Returns the system's clock and random generator.
    pub fn system() -> Self {
        Self { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy) }
    }
}

/// Opened store, custody and key ring, with everything that they share.
pub struct Services {
    store: Arc<dyn Store>,
    custodian: Arc<dyn Custodian>,
    keyring: Arc<Keyring>,
    user_hash: Arc<UserHashKey>,
    metrics: Arc<Metrics>,
    /// Clock for waits that others ask for; nothing else is judged by it.
    wall_clock: Arc<dyn Clock>,
    clock: Arc<ClockGuard>,
    entropy: Arc<dyn Entropy>,
    node: String,
}

/// Reason why the services cannot be opened.
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
    /// Opens store and custody as the settings say.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(settings: &Settings, ambient: Ambient) -> Result<Self, OpenError> {
        let Ambient { clock: wall_clock, entropy } = ambient;
        let metrics = Metrics::new();
        let store = store::open(&settings.store(), Arc::clone(&metrics))?;
        let clock = Arc::new(ClockGuard::new(Arc::clone(&wall_clock), settings.clock().patience));
        if let Some(floor) = store.clock_record().await?.floor {
            clock.set_floor(&floor);
        }
        let sealing = SealingKeys::derive(settings.sealing());
        let user_hash = Arc::new(store::open_user_hash_key(&*store, &sealing, &*entropy).await?);
        let custodian = custody::open(settings.custody(), Arc::clone(&metrics), Arc::clone(&entropy))?;
        let node = process::node_name(random::<2>(&*entropy)?);
        let keyring = Arc::new(Keyring::new());
        Ok(Self { store, custodian, keyring, user_hash, metrics, wall_clock, clock, entropy, node })
    }

    /// Restores a backup in place of a lost store, and ends every session in it: some of them may have been ended after
    /// the backup was made. Where this fails, no store is left: a second try begins anew, and no session came back.
    ///
    /// # Errors
    /// [`OpenError`] where a store still exists, the backup cannot be copied, or the sealing secrets are not its own.
    pub async fn restore(settings: &Settings, backup: &Path) -> Result<(), OpenError> {
        let restoration = store::restore(&settings.store(), backup)?;
        let Ambient { clock, entropy } = Ambient::system();
        let copy = store::open(restoration.config(), Metrics::new())?;
        store::open_user_hash_key(&*copy, &SealingKeys::derive(settings.sealing()), &*entropy).await?;
        copy.end_sessions_of_app(None, clock.now()).await?;
        drop(copy);
        Ok(restoration.put_in_place()?)
    }

    /// Checks that new sealing secrets open the user-hash key, and seals that key again with their newest version.
    pub(super) async fn reseal_user_hash_key(&self, sealing: &SealingKeys) -> Result<(), OpenError> {
        store::open_user_hash_key(&*self.store, sealing, &*self.entropy).await?;
        Ok(())
    }

    /// Makes a rotator of the rings; `actor` is its name in the audit log and in leases.
    ///
    /// # Errors
    /// [`OpenError::Braze`].
    pub fn rotator(&self, settings: &Settings, actor: String, observer: Observer) -> Result<Rotator, OpenError> {
        Ok(Rotator {
            store: Arc::clone(&self.store),
            custodian: Arc::clone(&self.custodian),
            directories: Arc::new(braze::open(settings.braze(), &self.wall_clock)?),
            clock: Arc::clone(&self.clock),
            actor,
            observer,
        })
    }

    /// Makes the operations of an operator at the command line.
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
            directories: Arc::new(braze::open(settings.braze(), &self.wall_clock)?),
            rings: settings.rings_to_rotate(),
            actor: process::operator_name(),
        })
    }

    /// Loads the active keys, and makes the operations on tokens.
    ///
    /// # Errors
    /// [`OpenError`] where an active key does not load.
    pub async fn tokens(&self, settings: &Settings) -> Result<Tokens, OpenError> {
        let records = self.store.keys().await?;
        self.keyring.swap(self.keyring.load(&*self.custodian, &records)?);
        Ok(Tokens::new(self.issuer(settings)))
    }

    /// Makes an issuer with the policies and sealing secrets of these settings.
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

    /// Store of all data that must survive a restart.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Custodian of the private keys.
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

    /// Metrics of this process.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Guard of the clock, for every module.
    pub fn clock(&self) -> &Arc<ClockGuard> {
        &self.clock
    }

    /// Name of this process among the nodes of the service.
    pub fn node_name(&self) -> &str {
        &self.node
    }
}
