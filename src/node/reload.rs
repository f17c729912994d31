//! Reload: keys and API keys as the records have them now.

use super::{Node, NodeAgent, ReloadError};
use crate::telemetry::Alarm;

impl Node {
    /// Passes the records of keys and API keys as they are now to the subscriber, and loads the keys.
    ///
    /// # Errors
    /// [`ReloadError`]; the keys that were loaded before stay in use then. A key that does not load holds up no
    /// revocation of an API key.
    pub async fn reload_keys(&self) -> Result<(), ReloadError> {
        let keys = self.store.keys().await?;
        let api_keys = self.store.api_keys().await?;
        self.subscriber.on_records(&keys, api_keys);
        let signers = self.keyring.load(&*self.custodian, &keys)?;
        for (kid, why) in signers.unfit() {
            tracing::error!(%kid, %why, "a key that may have to sign does not load");
            self.metrics.alarm(Alarm::Key);
        }
        self.keyring.swap(signers);
        Ok(())
    }
}

impl NodeAgent {
    /// Reloads where the records changed since the last load, or the last load failed.
    pub(super) async fn reload_if_changed(&mut self) {
        match self.node.store.generation().await {
            Ok(generation) if self.generation == Some(generation) && self.faults.keys.is_none() => {}
            Ok(generation) => match self.node.reload_keys().await {
                Ok(()) => (self.generation, self.faults.keys) = (Some(generation), None),
                Err(error) => self.reload_failed(&error),
            },
            Err(error) => self.store_failed(&error),
        }
    }

    pub(super) fn reload_failed(&mut self, error: &ReloadError) {
        let why = error.to_string();
        if self.faults.keys.as_ref() != Some(&why) {
            tracing::error!(why, "the keys on record could not be loaded; those loaded before stay in use");
            self.node.metrics.alarm(Alarm::Key);
        }
        self.faults.keys = Some(why);
    }
}
