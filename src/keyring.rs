//! Who signs for each ring now: a snapshot that is swapped whole, so that requests read it without a lock.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;

pub use crate::custody::SignError;
use crate::{
    custody::{Custodian, CustodyError, Signer},
    domain::{
        ids::{Kid, RingName},
        key::{KeyRecord, KeyState},
    },
};

/// The active signer of each ring.
pub type Signers = HashMap<RingName, Arc<dyn Signer>>;

/// The active signer of each ring, as of the last swap.
#[derive(Default)]
pub struct Keyring {
    signers: ArcSwap<Signers>,
}

impl Keyring {
    /// A keyring that signs for no ring yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Who signs for this ring; nobody where it has no active key.
    pub fn signer(&self, ring: &RingName) -> Option<Arc<dyn Signer>> {
        self.signers.load().get(ring).cloned()
    }

    /// How long a new request should stay away, where its signature would have to wait too long. The signers share their
    /// threads, so that any of them can tell.
    pub fn overloaded(&self) -> Option<Duration> {
        self.signers.load().values().next()?.overloaded()
    }

    /// From now on these sign. Signatures under way end with the signer they began with.
    pub fn swap(&self, signers: Signers) {
        self.signers.store(Arc::new(signers));
    }

    /// The key that signs for each ring.
    pub fn kids(&self) -> BTreeMap<RingName, Kid> {
        self.signers.load().iter().map(|(ring, signer)| (ring.clone(), signer.kid().clone())).collect()
    }

    /// Opens the active key of each ring; one that signs already is taken over, not decrypted again.
    ///
    /// Changes nothing: [`Keyring::swap`] does, once all of them are sound.
    ///
    /// # Errors
    /// The first [`CustodyError`]: with one ring's key missing, none is exchanged.
    pub fn load(&self, custodian: &dyn Custodian, records: &[KeyRecord]) -> Result<Signers, CustodyError> {
        let held = self.signers.load();
        let open = |record: &KeyRecord| match held.values().find(|signer| *signer.kid() == record.kid) {
            Some(signer) => Ok(Arc::clone(signer)),
            None => custodian.open(record),
        };
        active(records).into_iter().map(|(ring, record)| Ok((ring.clone(), open(record)?))).collect()
    }
}

/// The active record of each ring; should there be two, the one that became active last.
fn active(records: &[KeyRecord]) -> HashMap<&RingName, &KeyRecord> {
    let mut active: HashMap<&RingName, &KeyRecord> = HashMap::new();
    for record in records.iter().filter(|record| record.state == KeyState::Active) {
        let newest = active.entry(&record.ring).or_insert(record);
        if (record.changed, &record.kid) > (newest.changed, &newest.kid) {
            *newest = record;
        }
    }
    active
}
