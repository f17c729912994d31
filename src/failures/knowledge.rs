//! Copy of the records that reports are compared with. A background task of the node renews it, so that no report asks
//! the store.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;

use super::evidence::{AppFacts, KnownInstallation};
use crate::{
    clock::UnixMillis,
    domain::ids::{AppName, RingName},
    store::{Keys, StoreError, Upkeep},
};

/// Newest events of each ring that are read: a rotation makes some twenty.
const EVENTS: u32 = 1000;

/// Copy of the records, replaced as a whole.
#[derive(Default)]
pub struct Knowledge {
    current: ArcSwap<KnownInstallation>,
}

impl Knowledge {
    /// Makes a copy that knows the apps of the configuration only, before the first [`Self::renew`].
    pub fn new(apps: BTreeMap<AppName, AppFacts>) -> Self {
        Self { current: ArcSwap::from_pointee(KnownInstallation { apps, ..KnownInstallation::default() }) }
    }

    /// Makes a copy of this.
    pub fn of(installation: KnownInstallation) -> Self {
        Self { current: ArcSwap::from_pointee(installation) }
    }

    /// Returns the present copy.
    pub fn load(&self) -> Arc<KnownInstallation> {
        self.current.load_full()
    }

    /// Replaces the apps, after a reload of the configuration; the keys stay.
    pub fn set_apps(&self, apps: &BTreeMap<AppName, AppFacts>) {
        self.current.rcu(|known| KnownInstallation { apps: apps.clone(), ..KnownInstallation::clone(known) });
    }

    /// Reads the records of all rings at `now`, this node's time, and replaces the copy.
    ///
    /// # Errors
    /// [`StoreError`]; the copy stays as it was then.
    pub async fn renew<S: Keys + Upkeep + ?Sized>(&self, store: &S, now: UnixMillis) -> Result<(), StoreError> {
        let mut names: Vec<RingName> = store.keys().await?.into_iter().map(|key| key.ring).collect();
        names.sort();
        names.dedup();
        let (mut rings, mut events) = (Vec::new(), Vec::new());
        for name in &names {
            // The log is read first: what changes between the two reads is in the records.
            let mut of_ring = store.audit_log(Some(name), EVENTS).await?;
            of_ring.reverse();
            events.extend(of_ring);
            rings.push(store.ring(name).await?);
        }
        let offset = store.database_time().await?.map(|time| now.0.saturating_sub(time.0));
        self.current.rcu(|known| KnownInstallation::from_records(known.apps.clone(), &rings, &events, offset));
        Ok(())
    }
}
