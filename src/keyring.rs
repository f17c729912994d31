//! Active signer of each key ring: a snapshot that is replaced as a whole, so that requests read it without a lock.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;

use crate::{
    custody::{Custodian, CustodyError, Signer},
    domain::{
        ids::{Kid, RingName},
        key::{KeyRecord, KeyState},
    },
};

/// Snapshot of the loaded signers.
#[derive(Default)]
pub struct Signers {
    active: HashMap<RingName, Arc<dyn Signer>>,
    /// Every loaded key: the active ones, and the published and retiring ones that may have to sign at once.
    loaded: HashMap<Kid, Arc<dyn Signer>>,
    /// Published and retiring keys that do not load.
    unfit: Vec<(Kid, CustodyError)>,
}

impl Signers {
    /// Published and retiring keys that do not load, each with its error.
    pub fn unfit(&self) -> &[(Kid, CustodyError)] {
        &self.unfit
    }
}

/// Current [`Signers`], shared by all requests.
#[derive(Default)]
pub struct Keyring {
    signers: ArcSwap<Signers>,
}

impl Keyring {
    /// Makes a keyring without signers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Signer of the ring's active key; `None` where the ring has no active key.
    pub fn signer(&self, ring: &RingName) -> Option<Arc<dyn Signer>> {
        self.signers.load().active.get(ring).cloned()
    }

    /// Time after which a client should ask again, where a new signature would wait too long. All signers share their
    /// threads, so that any of them can answer.
    pub fn overloaded(&self) -> Option<Duration> {
        self.signers.load().active.values().next()?.overloaded()
    }

    /// Replaces the signers. A signature in progress is finished by its old signer.
    pub fn swap(&self, signers: Signers) {
        self.signers.store(Arc::new(signers));
    }

    /// Active key of each ring.
    pub fn kids(&self) -> BTreeMap<RingName, Kid> {
        self.signers.load().active.iter().map(|(ring, signer)| (ring.clone(), signer.kid().clone())).collect()
    }

    /// Every loaded key: each could sign at once.
    pub fn loaded(&self) -> BTreeSet<Kid> {
        self.signers.load().loaded.keys().cloned().collect()
    }

    /// Opens the active key of each ring, and the published and retiring keys. A key that is loaded already is kept,
    /// not decrypted again.
    ///
    /// Changes nothing in the keyring: [`Keyring::swap`] does. A published or retiring key that does not load is left
    /// out and listed by [`Signers::unfit`].
    ///
    /// # Errors
    /// The first [`CustodyError`] of an active key: where one ring's key is missing, no ring's key is replaced.
    pub fn load(&self, custodian: &dyn Custodian, records: &[KeyRecord]) -> Result<Signers, CustodyError> {
        let current = self.signers.load();
        let open = |record: &KeyRecord| match current.loaded.get(&record.kid) {
            Some(signer) => Ok(Arc::clone(signer)),
            None => custodian.open(record),
        };
        let mut signers = Signers::default();
        for (ring, record) in active(records) {
            let signer = open(record)?;
            signers.loaded.insert(record.kid.clone(), Arc::clone(&signer));
            signers.active.insert(ring.clone(), signer);
        }
        for record in records.iter().filter(|record| may_take_over(record)) {
            match open(record) {
                Ok(signer) => drop(signers.loaded.insert(record.kid.clone(), signer)),
                Err(why) => signers.unfit.push((record.kid.clone(), why)),
            }
        }
        Ok(signers)
    }
}

fn may_take_over(record: &KeyRecord) -> bool {
    matches!(record.state, KeyState::Published | KeyState::Retiring)
}

/// Active record of each ring; of two active records, the one that became active last.
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
