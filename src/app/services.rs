//! The rooms behind the doors: store, custody, sealing; and the verbs that need nothing more.

use std::{path::Path, sync::Arc};

use super::process;
use crate::{
    braze::{self, BrazeError},
    clock::{Clock, SystemClock},
    config::Settings,
    custody::{self, Custodian, CustodyError},
    domain::{
        key::KeyState,
        sealing::{Resealing, SealingKeys, UserHashKey, WrongSealingSecret},
    },
    issue::{self, Issuer, clients::Clients, users::Users},
    keyring::Keyring,
    rotate::{Ceremony, Observer, Rotator},
    secret::{Entropy, NoEntropy, SystemEntropy, random},
    store::{self, Store, StoreError},
    telemetry::{Alarm, Metrics},
};

/// The open rooms.
pub struct Services {
    /// What must survive a restart.
    pub store: Arc<dyn Store>,
    /// Who keeps the keys.
    pub custodian: Arc<dyn Custodian>,
    /// Each ring's signing key.
    pub keyring: Arc<Keyring>,
    /// How users are named in the store.
    pub user_hash: Arc<UserHashKey>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// This process among others of the service: a new name at each start.
    pub node: String,
}

/// A room does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Custody, or a key in it.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// The sealing secret is another store's.
    #[error(transparent)]
    Sealing(#[from] WrongSealingSecret),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    /// Braze's REST API cannot be spoken to.
    #[error(transparent)]
    Braze(#[from] BrazeError),
    /// A backup cannot be put back.
    #[error("{0}")]
    Restore(String),
}

impl Services {
    /// Opens the rooms that the settings name.
    pub async fn open(settings: &Settings) -> Result<Self, OpenError> {
        let metrics = Metrics::new();
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let store = store::open(&settings.store_config(), Arc::clone(&metrics))?;
        let sealing = SealingKeys::derive(settings.sealing());
        let user_hash = Arc::new(user_hash_key(&*store, &sealing, &*entropy).await?);
        let custodian = custody::open(settings.custody_config(), Arc::clone(&metrics), Arc::clone(&entropy))?;
        let (keyring, clock) = (Arc::new(Keyring::new()), Arc::new(SystemClock));
        let node = process::node(random::<2>(&*entropy)?);
        Ok(Self { store, custodian, keyring, user_hash, metrics, clock, entropy, node })
    }

    /// Puts a backup in the place of a store that is gone, and ends every session that is in it: some of them may have
    /// been ended after the backup was made.
    pub async fn restore(settings: &Settings, backup: &Path) -> Result<(), OpenError> {
        let target = settings.store_config().path;
        if target.exists() {
            return Err(OpenError::Restore(format!(
                "{} exists: stop the service and move that file (and its -wal and -shm) away first",
                target.display()
            )));
        }
        let failed = |why: std::io::Error| OpenError::Restore(format!("{}: {why}", backup.display()));
        std::fs::copy(backup, &target).map_err(failed)?;
        let services = Self::open(settings).await?;
        services.store.end_sessions_of_app(None, services.clock.now()).await?;
        Ok(())
    }

    /// Proves that other sealing secrets open this store too, and seals with their newest version from now on.
    pub async fn reseal_user_hash_key(&self, sealing: &SealingKeys) -> Result<(), OpenError> {
        user_hash_key(&*self.store, sealing, &*self.entropy).await?;
        Ok(())
    }

    /// Loads the active key of every ring, and those that may have to take over.
    pub async fn load_keys(&self) -> Result<(), OpenError> {
        let records = self.store.keys().await?;
        let signers = self.keyring.load(&*self.custodian, &records)?;
        for (kid, why) in signers.unfit() {
            tracing::error!(%kid, %why, "a key that may have to sign does not load");
            self.metrics.alarm(Alarm::Key);
        }
        self.keyring.swap(signers);
        Ok(())
    }

    /// What rotates the rings, and who it is for the audit log.
    pub fn rotator(&self, settings: &Settings, actor: String, observer: Observer) -> Result<Rotator, OpenError> {
        Ok(Rotator {
            store: Arc::clone(&self.store),
            custodian: Arc::clone(&self.custodian),
            directories: Arc::new(braze::open(settings.braze_configs(), &self.clock)?),
            clock: Arc::clone(&self.clock),
            actor,
            observer,
        })
    }

    /// The same for somebody at the command line.
    pub fn operators_rotator(&self, settings: &Settings, observer: Observer) -> Result<Rotator, OpenError> {
        self.rotator(settings, process::operator(), observer)
    }

    /// Loads every key that could sign or be asked to, as a check; what is wrong with each.
    pub async fn check_keys(&self) -> Result<Vec<Checked>, OpenError> {
        let records = self.store.keys().await?;
        let held = records.into_iter().filter(|key| key.state.is_held());
        Ok(held
            .map(|key| {
                let mistake = self.custodian.open(&key).err().map(|error| error.to_string());
                Checked { kid: key.kid.to_string(), state: key.state, mistake }
            })
            .collect())
    }

    /// The operators' verbs on keys.
    pub fn ceremony(&self) -> Ceremony {
        Ceremony {
            store: Arc::clone(&self.store),
            custodian: Arc::clone(&self.custodian),
            clock: Arc::clone(&self.clock),
            actor: process::operator(),
        }
    }

    /// The operators' verbs on users.
    pub fn users(&self) -> Users {
        Users { store: Arc::clone(&self.store), user_hash: Arc::clone(&self.user_hash), clock: Arc::clone(&self.clock) }
    }

    /// The operators' verbs on API keys.
    pub fn clients(&self) -> Clients {
        Clients { store: Arc::clone(&self.store), clock: Arc::clone(&self.clock), entropy: Arc::clone(&self.entropy) }
    }

    /// The service's verbs, by these settings.
    pub fn issuer(&self, settings: &Settings) -> Issuer {
        let parts = issue::Parts {
            keyring: Arc::clone(&self.keyring),
            store: Arc::clone(&self.store),
            user_hash: Arc::clone(&self.user_hash),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
        };
        Issuer::new(parts, settings.policies(), SealingKeys::derive(settings.sealing()))
    }
}

/// A key that was loaded as a check.
#[derive(Debug, serde::Serialize)]
pub struct Checked {
    /// Its id.
    pub kid: String,
    /// Its state.
    pub state: KeyState,
    /// Why it does not load; `None`: it does.
    pub mistake: Option<String>,
}

/// The store's user-hash key: made and kept by whoever opens the store first, sealed again when the secret is rotated.
async fn user_hash_key(
    store: &dyn Store,
    sealing: &SealingKeys,
    entropy: &dyn Entropy,
) -> Result<UserHashKey, OpenError> {
    loop {
        let kept = store.user_hash_key().await?;
        let (key, is_kept) = match &kept {
            None => (UserHashKey::new(random(entropy)?), false),
            Some(sealed) => {
                let (key, resealing) = UserHashKey::open(sealing, sealed)?;
                (key, resealing == Resealing::Current)
            }
        };
        if is_kept || store.replace_user_hash_key(kept, key.sealed(sealing, random(entropy)?)).await? {
            return Ok(key);
        }
    }
}
