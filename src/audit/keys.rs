//! Keys that sign checkpoints, sealed in the store. The process that opens a store first makes the key.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{
    checkpoint::Origin,
    note::{SignedNote, VerifierKey},
};
use crate::{
    clock::UnixMillis,
    domain::{
        audit::{Actor, AuditAction, AuditEvent, AuditOutcome, AuditTarget},
        checkpoint_key::{CheckpointKey, CheckpointKeys},
        sealing::{Resealing, SealingKeys, WrongSealingSecret},
    },
    secret::{Entropy, NoEntropy, Secret, random},
    store::{Store, StoreError},
};

/// First line of the text that both keys sign when one replaces the other.
const CHANGE: &str = "countersign audit key change";

/// Reason why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuditKeyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The sealing secret is another store's.
    #[error(transparent)]
    Sealing(#[from] WrongSealingSecret),
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    /// No process has opened the store to write yet.
    #[error("the store has no key for checkpoints yet: run `countersign doctor` or start the service first")]
    Missing,
}

/// Sealed keys of a store, with the sealing keys in force.
pub struct AuditKeys {
    store: Arc<dyn Store>,
    sealing: ArcSwap<SealingKeys>,
    entropy: Arc<dyn Entropy>,
}

impl AuditKeys {
    /// Keys in this store.
    pub fn new(store: Arc<dyn Store>, sealing: SealingKeys, entropy: Arc<dyn Entropy>) -> Self {
        Self { store, sealing: ArcSwap::from_pointee(sealing), entropy }
    }

    /// Returns the keys of a store that may be open for reading only.
    ///
    /// # Errors
    /// [`AuditKeyError::Missing`] where the store has none.
    pub async fn read(&self) -> Result<CheckpointKeys, AuditKeyError> {
        let sealed = self.store.audit_key().await?.ok_or(AuditKeyError::Missing)?;
        Ok(CheckpointKeys::open(&self.sealing.load(), &sealed)?.0)
    }

    /// Returns the keys. The first call for a store makes one; keys that an older sealing secret sealed are sealed again.
    ///
    /// # Errors
    /// [`AuditKeyError`].
    pub async fn open(&self) -> Result<CheckpointKeys, AuditKeyError> {
        loop {
            let kept = self.store.audit_key().await?;
            let sealing = self.sealing.load_full();
            let (keys, resealing) = match &kept {
                None => (CheckpointKeys::first(self.new_key()?), Resealing::Due),
                Some(sealed) => CheckpointKeys::open(&sealing, sealed)?,
            };
            if resealing == Resealing::Current {
                return Ok(keys);
            }
            let sealed = keys.sealed(&sealing, random(&*self.entropy)?);
            match self.store.replace_audit_key(kept, sealed, None).await {
                // Nothing is written to the log then; the service must start all the same.
                Ok(true) | Err(StoreError::Forked { .. }) => return Ok(keys),
                Ok(false) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Seals the keys with these sealing keys from now on, after checking that they open them.
    ///
    /// # Errors
    /// [`AuditKeyError`]; the sealing keys before stay in use.
    pub async fn reseal(&self, sealing: SealingKeys) -> Result<(), AuditKeyError> {
        let before = self.sealing.swap(Arc::new(sealing));
        let opened = self.open().await;
        if opened.is_err() {
            self.sealing.store(before);
        }
        opened.map(drop)
    }

    /// Replaces the key that signs. The record of it has the signatures of both, and so has the next checkpoint.
    ///
    /// # Errors
    /// [`AuditKeyError`].
    pub async fn replace(
        &self,
        origin: Origin,
        actor: &Actor,
        why: &str,
        at: UnixMillis,
    ) -> Result<VerifierKey, AuditKeyError> {
        loop {
            let kept = self.store.audit_key().await?.ok_or(AuditKeyError::Missing)?;
            let sealing = self.sealing.load_full();
            let keys = CheckpointKeys::open(&sealing, &kept)?.0.replaced_by(self.new_key()?);
            let new = VerifierKey::new(origin.to_string(), keys.current.public());
            let event = AuditEvent {
                at,
                actor: actor.clone(),
                action: AuditAction::AuditKeyChanged,
                target: AuditTarget::default(),
                outcome: AuditOutcome::Done,
                why: KeyChange::sign(origin, &keys, why),
            };
            let sealed = keys.sealed(&sealing, random(&*self.entropy)?);
            if self.store.replace_audit_key(Some(kept), sealed, Some(event)).await? {
                return Ok(new);
            }
        }
    }

    /// Drops the previous key, once a checkpoint has the signatures of both.
    pub(super) async fn drop_previous(&self, keys: CheckpointKeys) -> Result<(), AuditKeyError> {
        if keys.previous.is_none() {
            return Ok(());
        }
        let Some(kept) = self.store.audit_key().await? else { return Ok(()) };
        let sealing = self.sealing.load_full();
        let (now, _) = CheckpointKeys::open(&sealing, &kept)?;
        // Replaced again meanwhile: the next checkpoint has the signatures of those two.
        if now.current.public() != keys.current.public() {
            return Ok(());
        }
        let sealed = CheckpointKeys::first(now.current).sealed(&sealing, random(&*self.entropy)?);
        self.store.replace_audit_key(Some(kept), sealed, None).await?;
        Ok(())
    }

    fn new_key(&self) -> Result<CheckpointKey, NoEntropy> {
        Ok(CheckpointKey::new(Secret::new(random(&*self.entropy)?)))
    }
}

/// Change of the key, as its record describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyChange {
    pub(super) from: [u8; 32],
    pub(super) to: [u8; 32],
}

impl KeyChange {
    /// Text of the record: reason, and the note that both keys signed.
    fn sign(origin: Origin, keys: &CheckpointKeys, why: &str) -> String {
        let name = origin.to_string();
        let publics: Vec<String> = keys.all().map(|key| VerifierKey::new(&*name, key.public()).to_string()).collect();
        let lines: Vec<&str> = std::iter::once(CHANGE).chain(publics.iter().rev().map(String::as_str)).collect();
        let note = SignedNote::sign(lines.join("\n") + "\n", &name, keys.all());
        serde_json::json!({ "why": why, "note": note.to_string() }).to_string()
    }

    /// Reads the record of a change; `None` where it does not have the signatures of both keys.
    pub(super) fn of(record: &str) -> Option<Self> {
        let record: serde_json::Value = serde_json::from_str(record).ok()?;
        let note: SignedNote = record.get("note")?.as_str()?.parse().ok()?;
        let mut lines = note.text().split('\n');
        let is_change = lines.next()? == CHANGE;
        let (from, to): (VerifierKey, VerifierKey) = (lines.next()?.parse().ok()?, lines.next()?.parse().ok()?);
        let signed = is_change && note.is_signed_by(&from) && note.is_signed_by(&to);
        signed.then(|| Self { from: from.public(), to: to.public() })
    }
}

/// Public keys that are trusted, with those that replaced them or that they replaced.
pub(super) fn trusted(anchors: &[[u8; 32]], changes: &[KeyChange]) -> Vec<[u8; 32]> {
    let mut trusted = anchors.to_vec();
    // Each change adds at most one key.
    for _ in changes {
        for KeyChange { from, to } in changes {
            match (trusted.contains(from), trusted.contains(to)) {
                (true, false) => trusted.push(*to),
                (false, true) => trusted.push(*from),
                _ => {}
            }
        }
    }
    trusted
}
