//! The log as one process follows it: it keeps the tree that it has seen, and finds a log that does not go on from it.

use std::time::Duration;

use super::{
    keys::AuditKeys,
    log::{AuditError, advance_to, extend, saved, sign},
    tree::MerkleTree,
};
use crate::{
    clock::UnixMillis,
    domain::audit::AuditAction,
    store::{AuditHead, AuditLeaf, SavedCheckpoint, Store},
};

/// Time after which a checkpoint is due, where the log has grown.
const EVERY: Duration = Duration::from_mins(10);

/// Time after which the whole log is computed anew before a checkpoint: a tree that only grows does not notice that an old
/// record was changed.
const WHOLE_EVERY: Duration = Duration::from_hours(24);

/// State of the log that a process has seen.
#[derive(Default)]
pub struct LogFollower {
    tree: MerkleTree,
    /// Epoch of the head that was seen last.
    epoch: Option<u32>,
    /// Index of the last record of a change of a key's state, or of the log's own.
    key_change: Option<u64>,
    /// Last time that the whole log was computed.
    whole: Option<UnixMillis>,
}

impl LogFollower {
    /// Reads what the log has more than before, and compares it with what this process has seen and with the newest
    /// checkpoint. Returns the head, and that checkpoint.
    ///
    /// # Errors
    /// [`AuditError::Fork`] where the log does not go on from there.
    pub async fn advance(&mut self, store: &dyn Store) -> Result<(AuditHead, Option<SavedCheckpoint>), AuditError> {
        // The checkpoint first: the head is never of an older time.
        let newest = store.checkpoints(1).await?.pop();
        let head = store.audit_head().await?;
        self.compare_heads(&head)?;
        let of_epoch = newest.as_ref().filter(|newest| newest.epoch == head.epoch);
        if self.epoch.is_none()
            && let Some(tree) = of_epoch.and_then(tree_of)
        {
            self.tree = tree;
        }
        if let Some(newest) = newest.as_ref().filter(|newest| newest.epoch > head.epoch) {
            return Err(AuditError::fork(format!(
                "the audit log is in epoch {}, and there is a checkpoint of epoch {}: an old state of the store was put back",
                head.epoch, newest.epoch
            )));
        }
        let mut tree = self.tree.clone();
        if let Some(newest) = of_epoch.filter(|newest| newest.size >= tree.size()) {
            advance_to(store, &mut tree, newest, &head).await?;
        }
        let mut key_change = self.key_change;
        // Also those before the checkpoint, which it covers: it does not matter.
        extend(store, &mut tree, head.size, |leaf| {
            if concerns_keys(leaf) {
                key_change = Some(leaf.index);
            }
        })
        .await?;
        (self.tree, self.key_change, self.epoch) = (tree, key_change, Some(head.epoch));
        Ok((head, newest))
    }

    /// Compares the head with the one that this process saw last. After a restore or a fork an epoch begins, and with it
    /// what this process has seen: the log before may be another one.
    fn compare_heads(&mut self, head: &AuditHead) -> Result<(), AuditError> {
        let Some(epoch) = self.epoch else { return Ok(()) };
        if head.epoch > epoch {
            *self = Self::default();
            return Ok(());
        }
        let size = self.tree.size();
        if head.epoch < epoch || head.size < size {
            return Err(AuditError::fork(format!(
                "the audit log has {} records in epoch {}, and a node has seen {size} in epoch {epoch}",
                head.size, head.epoch
            )));
        }
        Ok(())
    }

    /// Returns true where a checkpoint is due: after 10 minutes, or a change of a key, if the log has grown.
    pub fn is_due(&self, head: &AuditHead, newest: Option<&SavedCheckpoint>, now: UnixMillis) -> bool {
        let Some(newest) = newest.filter(|newest| newest.epoch == head.epoch) else { return self.tree.size() > 0 };
        let is_late = newest.size < self.tree.size() && now.since(newest.at) >= EVERY;
        is_late || self.key_change.is_some_and(|index| index >= newest.size)
    }

    /// Signs and saves a checkpoint of the log. The first one, and one a day, is preceded by a computation of the whole
    /// log.
    ///
    /// # Errors
    /// [`AuditError::Fork`] where an old record was changed.
    pub async fn checkpoint(
        &mut self,
        store: &dyn Store,
        keys: &AuditKeys,
        head: &AuditHead,
        now: UnixMillis,
    ) -> Result<SavedCheckpoint, AuditError> {
        if self.whole.is_none_or(|whole| now.since(whole) >= WHOLE_EVERY) {
            let mut whole = MerkleTree::default();
            extend(store, &mut whole, self.tree.size(), |_| ()).await?;
            if whole.root() != self.tree.root() {
                return Err(AuditError::fork("an old record of the audit log was changed: its tree is another one"));
            }
            self.whole = Some(now);
        }
        sign(store, keys, head, &self.tree, now).await
    }
}

/// Returns the tree that a checkpoint was made of.
fn tree_of(newest: &SavedCheckpoint) -> Option<MerkleTree> {
    let tree = MerkleTree::of_subtrees(newest.size, &newest.subtrees)?;
    let signed = saved(newest).ok()?;
    (signed.size == tree.size() && signed.root == tree.root()).then_some(tree)
}

/// Returns true for the record of a change of a key's state, or of the log's own key or epoch.
fn concerns_keys(leaf: &AuditLeaf) -> bool {
    let concerns = |action: AuditAction| {
        matches!(
            action,
            AuditAction::Created
                | AuditAction::Published
                | AuditAction::Activated
                | AuditAction::Retired
                | AuditAction::Withdrawn
                | AuditAction::Destroyed
                | AuditAction::Compromised
                | AuditAction::EpochBegun
                | AuditAction::AuditKeyChanged
        )
    };
    leaf.shown.as_ref().is_some_and(|event| concerns(event.action))
}
