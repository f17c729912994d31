//! Moves of keys between the places of custody, and their re-encryption.
//!
//! A move is a copy, a change of the record, and the end of the copy before. After a crash in between, the same command
//! does what is left: at no time is there no copy.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::keys::{CeremonyError, KeyCeremony, SHORTEST_PREFIX};
use crate::{
    custody::{CustodyError, Orphan},
    domain::{
        audit::{AuditAction, AuditEvent, AuditOutcome, AuditTarget},
        ids::{Kid, RingName},
        key::{CustodyKind, KeyLocation, KeyRecord, KeyState},
        rotation::NodeReport,
    },
    rotate::NODE_LIVENESS,
    secret::Secret,
    store::{KeyMove, KeyTransaction, StoreError},
};

/// Lease of the command that moves or encrypts keys: of two that move a key in opposite directions, each would erase the
/// other's copy, and one that encrypts a file would bring back what another has moved away.
const LEASE: &str = "move keys";
/// Time after which the lease of a command that was killed ends.
const LEASE_TIME: Duration = Duration::from_secs(5);
/// Pause between two looks at the nodes' reports.
const PAUSE: Duration = Duration::from_millis(500);

/// Key that was moved, or whose move was finished.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MovedKey {
    pub kid: Kid,
    pub ring: RingName,
    /// Place on record.
    pub custody: CustodyKind,
    /// Nodes that have not loaded it from there; the copy before is erased once there are none.
    pub waiting_for: Vec<String>,
}

/// Key that a new passphrase, or a new sealing secret, now encrypts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RewrappedKey {
    pub kid: Kid,
    pub ring: RingName,
    /// Name of its custody.
    pub custody: String,
    /// False: it was encrypted so already.
    pub changed: bool,
    /// Reason why it is as it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl KeyCeremony {
    /// Returns the keys whose private halves custody holds: of one ring, or of all.
    pub async fn held(&self, ring: Option<&RingName>) -> Result<Vec<KeyRecord>, StoreError> {
        let mut keys = self.list().await?;
        keys.retain(|key| key.state.is_held() && ring.is_none_or(|ring| key.ring == *ring));
        Ok(keys)
    }

    /// Moves keys to a place, and waits at most for `patience` until every live node has loaded them from there. Only then
    /// is the copy before erased. Keys that are there already are finished in the same way.
    ///
    /// # Errors
    /// The first key that cannot be moved; those before it have moved, and may have two copies.
    pub async fn move_keys(
        &self,
        keys: &[KeyRecord],
        to: CustodyKind,
        patience: Duration,
    ) -> Result<Vec<MovedKey>, CeremonyError> {
        self.acquire_lease().await?;
        let moved = self.move_leased(keys, to, patience).await;
        self.store.release(LEASE, &self.lease_name).await?;
        moved
    }

    async fn move_leased(
        &self,
        keys: &[KeyRecord],
        to: CustodyKind,
        patience: Duration,
    ) -> Result<Vec<MovedKey>, CeremonyError> {
        for key in keys {
            self.renew_lease().await?;
            self.relocate(key, to).await?;
        }
        let mut waiting = self.nodes_without(keys, to).await?;
        let rounds = patience.as_millis() / PAUSE.as_millis();
        for _ in 0..rounds {
            if waiting.is_empty() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            self.renew_lease().await?;
            waiting = self.nodes_without(keys, to).await?;
        }
        let mut moved = Vec::new();
        for key in keys {
            let waiting_for = waiting.remove(&key.kid).unwrap_or_default();
            if waiting_for.is_empty() {
                self.erase_copy_before(key, to).await?;
            }
            moved.push(MovedKey { kid: key.kid.clone(), ring: key.ring.clone(), custody: to, waiting_for });
        }
        Ok(moved)
    }

    /// Waits for the lease of a command that was killed.
    async fn acquire_lease(&self) -> Result<(), CeremonyError> {
        for _ in 0..=2 * LEASE_TIME.as_secs() {
            match self.renew_lease().await {
                Err(CeremonyError::Moving) => tokio::time::sleep(PAUSE).await,
                leased => return leased,
            }
        }
        self.renew_lease().await
    }

    async fn renew_lease(&self) -> Result<(), CeremonyError> {
        let now = self.clock.trusted_now()?;
        if self.store.lease(LEASE, &self.lease_name, now, LEASE_TIME).await? {
            Ok(())
        } else {
            Err(CeremonyError::Moving)
        }
    }

    async fn erase_copy_before(&self, key: &KeyRecord, to: CustodyKind) -> Result<(), CeremonyError> {
        self.renew_lease().await?;
        let now = self.list().await?.into_iter().find(|now| now.kid == key.kid);
        if let Some(now) = now.filter(|now| now.custody == to.as_str()) {
            if now.state.is_held() {
                // The nodes' reports are of what they have in memory: a copy may have been lost since they loaded it.
                self.custodian.open(&now).await?;
            }
            self.erase(&now, to.other(), &format!("it is in {} now", to.as_str())).await?;
        }
        Ok(())
    }

    /// Erases the copies of a private half that no record names, or whose key was destroyed; `id` is its key id, or a
    /// beginning of that.
    ///
    /// # Errors
    /// [`CeremonyError::NoOrphan`] where there is none: a key in use is never erased so.
    pub async fn erase_orphan(&self, id: &str) -> Result<Vec<KeyLocation>, CeremonyError> {
        if id.len() < SHORTEST_PREFIX {
            return Err(CeremonyError::TooShort(id.to_owned()));
        }
        let mut orphans = self.custodian.orphans(&self.list().await?).await?;
        orphans.retain(|orphan| {
            orphan.location.locator.starts_with(id) && orphan.record.as_ref().is_none_or(|key| !key.state.is_held())
        });
        let kid_of = |orphan: &Orphan| orphan.location.locator.trim_end_matches(".pem").parse::<Kid>().ok();
        let kid = orphans.first().and_then(kid_of);
        // One key may have a copy in each place.
        let Some(kid) = kid.filter(|kid| orphans.iter().all(|orphan| kid_of(orphan).as_ref() == Some(kid))) else {
            return Err(CeremonyError::NoOrphan(id.to_owned()));
        };
        let mut erased = Vec::new();
        for Orphan { location, .. } in orphans {
            let Ok(from) = location.custody.parse() else { continue };
            let target = AuditTarget { kid: Some(kid.clone()), ..AuditTarget::default() };
            let event = self.acts.event(AuditAction::Erased, target, &format!("an orphan in {}", location.custody));
            self.attempt(event, self.places.erase(&kid, from)).await?;
            erased.push(location);
        }
        Ok(erased)
    }

    /// Copies a key, and puts its new place on record.
    async fn relocate(&self, key: &KeyRecord, to: CustodyKind) -> Result<(), CeremonyError> {
        if !key.state.is_held() {
            return Err(CeremonyError::NotHeld { kid: key.kid.clone(), state: key.state });
        }
        if key.custody == to.as_str() {
            // The copy before is erased only if this one signs.
            self.custodian.open(key).await?;
            return Ok(());
        }
        let why = format!("from {} to {}", key.custody, to.as_str());
        let event = self.event(key, AuditAction::Moved, &why);
        self.acts.intend(&event).await?;
        let location = match self.places.copy(key, to).await {
            Ok(location) => location,
            Err(error) => {
                self.acts.end(event, AuditOutcome::Failed, &error.to_string()).await;
                return Err(error.into());
            }
        };
        let change = KeyMove { kid: key.kid.clone(), state: key.state, from: key.location(), to: location };
        let events = vec![event.clone()];
        let transaction = KeyTransaction { moves: vec![change], events, ..KeyTransaction::default() };
        if !self.store.transact(transaction).await? {
            self.acts.end(event, AuditOutcome::Failed, &CeremonyError::Raced.to_string()).await;
            self.forget_copy(key, to).await?;
            return Err(CeremonyError::Raced);
        }
        tracing::info!(kid = %key.kid, custody = to.as_str(), "key moved");
        Ok(())
    }

    /// Erases a copy whose key was destroyed while the copy was written: it must not come back.
    async fn forget_copy(&self, key: &KeyRecord, to: CustodyKind) -> Result<(), CeremonyError> {
        let now = self.list().await?.into_iter().find(|now| now.kid == key.kid);
        if now.is_none_or(|now| now.custody != to.as_str() || !now.state.is_held()) {
            self.erase(key, to, "its key was destroyed meanwhile").await?;
        }
        Ok(())
    }

    /// Erases the copy of a key in one place.
    async fn erase(&self, key: &KeyRecord, from: CustodyKind, why: &str) -> Result<(), CeremonyError> {
        let event = self.event(key, AuditAction::Erased, &format!("the copy in {}: {why}", from.as_str()));
        self.attempt(event, self.places.erase(&key.kid, from)).await
    }

    /// Does an act outside the store, with its intent before and its outcome after it.
    async fn attempt(
        &self,
        event: AuditEvent,
        act: impl Future<Output = Result<(), CustodyError>>,
    ) -> Result<(), CeremonyError> {
        self.acts.intend(&event).await?;
        let done = act.await;
        let (outcome, because) = match &done {
            Ok(()) => (AuditOutcome::Done, String::new()),
            Err(error) => (AuditOutcome::Failed, error.to_string()),
        };
        self.acts.end(event, outcome, &because).await;
        Ok(done?)
    }

    /// Returns the live nodes that may have to sign with a key and have not loaded it from this place, for each such key.
    async fn nodes_without(
        &self,
        keys: &[KeyRecord],
        custody: CustodyKind,
    ) -> Result<BTreeMap<Kid, Vec<String>>, CeremonyError> {
        let nodes = self.store.nodes(self.clock.trusted_now()?.minus(NODE_LIVENESS)).await?;
        let lacks = |node: &NodeReport, kid: &Kid| !matches!(node.loaded.get(kid), Some(Some(from)) if from == custody.as_str());
        // A node loads no pending key.
        let loadable = keys.iter().filter(|key| key.state != KeyState::Pending);
        let missing = loadable.map(|key| {
            let names = nodes.iter().filter(|node| lacks(node, &key.kid)).map(|node| node.node.clone());
            (key.kid.clone(), names.collect::<Vec<_>>())
        });
        Ok(missing.filter(|(_, names)| !names.is_empty()).collect())
    }

    /// Encrypts every key that custody holds as it would be encrypted now. A key that cannot be is as it was, and the
    /// others do not wait for it.
    ///
    /// # Errors
    /// Another command moves or encrypts keys, or the store does not answer.
    pub async fn rewrap(&self, old: Option<&Secret<String>>) -> Result<Vec<RewrappedKey>, CeremonyError> {
        self.acquire_lease().await?;
        let rewrapped = self.rewrap_leased(old).await;
        self.store.release(LEASE, &self.lease_name).await?;
        rewrapped
    }

    async fn rewrap_leased(&self, old: Option<&Secret<String>>) -> Result<Vec<RewrappedKey>, CeremonyError> {
        let mut rewrapped = Vec::new();
        for key in self.held(None).await? {
            self.renew_lease().await?;
            let event = self.event(&key, AuditAction::Rewrapped, "asked for at the command line");
            self.acts.intend(&event).await?;
            let done = self.places.rewrap(&key, old).await;
            self.acts
                .end(event, outcome_of(&done), &done.as_ref().err().map(ToString::to_string).unwrap_or_default())
                .await;
            if let Ok(place) = key.custody.parse() {
                self.forget_copy(&key, place).await?;
            }
            let (changed, error) = done.map_or_else(|why| (false, Some(why.to_string())), |changed| (changed, None));
            rewrapped.push(RewrappedKey { kid: key.kid, ring: key.ring, custody: key.custody, changed, error });
        }
        Ok(rewrapped)
    }
}

fn outcome_of(rewrapped: &Result<bool, CustodyError>) -> AuditOutcome {
    match rewrapped {
        Ok(true) => AuditOutcome::Done,
        Ok(false) => AuditOutcome::Unchanged,
        Err(_) => AuditOutcome::Failed,
    }
}
