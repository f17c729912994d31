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
        key::{KeyLocation, KeyRecord, KeyState},
    },
};

/// Snapshot of the loaded signers.
#[derive(Default)]
pub struct Signers {
    active: HashMap<RingName, Arc<dyn Signer>>,
    /// Every loaded key: the active ones, and the published and retiring ones that may have to sign at once.
    loaded: HashMap<Kid, LoadedKey>,
    unfit: Vec<UnfitKey>,
}

/// Loaded key, with the location that it was loaded from.
#[derive(Clone)]
struct LoadedKey {
    signer: Arc<dyn Signer>,
    from: KeyLocation,
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
        signers.loaded.iter().filter_map(|(kid, key)| Some((kid.clone(), key.signer.pace()?.clone()))).collect()
    }

    /// Keys of the current snapshot that do not load.
    pub fn unfit(&self) -> BTreeSet<Kid> {
        self.signers.load().unfit.iter().map(|key| key.kid.clone()).collect()
    }

    /// Every loaded key, with the custody that it was loaded from: each could sign at once.
    pub fn loaded(&self) -> BTreeMap<Kid, String> {
        self.signers.load().loaded.iter().map(|(kid, key)| (kid.clone(), key.from.custody.clone())).collect()
    }

    /// Opens the active key of each ring, and the published and retiring keys. A key that is loaded already is kept,
    /// not decrypted again, unless it was moved.
    ///
    /// Changes nothing in the keyring: [`Keyring::swap`] does. A key that does not load is listed by
    /// [`Signers::unfit`], and other rings do not wait for it. Where it is the active one, the signer before it goes on
    /// for as long as its own record is published or retiring, but never once that is compromised.
    pub async fn load(&self, custodian: &dyn Custodian, records: &[KeyRecord]) -> Signers {
        let current = self.signers.load_full();
        let mut signers = Signers::default();
        for record in records.iter().filter(|record| may_take_over(record)) {
            if let Some(key) = signers.open(&current, custodian, record).await {
                signers.loaded.insert(record.kid.clone(), key);
            }
        }
        for (ring, record) in active(records) {
            let opened = signers.open(&current, custodian, record).await;
            let before = || signers.loaded.get(current.active.get(ring)?.kid()).cloned();
            let Some(key) = opened.or_else(before) else { continue };
            signers.active.insert(ring.clone(), Arc::clone(&key.signer));
            signers.loaded.insert(key.signer.kid().clone(), key);
        }
        signers
    }
}

impl Signers {
    /// Returns the key that is loaded from there already, or opens it. One that does not load is put on the list of unfit
    /// ones; where it was moved, it goes on as it was loaded before.
    async fn open(&mut self, current: &Self, custodian: &dyn Custodian, record: &KeyRecord) -> Option<LoadedKey> {
        let (loaded, from) = (current.loaded.get(&record.kid), record.location());
        if let Some(same) = loaded.filter(|loaded| loaded.from == from) {
            return Some(same.clone());
        }
        match custodian.open(record).await {
            Ok(signer) => Some(LoadedKey { signer, from }),
            Err(why) => {
                self.add_unfit(record, why);
                loaded.cloned()
            }
        }
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
