//! The key ceremony: generate or import. What comes after is rotation.

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

/// The operators' verbs on keys.
pub struct Ceremony {
    /// Where the records are.
    pub store: Arc<dyn Store>,
    /// Where the private halves are.
    pub custodian: Arc<dyn Custodian>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who acts, for the audit log.
    pub actor: String,
}

impl Ceremony {
    /// Makes a key for a ring; it signs nothing before a rotation has published it.
    pub async fn generate(&self, ring: RingName, bits: u32) -> Result<KeyRecord, CeremonyError> {
        let held = self.custodian.generate(bits)?;
        self.put_on_record(ring, held, "made by hand").await
    }

    /// Takes in a key that exists already; it signs nothing before a rotation has published it.
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

    /// The key of this id, or of the only id that begins so.
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

    /// Makes a key sign for its ring at once, and asks for no proof that Braze holds it; the key that signed until now
    /// retires. For the first key of a ring, and for showing what happens without proof; else [`super::Rotator`] does it.
    ///
    /// The key is loaded first: one that cannot sign never becomes active.
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

/// What an activation changed.
#[derive(Debug)]
pub struct Activated {
    /// The key that signs now.
    pub key: KeyRecord,
    /// The key that signed until now.
    pub retiring: Option<KeyRecord>,
}

/// A step of the ceremony failed; nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum CeremonyError {
    /// No key has this id.
    #[error("there is no key {0} (`countersign keys list` shows them)")]
    NoSuchKey(String),
    /// Several keys' ids begin so.
    #[error("several keys begin with {0}: give more of the id")]
    Ambiguous(String),
    /// The key is on record already.
    #[error("key {0} is on record already: nothing to do (`countersign keys list` shows its state)")]
    Known(Kid),
    /// Somebody else changed the keys meanwhile.
    #[error("somebody else changed the keys at the same moment: look at `countersign keys list` and try again")]
    Raced,
    /// The key's state does not allow it.
    #[error(transparent)]
    State(#[from] WrongState),
    /// The key was refused.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// Custody failed.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}
