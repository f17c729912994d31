//! Reload: keys and API keys as the records have them now.

use std::collections::BTreeMap;

use super::{Node, NodeAgent, ReloadError};
use crate::{domain::ids::RingName, outage::Operation, telemetry::Alarm};

/// Reason for each ring whose active key does not load.
pub(super) type UnfitRings = BTreeMap<RingName, String>;

impl Node {
    /// Passes the records of keys and API keys as they are now to the subscriber, and loads the keys. Returns the
    /// rings whose active key does not load; the others, and the revocation of API keys, do not wait for them.
    ///
    /// # Errors
    /// [`ReloadError`] where the store does not answer, or no key signs and no active one loads.
    pub async fn reload_keys(&self) -> Result<UnfitRings, ReloadError> {
        let keys = self.store.keys().await?;
        let api_keys = self.store.api_keys().await?;
        self.subscriber.on_records(&keys, api_keys);
        let mut signers = self.keyring.load(&*self.custodian, &keys).await;
        if self.keyring.kids().is_empty() {
            signers = signers.some_active()?;
        }
        let reported = self.keyring.unfit();
        for key in signers.unfit().iter().filter(|key| !key.active && !reported.contains(&key.kid)) {
            tracing::error!(kid = %key.kid, why = %key.why, "a key that may have to sign does not load");
            self.metrics.alarm(Alarm::Key);
        }
        let unfit = signers.unfit().iter().filter(|key| key.active);
        let unfit = unfit.map(|key| (key.ring.clone(), format!("its active key does not load: {}", key.why))).collect();
        self.keyring.swap(signers);
        self.metrics.signature_costs(self.keyring.paces().iter().map(|(kid, pace)| {
            let (library, cost) = pace.in_use();
            (kid.to_string(), library.to_owned(), cost)
        }));
        Ok(unfit)
    }
}

impl NodeAgent {
    /// Reloads where the records changed since the last load, or the last load failed in part.
    pub(super) async fn reload_if_changed(&mut self) {
        match self.node.outage.probe(Operation::Read, self.node.store.generation()).await {
            Ok(generation) if self.generation == Some(generation) && self.faults.keys.is_none() => {}
            Ok(generation) => {
                // A key that may have to sign, too, is tried again: its file may be on its way to this node.
                if self.reload().await && self.faults.unfit.is_empty() && self.node.keyring.unfit().is_empty() {
                    self.generation = Some(generation);
                }
            }
            Err(error) => self.store_failed(&error),
        }
    }

    /// Reloads, and keeps the faults; returns `false` where nothing was replaced.
    pub(super) async fn reload(&mut self) -> bool {
        match self.node.reload_keys().await {
            Ok(unfit) => {
                self.report_unfit(&unfit);
                (self.faults.unfit, self.faults.keys) = (unfit, None);
                true
            }
            Err(error) => {
                self.reload_failed(&error);
                false
            }
        }
    }

    /// Logs each ring that goes on with the key before. A ring that cannot sign is reported with its condition.
    fn report_unfit(&self, unfit: &UnfitRings) {
        let is_new = |(ring, why): &(&RingName, &String)| self.faults.unfit.get(ring) != Some(why);
        let signs = |(ring, _): &(&RingName, &String)| self.node.keyring.signer(ring).is_some();
        for (ring, why) in unfit.iter().filter(is_new).filter(signs) {
            tracing::error!(%ring, why, "a ring goes on with the key before");
            self.node.metrics.alarm(Alarm::Key);
        }
    }

    fn reload_failed(&mut self, error: &ReloadError) {
        let why = error.to_string();
        if self.faults.keys.as_ref() != Some(&why) {
            tracing::error!(why, "the keys on record could not be loaded; those loaded before stay in use");
            self.node.metrics.alarm(Alarm::Key);
        }
        self.faults.keys = Some(why);
    }
}
