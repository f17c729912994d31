//! Who signs for each ring now: a snapshot that is swapped whole, so that requests read it without a lock.

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

/// The signers as of one moment.
#[derive(Default)]
pub struct Signers {
    /// Who signs for each ring.
    active: HashMap<RingName, Arc<dyn Signer>>,
    /// Every loaded key: also those that may have to sign at once, published or retiring.
    loaded: HashMap<Kid, Arc<dyn Signer>>,
    /// Keys that may have to sign and do not load.
    unfit: Vec<(Kid, CustodyError)>,
}

impl Signers {
    /// The keys that are not active and do not load, with what is wrong.
    pub fn unfit(&self) -> &[(Kid, CustodyError)] {
        &self.unfit
    }
}

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
        self.signers.load().active.get(ring).cloned()
    }

    /// How long a new request should stay away, where its signature would have to wait too long. The signers share their
    /// threads, so that any of them can tell.
    pub fn overloaded(&self) -> Option<Duration> {
        self.signers.load().active.values().next()?.overloaded()
    }

    /// From now on these sign. Signatures under way end with the signer they began with.
    pub fn swap(&self, signers: Signers) {
        self.signers.store(Arc::new(signers));
    }

    /// The key that signs for each ring.
    pub fn kids(&self) -> BTreeMap<RingName, Kid> {
        self.signers.load().active.iter().map(|(ring, signer)| (ring.clone(), signer.kid().clone())).collect()
    }

    /// Every key that could sign at once.
    pub fn loaded(&self) -> BTreeSet<Kid> {
        self.signers.load().loaded.keys().cloned().collect()
    }

    /// Opens the active key of each ring, and those that may have to take over at once; one that is loaded already is
    /// taken over, not decrypted again.
    ///
    /// Changes nothing: [`Keyring::swap`] does, once the active ones are sound. One that only may have to sign, and does
    /// not load, is left out and told by [`Signers::unfit`].
    ///
    /// # Errors
    /// The first [`CustodyError`] of an active key: with one ring's key missing, none is exchanged.
    pub fn load(&self, custodian: &dyn Custodian, records: &[KeyRecord]) -> Result<Signers, CustodyError> {
        let held = self.signers.load();
        let open = |record: &KeyRecord| match held.loaded.get(&record.kid) {
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
