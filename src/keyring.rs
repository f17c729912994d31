//! Active signer of each key ring: a snapshot that is replaced as a whole, so that requests read it without a lock.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;

use crate::{
    custody::{Custodian, CustodyError, Pace, Signer},
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
    unfit: Vec<UnfitKey>,
}

/// Key that may have to sign, and does not load.
#[derive(Debug)]
pub struct UnfitKey {
    pub kid: Kid,
    pub ring: RingName,
    /// True for the active key of its ring.
    pub active: bool,
    pub why: CustodyError,
}

impl Signers {
    /// Active, published and retiring keys that do not load.
    pub fn unfit(&self) -> &[UnfitKey] {
        &self.unfit
    }

    /// Returns the signers, unless there is an active key and none loads.
    ///
    /// # Errors
    /// The [`CustodyError`] of an active key.
    pub fn some_active(mut self) -> Result<Self, CustodyError> {
        match self.unfit.iter().position(|key| key.active) {
            Some(first) if self.active.is_empty() => Err(self.unfit.swap_remove(first).why),
            _ => Ok(self),
        }
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

    /// Measured pace of each loaded key that has one.
    pub fn paces(&self) -> Vec<(Kid, Pace)> {
        let signers = self.signers.load();
        signers.loaded.iter().filter_map(|(kid, signer)| Some((kid.clone(), signer.pace()?.clone()))).collect()
    }

    /// Keys of the current snapshot that do not load.
    pub fn unfit(&self) -> BTreeSet<Kid> {
        self.signers.load().unfit.iter().map(|key| key.kid.clone()).collect()
    }

    /// Every loaded key: each could sign at once.
    pub fn loaded(&self) -> BTreeSet<Kid> {
        self.signers.load().loaded.keys().cloned().collect()
    }

    /// Opens the active key of each ring, and the published and retiring keys. A key that is loaded already is kept,
    /// not decrypted again.
    ///
    /// Changes nothing in the keyring: [`Keyring::swap`] does. A key that does not load is listed by
    /// [`Signers::unfit`], and other rings do not wait for it. Where it is the active one, the signer before it goes on
    /// for as long as its own record is published or retiring, but never once that is compromised.
    pub async fn load(&self, custodian: &dyn Custodian, records: &[KeyRecord]) -> Signers {
        let current = self.signers.load_full();
        let mut signers = Signers::default();
        for record in records.iter().filter(|record| may_take_over(record)) {
            if let Some(signer) = signers.open(&current, custodian, record).await {
                signers.loaded.insert(record.kid.clone(), signer);
            }
        }
        for (ring, record) in active(records) {
            let before = current.active.get(ring).filter(|before| signers.loaded.contains_key(before.kid()));
            let Some(signer) = signers.open(&current, custodian, record).await.or_else(|| before.cloned()) else {
                continue;
            };
            signers.loaded.insert(signer.kid().clone(), Arc::clone(&signer));
            signers.active.insert(ring.clone(), signer);
        }
        signers
    }
}

impl Signers {
    /// Returns the signer that is loaded already, or opens it; `None` puts the key on the list of unfit ones.
    async fn open(&mut self, current: &Self, custodian: &dyn Custodian, record: &KeyRecord) -> Option<Arc<dyn Signer>> {
        if let Some(loaded) = current.loaded.get(&record.kid) {
            return Some(Arc::clone(loaded));
        }
        custodian.open(record).await.map_err(|why| self.add_unfit(record, why)).ok()
    }

    fn add_unfit(&mut self, record: &KeyRecord, why: CustodyError) {
        let (kid, ring) = (record.kid.clone(), record.ring.clone());
        self.unfit.push(UnfitKey { kid, ring, active: record.state == KeyState::Active, why });
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
