//! Uses of API keys: requests note them in memory, and the node writes them about once a minute, all in one
//! transaction.

use std::collections::BTreeMap;

use super::{Node, NodeAgent};
use crate::{clock::UnixMillis, domain::api_key::ApiKeyId, outage::Operation, store::StoreError};

/// Ticks between two writes.
const WRITE_EVERY: u32 = 60;

/// Uses that this node has written.
#[derive(Default)]
pub(super) struct UseRecorder {
    written: BTreeMap<ApiKeyId, UnixMillis>,
    /// Ticks until the next write.
    wait: u32,
}

impl NodeAgent {
    /// Writes the uses that are new since the last write, if that was a minute ago.
    pub(super) async fn record_api_key_uses(&mut self) {
        if self.uses.wait > 0 {
            self.uses.wait -= 1;
            return;
        }
        let mut uses = self.node.subscriber.api_key_uses();
        uses.retain(|(id, at)| self.uses.written.get(id).is_none_or(|written| written < at));
        if uses.is_empty() {
            return;
        }
        self.uses.wait = WRITE_EVERY;
        let write = self.node.store.record_api_key_uses(uses.clone());
        match self.node.outage.ask(Operation::Write, write).await {
            Ok(()) => self.uses.written.extend(uses),
            // The check of the store reports a store that does not answer.
            Err(error) => tracing::debug!(%error, "the uses of API keys are written later"),
        }
    }
}

impl Node {
    /// Writes all uses, before the process ends; nothing while the clock is stopped.
    pub(super) async fn record_last_uses(&self) -> Result<(), StoreError> {
        if self.clock.check().is_some() {
            return Ok(());
        }
        let uses = self.subscriber.api_key_uses();
        if uses.is_empty() { Ok(()) } else { self.store.record_api_key_uses(uses).await }
    }
}
