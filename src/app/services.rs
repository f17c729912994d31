//! Services: the opened store, custody and key ring, and the components that are made from them.

use std::sync::Arc;

use super::{
    InstallationError, installation, outside::Outside, process, reported_apps::reported_apps, sealed_keys::StoredKeys,
};
use crate::{
    audit::{AuditError, AuditKeyError, AuditKeys},
    braze::{self, BrazeError, Directories},
    clock::{Clock, ClockGuard, SystemClock},
    config::Settings,
    custody::{self, Custodian, Custody, CustodyError, InstallationMark},
    domain::{
        audit::Actor,
        ids::InstallationId,
        operator::Role,
        sealing::{SealingKeys, UserHashKey},
    },
    issue::{self, Issuer},
    keyring::Keyring,
    node::ReloadError,
    operate::{Configuration, FailureSettings, Operator, Tokens},
    outage::{Outage, process_name},
    rotate::{Observer, Rotator},
    secret::{Entropy, NoEntropy, SystemEntropy, random},
    store::{self, Store, StoreError, UserHashError},
    telemetry::Metrics,
};

/// Clock and source of randomness of every module.
#[derive(Clone)]
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
    pub(super) store: Arc<dyn Store>,
    pub(super) custody: Custody,
    keyring: Arc<Keyring>,
    user_hash: Arc<UserHashKey>,
    audit_keys: Arc<AuditKeys>,
    metrics: Arc<Metrics>,
    /// Clock for waits that others ask for; nothing else is judged by it.
    wall_clock: Arc<dyn Clock>,
    pub(super) clock: Arc<ClockGuard>,
    outage: Arc<Outage>,
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
    Installation(#[from] InstallationError),
    #[error(transparent)]
    UserHash(#[from] UserHashError),
    #[error(transparent)]
    AuditKey(#[from] AuditKeyError),
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    #[error(transparent)]
    Braze(#[from] BrazeError),
    /// An active key does not load.
    #[error(transparent)]
    Keys(#[from] ReloadError),
}

impl OpenError {
    /// Returns true where the store is out of reach, so that the same may succeed later. A key that is missing in the key
    /// folder, or another installation's store, does not become right by itself.
    pub(super) fn is_outage(&self) -> bool {
        let custody = |error: &CustodyError| match error {
            CustodyError::Store(fault) => fault.downcast_ref().is_some_and(StoreError::is_outage),
            _ => false,
        };
        match self {
            Self::Store(store)
            | Self::Installation(InstallationError::Store(store))
            | Self::UserHash(UserHashError::Store(store))
            | Self::AuditKey(AuditKeyError::Store(store))
            | Self::Keys(ReloadError::Store(store)) => store.is_outage(),
            Self::Custody(error)
            | Self::Installation(InstallationError::Custody(error))
            | Self::Keys(ReloadError::Custody(error)) => custody(error),
            _ => false,
        }
    }
}

impl Services {
    /// Opens store and custody as the settings say. The store must exist.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(settings: &Settings, ambient: Ambient) -> Result<Self, OpenError> {
        Self::open_measured(settings, ambient, Metrics::new()).await
    }

    /// Opens them as [`Self::open`] does, with metrics that are in use already.
    pub(super) async fn open_measured(
        settings: &Settings,
        ambient: Ambient,
        metrics: Arc<Metrics>,
    ) -> Result<Self, OpenError> {
        let store = store::open(&settings.store(), Arc::clone(&metrics)).await?;
        Self::of(store, settings, ambient, metrics).await
    }

    /// Opens them as [`Self::open`] does, for a command: a clock that was set forward since the last heartbeat of a service
    /// on this machine is stopped. A command must not judge by a time by which no service does.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open_for_command(settings: &Settings, ambient: Ambient) -> Result<Self, OpenError> {
        let services = Self::open(settings, ambient).await?;
        services.recall_clock().await?;
        Ok(services)
    }

    async fn recall_clock(&self) -> Result<(), StoreError> {
        if let Some(floor) = self.store.clock_record().await?.floor {
            self.clock.recall(&floor);
        }
        Ok(())
    }

    /// Creates a store, and opens it with the custody: for a new installation, or for one whose store is gone for good.
    ///
    /// # Errors
    /// [`OpenError`] where there is a store.
    pub async fn create(settings: &Settings, ambient: Ambient) -> Result<Self, OpenError> {
        Self::create_store(settings, &ambient).await?;
        Self::open(settings, ambient).await
    }

    /// Creates a store, and no more.
    ///
    /// # Errors
    /// [`OpenError`] where there is a store.
    pub async fn create_store(settings: &Settings, ambient: &Ambient) -> Result<(), OpenError> {
        // The key folder of an installation that had a store keeps its id, so that a backup of that store fits.
        let id = match custody::installation_mark(&settings.custody())? {
            InstallationMark::Of(id) => id,
            InstallationMark::Missing | InstallationMark::InStore => InstallationId::new(random(&*ambient.entropy)?),
        };
        Ok(store::create(&settings.store(), id, Metrics::new()).await.map(drop)?)
    }

    /// Opens the custody beside a store that is open already.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn of(
        store: Arc<dyn Store>,
        settings: &Settings,
        ambient: Ambient,
        metrics: Arc<Metrics>,
    ) -> Result<Self, OpenError> {
        let sealing = SealingKeys::derive(settings.sealing());
        // It proves that the sealing secrets are this store's: before the store and the key folder are said to belong
        // together.
        let user_hash = store::open_user_hash_key(&*store, &sealing, &*ambient.entropy).await?;
        let custody = open_custody(settings, &store, &metrics, &ambient.entropy)?;
        installation::agree(&*store, &*custody.custodian, &*ambient.entropy).await?;
        let (records, sealing) = (store.keys().await?, SealingKeys::derive(settings.sealing()));
        if let Err(error) = custody.places.reseal(&records, sealing).await {
            tracing::warn!(%error, "a key in the store stays sealed as it was");
        }
        let clock = guarded_clock(settings, &ambient, &*store).await?;
        let outage = Arc::new(Outage::new(&settings.store(), Arc::clone(&metrics)));
        let keys = audit_keys(settings, &store, &ambient);
        keys.open().await?;
        Self::assemble(store, custody, (user_hash, keys), ambient, clock, outage, metrics)
    }

    /// Opens store and custody to read, for a command: nothing is migrated, and a write to the store fails.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open_read_only(settings: &Settings, ambient: Ambient) -> Result<Self, OpenError> {
        let metrics = Metrics::new();
        let store = store::open_read_only(&settings.store(), Arc::clone(&metrics)).await?;
        let user_hash = store::read_user_hash_key(&*store, &SealingKeys::derive(settings.sealing())).await?;
        let custody = open_custody(settings, &store, &metrics, &ambient.entropy)?;
        installation::compare(&*store, &*custody.custodian).await?;
        let clock = guarded_clock(settings, &ambient, &*store).await?;
        let outage = Arc::new(Outage::new(&settings.store(), Arc::clone(&metrics)));
        let keys = (user_hash, audit_keys(settings, &store, &ambient));
        let services = Self::assemble(store, custody, keys, ambient, clock, outage, metrics)?;
        services.recall_clock().await?;
        Ok(services)
    }

    fn assemble(
        store: Arc<dyn Store>,
        custody: Custody,
        (user_hash, audit_keys): (UserHashKey, AuditKeys),
        ambient: Ambient,
        clock: ClockGuard,
        outage: Arc<Outage>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, OpenError> {
        let Ambient { clock: wall_clock, entropy } = ambient;
        let node = process_name(random::<2>(&*entropy)?);
        let (keyring, clock) = (Arc::new(Keyring::new()), Arc::new(clock));
        let (user_hash, audit_keys) = (Arc::new(user_hash), Arc::new(audit_keys));
        Ok(Self { store, custody, keyring, user_hash, audit_keys, metrics, wall_clock, clock, outage, entropy, node })
    }

    /// Checks that new sealing secrets open the user-hash key, the keys in the store and those of the audit log, and
    /// seals them again with their newest version.
    pub(super) async fn reseal(&self, settings: &Settings) -> Result<(), OpenError> {
        let sealing = SealingKeys::derive(settings.sealing());
        store::open_user_hash_key(&*self.store, &sealing, &*self.entropy).await?;
        self.custody.places.reseal(&self.store.keys().await?, sealing).await?;
        self.audit_keys.reseal(SealingKeys::derive(settings.sealing())).await?;
        Ok(())
    }

    /// Makes a rotator of the rings; `name` is its name in the audit log and in leases.
    ///
    /// # Errors
    /// [`OpenError::Braze`].
    pub fn rotator(&self, settings: &Settings, name: String, observer: Observer) -> Result<Rotator, OpenError> {
        Ok(Rotator {
            store: Arc::clone(&self.store),
            custodian: Arc::clone(&self.custody.custodian),
            directories: Arc::new(braze::open(settings.braze(), &self.wall_clock)?),
            clock: Arc::clone(&self.clock),
            actor: Actor::named(name.clone()),
            lease_name: name,
            observer,
        })
    }

    /// Returns the operator at the command line, as the audit log names him.
    pub(super) fn operator_actor(&self) -> Actor {
        Actor::named(process::operator_name(&self.node))
    }

    /// Makes the operations of an operator at the command line.
    ///
    /// # Errors
    /// [`OpenError::Braze`].
    pub fn operator(&self, settings: &Settings) -> Result<Operator, OpenError> {
        Ok(self.operator_with(settings, braze::open(settings.braze(), &self.wall_clock)?))
    }

    /// Makes the operations of operators who ask the running service. Where Braze's client cannot be made, they do without
    /// Braze, and the service mints all the same.
    pub(super) fn operator_of_service(&self, settings: &Settings) -> Operator {
        let directories = braze::open(settings.braze(), &self.wall_clock).unwrap_or_else(|why| {
            tracing::error!(%why, "operators cannot ask Braze until the next reload");
            Directories::new()
        });
        self.operator_with(settings, directories)
    }

    fn operator_with(&self, settings: &Settings, directories: Directories) -> Operator {
        Operator {
            store: Arc::clone(&self.store),
            custodian: Arc::clone(&self.custody.custodian),
            places: Arc::clone(&self.custody.places),
            user_hash: Arc::clone(&self.user_hash),
            audit_keys: Arc::clone(&self.audit_keys),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            directories: Arc::new(directories),
            outside: Arc::new(Outside::new(settings, &self.clock, &self.entropy)),
            rings: settings.rings_to_rotate(),
            failures: FailureSettings {
                apps: reported_apps(settings),
                threshold: u64::from(settings.failures().threshold.get()),
            },
            configuration: Configuration {
                json: settings.to_json(),
                toml: settings.dump(false),
                toml_with_origins: settings.dump(true),
                warnings: settings.warnings(),
            },
            role: Role::Operator,
            lease_name: self.operator_actor().name,
            actor: self.operator_actor(),
        }
    }

    /// Loads the active keys, and makes the operations on tokens.
    ///
    /// # Errors
    /// [`OpenError`] where no active key loads.
    pub async fn tokens(&self, settings: &Settings) -> Result<Tokens, OpenError> {
        let records = self.store.keys().await?;
        self.keyring.swap(self.keyring.load(&*self.custody.custodian, &records).await.some_active()?);
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
            outage: Arc::clone(&self.outage),
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
        &self.custody.custodian
    }

    /// Active signer of each ring.
    pub fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }

    /// Key under which user ids are hashed for the store.
    pub fn user_hash(&self) -> &UserHashKey {
        &self.user_hash
    }

    /// Keys that sign checkpoints of the audit log.
    pub fn audit_keys(&self) -> &Arc<AuditKeys> {
        &self.audit_keys
    }

    /// Metrics of this process.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Guard of the clock, for every module.
    pub fn clock(&self) -> &Arc<ClockGuard> {
        &self.clock
    }

    /// What this process answers without the store.
    pub fn outage(&self) -> &Arc<Outage> {
        &self.outage
    }

    /// Name of this process among the nodes of the service.
    pub fn node_name(&self) -> &str {
        &self.node
    }
}

/// Returns access to the keys that sign checkpoints.
fn audit_keys(settings: &Settings, store: &Arc<dyn Store>, ambient: &Ambient) -> AuditKeys {
    AuditKeys::new(Arc::clone(store), SealingKeys::derive(settings.sealing()), Arc::clone(&ambient.entropy))
}

/// Makes the guard of the clock, with the floor that the store has on record.
async fn guarded_clock(settings: &Settings, ambient: &Ambient, store: &dyn Store) -> Result<ClockGuard, StoreError> {
    let guard = ClockGuard::new(Arc::clone(&ambient.clock), settings.clock().patience);
    if let Some(floor) = store.clock_record().await?.floor {
        guard.set_floor(&floor);
    }
    Ok(guard)
}

/// Opens the custody of the keys on record in this store.
pub(super) fn open_custody(
    settings: &Settings,
    store: &Arc<dyn Store>,
    metrics: &Arc<Metrics>,
    entropy: &Arc<dyn Entropy>,
) -> Result<Custody, CustodyError> {
    let sealed = Arc::new(StoredKeys(Arc::clone(store)));
    let sealing = SealingKeys::derive(settings.sealing());
    custody::open(settings.custody(), sealed, sealing, Arc::clone(metrics), Arc::clone(entropy))
}
