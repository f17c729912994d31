//! The key ceremony: generate or import a key. Publishing and activating it is a rotation.

use std::sync::Arc;

use crate::{
    clock::Clock,
    custody::{Custodian, CustodyError, HeldKey, ImportError},
    domain::{
        ids::{Kid, RingName},
        key::{KeyRecord, KeyState, WrongState},
        rotation::{AuditAction, AuditEvent},
    },
    secret::Secret,
    store::{KeyChange, KeyTransaction, Store, StoreError},
};

/// Operators' verbs on keys.
pub struct KeyCeremony {
    pub(super) store: Arc<dyn Store>,
    pub(super) custodian: Arc<dyn Custodian>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) actor: String,
}

impl KeyCeremony {
    /// Generates a key of `bits` (2048, 3072 or 4096) for a ring; it signs nothing before a rotation has published it.
    pub async fn generate(&self, ring: RingName, bits: u32) -> Result<KeyRecord, CeremonyError> {
        let held = self.custodian.generate(bits)?;
        self.put_on_record(ring, held, "made by hand").await
    }

    /// Imports a private key in PEM; it signs nothing before a rotation has published it.
    pub async fn import(
        &self,
        ring: RingName,
        pem: &Secret<Vec<u8>>,
        passphrase: Option<&Secret<String>>,
    ) -> Result<KeyRecord, CeremonyError> {
        let held = self.custodian.import(pem, passphrase)?;
        self.put_on_record(ring, held, "taken in").await
    }

    /// Every key on record, oldest first.
    pub async fn list(&self) -> Result<Vec<KeyRecord>, StoreError> {
        self.store.keys().await
    }

    /// Finds the key with this id, or with the only id that begins with it.
    ///
    /// # Errors
    /// [`CeremonyError::NoSuchKey`], [`CeremonyError::Ambiguous`].
    pub async fn find(&self, id: &str) -> Result<KeyRecord, CeremonyError> {
        let mut fitting: Vec<KeyRecord> = self.list().await?;
        fitting.retain(|key| key.kid.as_str().starts_with(id));
        match fitting.len() {
            0 => Err(CeremonyError::NoSuchKey(id.to_owned())),
            1 => Ok(fitting.remove(0)),
            _ => Err(CeremonyError::Ambiguous(id.to_owned())),
        }
    }

    /// Activates a key at once, without proof that Braze holds it; the key that was active retires. This is for the first
    /// key of a ring, and for the demo, which shows what happens without proof; otherwise [`rotate::Rotator`](crate::rotate::Rotator) does it.
    ///
    /// The key is loaded first: one that cannot sign never becomes active.
    ///
    /// # Errors
    /// [`CeremonyError`]; nothing is changed then.
    pub async fn activate(&self, kid: &Kid) -> Result<Activated, CeremonyError> {
        let key = self.find(kid.as_str()).await?;
        let keys = self.list().await?;
        let active = keys.into_iter().find(|other| other.ring == key.ring && other.state == KeyState::Active);
        if key.state == KeyState::Active {
            return Ok(Activated { key, retiring: None });
        }
        self.custodian.open(&key)?;
        self.hand_over(key, active).await
    }

    /// Generates the first key of a ring and activates it: nothing was signed before it, so that no token can be rejected
    /// for it. The app turns enforcement on at Braze only after it has pasted the public half there.
    ///
    /// # Errors
    /// [`CeremonyError`].
    pub async fn first_key(&self, ring: RingName) -> Result<KeyRecord, CeremonyError> {
        let key = self.generate(ring, 2048).await?;
        Ok(self.activate(&key.kid).await?.key)
    }

    async fn hand_over(&self, key: KeyRecord, active: Option<KeyRecord>) -> Result<Activated, CeremonyError> {
        let now = self.clock.now();
        let from = key.state;
        let ready = if from == KeyState::Pending { key.published(now)? } else { key };
        let key = ready.activated(now)?;
        let mut changes = vec![KeyChange { from, to: key.clone() }];
        let retiring = active.map(|active| active.superseded(now)).transpose()?;
        changes.extend(retiring.clone().map(|to| KeyChange { from: KeyState::Active, to }));
        let events = vec![self.event(&key, AuditAction::Activated, "without proof")];
        if !self.store.transact(KeyTransaction { changes, events, ..KeyTransaction::default() }).await? {
            return Err(CeremonyError::Raced);
        }
        tracing::info!(kid = %key.kid, ring = %key.ring, "key activated");
        Ok(Activated { key, retiring })
    }

    async fn put_on_record(&self, ring: RingName, held: HeldKey, why: &str) -> Result<KeyRecord, CeremonyError> {
        let record = held.on_record(ring, self.clock.now());
        let events = vec![self.event(&record, AuditAction::Created, why)];
        if !self
            .store
            .transact(KeyTransaction { insert: Some(record.clone()), events, ..KeyTransaction::default() })
            .await?
        {
            return Err(CeremonyError::Known(record.kid));
        }
        tracing::info!(kid = %record.kid, ring = %record.ring, "key put on record");
        Ok(record)
    }

    fn event(&self, key: &KeyRecord, action: AuditAction, why: &str) -> AuditEvent {
        let (ring, kid) = (key.ring.clone(), Some(key.kid.clone()));
        AuditEvent { at: key.changed, ring, kid, app: None, action, actor: self.actor.clone(), why: why.to_owned() }
    }
}

/// Records that an activation changed.
#[derive(Debug)]
pub struct Activated {
    /// The key that signs now.
    pub key: KeyRecord,
    /// The key that signed until now; `None` for the first key of a ring.
    pub retiring: Option<KeyRecord>,
}

/// A step of the ceremony failed; nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum CeremonyError {
    /// No key has this id.
    #[error("there is no key {0} (`countersign keys list` shows them)")]
    NoSuchKey(String),
    /// Several key ids begin with this text.
    #[error("several keys begin with {0}: give more of the id")]
    Ambiguous(String),
    /// The key is on record already.
    #[error("key {0} is on record already: nothing to do (`countersign keys list` shows its state)")]
    Known(Kid),
    /// Somebody else changed the keys meanwhile.
    #[error("somebody else changed the keys at the same moment: look at `countersign keys list` and try again")]
    Raced,
    #[error(transparent)]
    State(#[from] WrongState),
    #[error(transparent)]
    Import(#[from] ImportError),
    #[error(transparent)]
    Custody(#[from] CustodyError),
    #[error(transparent)]
    Store(#[from] StoreError),
}
